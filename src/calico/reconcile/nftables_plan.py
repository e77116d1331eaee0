"""Put the changes of one table into an order in which each refers only to what is there.

    Batch {name: (held, wanted)} --plan--> [Change, ...]          pure

    1 users of what must be made anew are emptied      5 chains get their rules
    2 sets and maps are made                           6 verdict maps change
    3 members of sets change                           7 chains are removed
    4 chains are made, empty                           8 sets and maps are removed

A row is one transaction, so packets never see the steps between. The order is for the kernel,
which reads the row from the top, and for work that must be cut into several rows: cut anywhere,
what is used is there before its user, and users go before what they used.

Invariant: plan of a batch in which nothing differs is empty.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeAlias, TypeVar

from msgspec import Struct

from calico.core.nftables.changes import (
    UNREADABLE_RULE,
    AddChain,
    AddElements,
    AddSet,
    Change,
    DeleteChain,
    DeleteElements,
    DeleteSet,
    Entry,
    Rules,
    SetRules,
    Subject,
)
from calico.core.nftables.vocabulary import (
    Chain,
    Dispatch,
    Element,
    InSet,
    Rule,
    Set,
    Verdict,
)

Value = TypeVar("Value")
Pair: TypeAlias = tuple[Value | None, Value | None]  # held, wanted
Instead: TypeAlias = Callable[[str, Chain], Rules | None]

# Of a chain that was refused: it may hold its old rules, or others, or not be there at all.
UNKNOWN_CHAIN = Chain((UNREADABLE_RULE,))

DROP_RULE = Rule((Verdict("drop"),), "refused by the kernel")


class Batch(Struct, frozen=True):
    """A part of what differs. `shapes` says what the sets of these elements are like."""

    chains: Mapping[str, Pair[Chain]] = {}
    sets: Mapping[str, Pair[Set]] = {}
    elements: Mapping[str, Mapping[Element, Pair[Entry]]] = {}
    shapes: Mapping[str, Set] = {}
    emptied: Mapping[str, Chain] = {}  # users of what must be made anew, as they are held

    def subjects(self) -> Iterator[Subject]:
        """Name everything in it."""
        yield from (Subject("chain", name) for name in self.chains)
        yield from (Subject("set", name) for name in self.sets)
        yield from (Subject("element", n, e) for n, rows in self.elements.items() for e in rows)

    def size(self) -> int:
        """Count what is in it."""
        return len(self.chains) + len(self.sets) + sum(map(len, self.elements.values()))


def drop_instead(name: str, chain: Chain) -> Rules | None:
    """Fail closed: a chain that the kernel refuses drops all that reaches it.

    Base chains keep what they hold: they see traffic that is none of ours. So do chains of
    nat (names "nat-..."), which translate and do not judge.
    """
    if chain.hook is not None or name.startswith("nat-"):
        return None
    return (DROP_RULE,)


def is_remade(pair: Pair[Chain] | Pair[Set]) -> bool:
    """Whether the kernel cannot change this in place: a set's shape, a base chain's hook."""
    held, wanted = pair
    if held is None or wanted is None or held == UNKNOWN_CHAIN:
        return False
    if isinstance(held, Chain) and isinstance(wanted, Chain):
        return _place(held) != _place(wanted)
    return held != wanted


def _place(chain: Chain) -> tuple[str, str, int] | None:
    hook = chain.hook
    return None if hook is None else (hook.type, hook.hook, hook.priority)


def refers_to(rule: Rule, names: frozenset[str]) -> bool:
    """Whether a rule uses one of these sets, maps or chains."""
    for expression in rule.expressions:
        match expression:
            case InSet(set_name=name) | Dispatch(map_name=name) | Verdict(chain=name):
                if name in names:
                    return True
            case _:
                pass
    return rule == UNREADABLE_RULE  # it may


def plan(batch: Batch, instead: Instead = drop_instead) -> list[Change]:
    """List the changes that make everything in the batch as wanted."""
    remade_sets = [name for name, pair in batch.sets.items() if is_remade(pair)]
    remade_chains = [name for name, pair in batch.chains.items() if is_remade(pair)]
    made = [(n, want) for n, (held, want) in batch.sets.items() if want and held != want]
    wanted = {n: (held, want) for n, (held, want) in batch.chains.items() if want is not None}
    unwanted = {n: held for n, (held, want) in batch.chains.items() if held and not want}
    plain = {n: rows for n, rows in batch.elements.items() if not batch.shapes[n].verdicts}
    maps = {n: rows for n, rows in batch.elements.items() if batch.shapes[n].verdicts}
    return [
        *(SetRules(name, chain.rules, ()) for name, chain in batch.emptied.items()),
        *(DeleteChain(name) for name in remade_chains),
        *(DeleteSet(name) for name in remade_sets),
        *(AddSet(name, shape) for name, shape in made),
        *_element_changes(plain, batch.shapes),
        *_new_chains(wanted),
        *_new_rules(batch, wanted, instead),
        *_element_changes(maps, batch.shapes),
        *(DeleteChain(name) for name in reversed(leaves_first(unwanted))),
        *(DeleteSet(n) for n, (held, want) in batch.sets.items() if held and not want),
    ]


def _new_chains(wanted: Mapping[str, tuple[Chain | None, Chain]]) -> Iterable[Change]:
    for name, (held, want) in wanted.items():
        if held is None or held == UNKNOWN_CHAIN or held.hook != want.hook:
            yield AddChain(name, want.hook)


def _new_rules(
    batch: Batch, wanted: Mapping[str, tuple[Chain | None, Chain]], instead: Instead
) -> Iterable[Change]:
    # Base chains first: if the whole is illegal, the kernel blames what comes last, and a base
    # chain is the worst to lose.
    for name in sorted(wanted, key=lambda n: wanted[n][1].hook is None):
        held, want = wanted[name]
        old: Rules | None = held.rules if held is not None else ()
        if name in batch.emptied or is_remade((held, want)):
            old = ()
        if held == UNKNOWN_CHAIN:
            old = None
        if old != want.rules:
            yield SetRules(name, old, want.rules, instead(name, want))


def _element_changes(
    rows: Mapping[str, Mapping[Element, Pair[Entry]]], shapes: Mapping[str, Set]
) -> Iterable[Change]:
    """Change members; what goes first makes room for prefixes that overlap with it."""
    for name, pairs in rows.items():
        shape = shapes[name]
        gone = {e: held for e, (held, want) in pairs.items() if held and held != want}
        new = {e: want for e, (held, want) in pairs.items() if want and held != want}
        if gone:
            yield DeleteElements(name, shape, gone)
        if new:
            yield AddElements(name, shape, new)


def leaves_first(chains: Mapping[str, Chain]) -> list[str]:
    """Order chains so that each comes after those it jumps to."""
    ordered: dict[str, None] = {}
    begun: set[str] = set()
    for start in chains:
        stack = [start]
        while stack:
            name = stack[-1]
            if name in begun:
                ordered[name] = None
                stack.pop()
            else:
                begun.add(name)
                stack.extend(t for t in targets(chains[name]) if t in chains and t not in begun)
    return list(ordered)


def targets(chain: Chain) -> list[str]:
    """List the chains that this one jumps or goes to by itself, not by a map."""
    return [
        expression.chain
        for rule in chain.rules
        for expression in rule.expressions
        if isinstance(expression, Verdict) and expression.chain
    ]
