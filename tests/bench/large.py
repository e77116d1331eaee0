"""A large cluster seen from one node: 100,000 endpoints, 2,000 policies, 250 of the pods here.

    start of day             until ready, and the longest the loop gave no sign of life meanwhile
    one remote pod           a record read -> a set member committed to the kernel
    one policy               a record read -> what changes of the intent

The last two are the agent's own figures for its turns, not what a packet sees.
"""

import re
from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise
from statistics import median

from tests.bench import live, world
from tests.bench.node import running_node
from tests.bench.starts import memory_row
from tests.bench.table import Row

ENDPOINTS, POLICIES = 100_000, 2_000
MOMENT = re.compile(r"^(\S+ \S+) INFO felix\.(?:turns|loop)", re.MULTILINE)


def rows() -> Iterator[Row]:
    """Make a world of its own."""
    with running_node() as node:
        world.load(node.store, [*world.base(POLICIES), *world.remotes(0, ENDPOINTS)])
        with node.agent() as agent:
            cpu = agent.cpu_seconds
            agent.wait_until_idle()
            yield start_row(agent, cpu)
            yield memory_row(f"memory of the agent, {ENDPOINTS:,} endpoints", agent, None, "")
            yield from change_rows(node, agent)


def start_row(agent, cpu) -> Row:
    """Say how long the start took, and the longest silence."""
    moments = [datetime.fromisoformat(text) for text in MOMENT.findall(agent.said())]
    silences = [
        (after - before).total_seconds()
        for before, after in pairwise(moments)
        if (after - moments[0]).total_seconds() < agent.start_seconds
    ]
    return Row(
        f"start of day, {ENDPOINTS:,} endpoints: ready, longest silence",
        "s",
        (agent.start_seconds, max(silences, default=0.0)),
        (15, 1),
        "",
        f"reading and checking records; {cpu:.1f} s of CPU in all",
    )


def change_rows(node, agent) -> Iterator[Row]:
    """Change one remote pod, and one policy."""
    spent = live.changes(node, agent, world.LABEL_PORT, lambda on: world.prober(chosen=on))
    yield Row(
        "datastore event -> kernel commit, a remote pod of them",
        "ms",
        (median(all_ for all_, _ in spent.turns),),
        (1,),
        "",
        "the processor's caches, cold after 0.1 s of other work: the same turn takes 0.5 ms in a "
        f"tight loop, of which kernel 0.13; {spent.goes_to()}",
    )
    spent = live.changes(node, agent, world.RULE_PORT, lambda on: world.rule_policy(lets_in=on))
    yield Row(
        f"one policy change in the core, {POLICIES:,} policies",
        "ms",
        (median(thought for _, thought in spent.turns),),
        (1,),
        "",
        "reading the record, and its rules",
    )
