"""From a write to the first packet with the new verdict, in W as it grows.

    a policy's rule comes and goes ----+                           +--> how long
    a remote endpoint's label changes -+--> etcd --> agent --> kernel   and what it was spent on

The agent runs all the time: first with 10 remote endpoints, then 1,000, then W's 10,000 arrive.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import median

from tests.bench import world
from tests.bench.probe import probing
from tests.bench.table import Row, spread

CHANGES = 80
PAUSE_SECONDS = 0.02
ORIGINAL_RULE, ORIGINAL_LABEL = "24 / 40 ms", "118-128 / 155-206 ms"


@dataclass(frozen=True)
class Spent:
    """What changes took, and what of it is known."""

    seconds: list[float]
    writes: list[float]
    turns: list[tuple[float, float]]  # milliseconds: all, thinking
    cpu_ms: float

    def goes_to(self) -> str:
        """Say where the time goes."""
        turn, thought = (median(part) for part in zip(*self.turns, strict=True))
        write = median(self.writes) * 1000
        rest = median(self.seconds) * 1000 - write - turn
        return (
            f"etcd's write {write:.1f} ms, the agent's turn {turn:.1f} (of which thinking "
            f"{thought:.1f}; the rest renders and commits to the kernel), between processes and "
            f"threads {max(rest, 0):.1f}; CPU of the agent {self.cpu_ms:.1f} ms a change"
        )


def changes(node, agent, port, record: Callable[[bool], world.Record]) -> Spent:
    """Let the verdict on one port come and go."""
    seconds, writes, turns_before = [], [], len(agent.turns())
    with probing(node, port) as probe:
        cpu = agent.cpu_seconds
        for _ in range(CHANGES):
            passes = not probe.passes
            change = world.put(record(passes))
            took, wrote = probe.seconds_until(passes, lambda c=change: node.store.commit([c]))
            seconds.append(took)
            writes.append(wrote)
            time.sleep(PAUSE_SECONDS)
        cpu_ms = (agent.cpu_seconds - cpu) / CHANGES * 1000
    return Spent(seconds, writes, agent.turns()[turns_before:], cpu_ms)


def rows(node, agent) -> Iterator[Row]:
    """Measure with more and more remote endpoints; leave W in the datastore."""
    reached = 10
    for count in (10, 1_000, world.REMOTES):
        world.load(node.store, world.remotes(reached, count))
        reached = count
        agent.wait_until_idle()
        yield from both(node, agent, f"{count:,} remote")


def both(node, agent, where) -> Iterator[Row]:
    """Measure a rule and a label."""
    in_w = where.startswith(f"{world.REMOTES:,}")
    spent = changes(node, agent, world.RULE_PORT, lambda on: world.rule_policy(lets_in=on))
    yield Row(
        f"policy written -> first packet verdict, {where}",
        "ms",
        spread(spent.seconds),
        (5, 12),
        ORIGINAL_RULE if in_w else "",
        spent.goes_to(),
    )
    spent = changes(node, agent, world.LABEL_PORT, lambda on: world.prober(chosen=on))
    yield Row(
        f"label changed -> first packet verdict, {where}",
        "ms",
        spread(spent.seconds),
        (5, 12),
        ORIGINAL_LABEL if in_w else "",
        spent.goes_to(),
    )
