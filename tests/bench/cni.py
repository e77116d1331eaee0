"""ADD and DEL in W: from the start of the plugin's process to its result.

    plugin process --socket--> calico-node's agent: pair, addresses and endpoint in one commit,
                               rules in force --> result

One after the other, and four at once, where the figure is that of the last of the four. The
plugin's own share is a call that asks the agent nothing (VERSION).
"""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from statistics import median

from tests.bench import world
from tests.bench.table import Row

from cni_host import CniHost, containers

ROUNDS, AT_ONCE = 12, 4


class Host(CniHost):
    """The executables of a node whose records its agent has written."""

    def write_cluster(self, ready=True):
        pass


def rows(node) -> Iterator[Row]:
    """Measure beside W, which must be in the datastore."""
    host = Host(node.store, node.directory, world.NODE)
    host.write_pool("pods", "10.200.0.0/16")
    with node.agent("calico.node.agent") as agent:
        agent.wait_until_idle()
        yield from one_by_one(host, agent)
        yield four_at_once(host)
    node.forget_rules()


def one_by_one(host, agent) -> Iterator[Row]:
    """Plug containers in and out."""
    adds, dels, own = [], [], []
    call(host, "warm-up", "ADD", "DEL")
    cpu, turns = agent.cpu_seconds, len(agent.turns())
    for number in range(ROUNDS):
        added, removed = call(host, f"pod-{number}", "ADD", "DEL")
        adds.append(added)
        dels.append(removed)
    cpu_ms = (agent.cpu_seconds - cpu) / ROUNDS * 1000
    turn = median(all_ for all_, _ in agent.turns()[turns:])
    for _ in range(ROUNDS):
        own += call(host, "nobody", "VERSION")
    share, add, delete = median(own), median(adds), median(dels)
    yield Row("CNI ADD, policy in force", "ms", (add,), (25,), "229 / p95 267 ms",
              goes_to(add, share, turn, cpu_ms))  # fmt: skip
    yield Row("CNI DEL", "ms", (delete,), (15,), "158 / p95 174 ms",
              goes_to(delete, share, turn, cpu_ms))  # fmt: skip
    yield Row("  of which the plugin's own process", "ms", (share,), (), "nearly all of it")


def goes_to(whole, share, turn, cpu_ms) -> str:
    """Say where the time of one call goes."""
    return (
        f"the plugin's process {share:.1f} ms, a turn of the loop {turn:.1f}, the rest "
        f"{max(whole - share - turn, 0):.1f}: calls of etcd (3 for an ADD, 5 for a DEL), the pair; "
        f"CPU of the agent {cpu_ms:.1f} ms for ADD and DEL"
    )


def call(host, name, *commands) -> list[float]:
    """Run commands on one new container; give their milliseconds."""
    took = []
    with containers(name) as (container,):
        for command in commands:
            started = time.monotonic()
            outcome = host.run(command, container)
            took.append((time.monotonic() - started) * 1000)
            assert outcome.status == 0, outcome
    return took


def four_at_once(host) -> Row:
    """Plug four containers in at the same moment."""
    took = []
    for number in range(ROUNDS // 2):
        with ExitStack() as stack:
            names = [f"four-{number}-{each}" for each in range(AT_ONCE)]
            made = stack.enter_context(containers(*names))
            started = time.monotonic()
            children = [host.spawn("ADD", container) for container in made]
            for child, config in children:
                child.stdin.write(config)
                child.stdin.close()
                child.stdin = None
            outcomes = [host.finish((child, None)) for child, _ in children]
            took.append((time.monotonic() - started) * 1000)
            assert all(outcome.status == 0 for outcome in outcomes), outcomes
            for container in made:
                assert host.run("DEL", container).status == 0
    return Row(
        "CNI ADD, four at once, the last of them", "ms", (median(took),), (50,), "over 1,000 each",
        "four processes and the agent on the machine's CPUs",
    )  # fmt: skip
