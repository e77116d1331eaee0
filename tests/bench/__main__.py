"""The budget table: ours, the target, and what the original does. See docs/design/performance.md.

    python -m tests.bench               everything, about two minutes
    python -m tests.bench ipam routes   some groups only: agent, ipam, routes, large

Needs root: every group makes namespaces and an etcd of its own, and leaves nothing. The original's
figures were measured earlier on the same kind of machine, with nothing else running; figures taken
beside other work are larger, so look at the CPU times then.
"""

import argparse
import os
import sys
import time

from tests.bench import cni, ipam, large, live, routes, starts, world
from tests.bench.node import running_node
from tests.bench.table import heading, line


def agent_rows():
    """Start, change, start again: one world, growing."""
    with running_node() as node:
        yield from starts.idle_rows(node)
        say("loading W")
        world.load(node.store, [*world.base(), *world.remotes(0, 10)])
        with node.agent() as agent:
            agent.wait_until_idle()
            yield from live.rows(node, agent)
        yield from cni.rows(node)
        yield from starts.rows(node)


def ipam_rows():
    """Address management alone with etcd."""
    with running_node() as node:
        yield from ipam.rows(node)


GROUPS = {"agent": agent_rows, "ipam": ipam_rows, "routes": routes.rows, "large": large.rows}


def say(text):
    """Tell what takes time now."""
    print(f"... {text}", file=sys.stderr, flush=True)


def main():
    """Measure, and print row by row."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("groups", nargs="*", choices=[[], *GROUPS], help="default: all")
    chosen = parser.parse_args().groups or list(GROUPS)
    started, missed = time.monotonic(), []
    print(f"{os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}", flush=True)
    print(heading())
    for name in chosen:
        for row in GROUPS[name]():
            print(line(row), flush=True)
            missed += [row.what] if row.missed else []
    print(
        f"\n{len(missed)} missed, {time.monotonic() - started:.0f} s, load {os.getloadavg()[0]:.1f}"
    )


if __name__ == "__main__":
    main()
