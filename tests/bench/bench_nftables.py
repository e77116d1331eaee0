"""How fast a table is programmed: our messages against an `nft -f` process, in one run.

    flat    10,000 chains of 5 rules, reached by a verdict map
    W       250 endpoints that jump to 20 of 1,000 policies each, 200 sets of 50 members

Prints milliseconds, which depend on the machine, and ratios, which should not. Asserts nothing.
Needs root: it works in a network namespace of its own.
Run: python tests/bench/bench_nftables.py
"""

import gc
import os
import time
from collections.abc import Callable
from random import Random
from statistics import median

from calico.core.nftables.changes import Contents
from calico.core.nftables.text import render_rule, render_table
from calico.core.nftables.vocabulary import (
    Chain,
    CtState,
    Dispatch,
    Hook,
    InSet,
    Is,
    Rule,
    Set,
    SetMark,
    TableDelta,
    Verdict,
)
from calico.kernel import netns
from calico.kernel.nftables import KernelTable
from calico.kernel.run import run
from calico.reconcile.nftables import NftablesReconciler

ADDRESSES, INTERFACES = Set(("saddr",)), Set(("iifname",), verdicts=True)
BASE = Chain((Rule((Dispatch(("iifname",), "dispatch"),)),), Hook("filter", "forward", 0))
ACCEPTED = 0x10000
ALLOWED = Rule((Is("mark", ACCEPTED, mask=ACCEPTED), Verdict("return")))


def policy(number: int, port: int = 80) -> Chain:
    """Return the chain of one policy; `port` makes it another one."""
    allow = SetMark(ACCEPTED, ACCEPTED)
    members = InSet(("saddr",), f"s{number % 200}")
    return Chain(
        (
            Rule((members, Is("l4proto", 6), Is("dport", port), allow), f"policy {number}"),
            ALLOWED,
            Rule((Is("saddr", f"10.{number % 250}.0.0/16"), Is("l4proto", 17), allow)),
            ALLOWED,
            Rule((Is("saddr", f"172.16.{number % 250}.1"), Verdict("drop"))),
        )
    )


def flat(chains: int) -> Contents:
    """Return many chains that share nothing."""
    names = [f"c{number}" for number in range(chains)]
    table = {name: policy(number) for number, name in enumerate(names)}
    targets = {(f"cali{name}",): Verdict("goto", name) for name in names}
    sets = {f"s{number}": ADDRESSES for number in range(200)}
    return Contents(
        {**table, "base": BASE}, {**sets, "dispatch": INTERFACES}, {"dispatch": targets}
    )


def world() -> Contents:
    """Return W."""
    chance = Random(1)  # noqa: S311  # the same world each time
    established = Rule((CtState(frozenset({"established", "related"})), Verdict("accept")))
    chains = {f"pi-{number}": policy(number) for number in range(1_000)}
    for number in range(250):
        jumps = [Rule((Verdict("jump", f"pi-{chance.randrange(1_000)}"),)) for _ in range(20)]
        rules = (established, *jumps, Rule((Verdict("drop"),)))
        chains[f"tw-cali{number}"] = Chain(rules)
    sets = {f"s{number}": ADDRESSES for number in range(200)}
    members = {
        name: {(f"10.{number}.{i >> 8}.{i & 255}",): True for i in range(50)}
        for number, name in enumerate(sets)
    }
    targets = {(f"cali{n}",): Verdict("goto", f"tw-cali{n}") for n in range(250)}
    return Contents(
        {**chains, "base": BASE}, {**sets, "dispatch": INTERFACES}, {**members, "dispatch": targets}
    )


def as_delta(contents: Contents) -> TableDelta:
    """Say all of it as news."""
    elements = {
        (name, element): entry
        for name, rows in contents.elements.items()
        for element, entry in rows.items()
    }
    return TableDelta(contents.chains, contents.sets, elements)


def milliseconds(work: Callable[[], object], times: int = 1) -> float:
    """Return the median time of some work."""
    taken = []
    for _ in range(times):
        begun = time.perf_counter()
        work()
        taken.append(1_000 * (time.perf_counter() - begun))
    return median(taken)


def settle(reconciler: NftablesReconciler) -> None:
    """Apply, in turns of the usual size, until nothing is left."""
    while True:
        outcome = reconciler.apply()
        assert not outcome.failures, outcome.failures
        if not outcome.left:
            return


def report(what: str, ours: float, theirs: float | None = None) -> None:
    """Print one line."""
    ratio = f"  nft -f {theirs:9.2f} ms   ratio {theirs / ours:6.1f}" if theirs else ""
    print(f"{what:44} {ours:9.3f} ms{ratio}")


def nft(text: str) -> str:
    """Give it to a process of the tool."""
    return run(["nft", "-f", "-"], text, deadline_seconds=60)


def measure(name: str, contents: Contents, changed: str) -> None:
    """Load a world both ways, change it both ways, look at it both ways."""
    table = KernelTable("ip", "calico")
    text, delta = render_table("ip", "calico", contents), as_delta(contents)
    theirs = milliseconds(lambda: nft(text))
    table.delete()
    reconciler = NftablesReconciler(table)
    accepted = milliseconds(lambda: reconciler.update(delta))
    report(f"{name}: accept {len(contents.chains)} chains", accepted)
    report(f"{name}: load", milliseconds(lambda: settle(reconciler)), theirs)
    measure_one_rule(name, reconciler, changed)
    measure_one_element(name, reconciler)
    report(f"{name}: nothing to do", milliseconds(reconciler.apply, 200))
    theirs = milliseconds(lambda: run(["nft", "-j", "list", "ruleset"], deadline_seconds=60))
    report(
        f"{name}: read back and compare; list", milliseconds(lambda: resync(reconciler), 3), theirs
    )
    table.close()


def resync(reconciler: NftablesReconciler) -> None:
    """Distrust everything once."""
    reconciler.queue_resync()
    settle(reconciler)


def measure_one_rule(name: str, reconciler: NftablesReconciler, changed: str) -> None:
    """Change the first rule of one policy."""
    rule = render_rule(policy(7, 9).rules[0])
    theirs = milliseconds(lambda: nft(f"insert rule ip calico {changed} {rule}"), 5)
    resync(reconciler)
    ports = iter(range(1_000, 2_000))

    def change() -> None:
        reconciler.update(TableDelta({changed: policy(7, next(ports))}))
        settle(reconciler)

    report(f"{name}: one rule", milliseconds(change, 50), theirs)


def measure_one_element(name: str, reconciler: NftablesReconciler) -> None:
    """Add one member to a set, as when a pod appears somewhere."""
    numbers = iter(range(1_000))

    def add() -> None:
        each = next(numbers)
        reconciler.update(TableDelta({}, {}, {("s5", (f"11.0.{each >> 8}.{each & 255}",)): True}))
        settle(reconciler)

    theirs = milliseconds(lambda: nft(f"add element ip calico s5 {{ 12.0.0.{next(numbers)} }}"), 5)
    resync(reconciler)
    report(f"{name}: one element", milliseconds(add, 200), theirs)


def main() -> None:
    """Measure in a namespace of our own."""
    gc.disable()  # as in the agent around bulk work
    descriptor = netns.create()
    try:
        with netns.inside(descriptor):
            measure("W", world(), "pi-7")
        with netns.inside(descriptor):
            run(["nft", "flush", "ruleset"])
            measure("flat", flat(10_000), "c7")
    finally:
        os.close(descriptor)


if __name__ == "__main__":
    main()
