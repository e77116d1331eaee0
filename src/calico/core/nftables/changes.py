"""What a table holds, and the changes that bring it where it should be, as values.

    kernel/nftables --Contents--> reconcile/nftables --Change, in order--> kernel/nftables

A row of changes is one transaction: all of it is seen by packets at once. The order within the
row still matters, since a change may refer only to what the table held or an earlier one made.
"""

from collections.abc import Mapping
from typing import Literal, NamedTuple, TypeAlias

from msgspec import Struct

from calico.core.nftables.vocabulary import Chain, Element, Hook, Rule, Set, Verdict

Entry: TypeAlias = Verdict | Literal[True]  # what an element leads to: maps, sets
Rules: TypeAlias = tuple[Rule, ...]

# Stand for what these words cannot say: someone else wrote it into our table.
UNREADABLE_RULE = Rule((), "unreadable")
UNREADABLE_SET = Set(())
UNREADABLE_VERDICT = Verdict("return", "unreadable")


class Subject(NamedTuple):
    """What a change, and so its failure, is about."""

    kind: Literal["chain", "set", "element"]
    name: str  # of an element: its set
    element: Element = ()


class Contents(Struct, frozen=True):
    """All that one table holds. `elements` has a row for every set, be it empty."""

    chains: Mapping[str, Chain] = {}
    sets: Mapping[str, Set] = {}
    elements: Mapping[str, Mapping[Element, Entry]] = {}


class AddSet(Struct, frozen=True, tag=True):
    """Create a set or a verdict map; no effect on one that has this shape already."""

    name: str
    shape: Set


class DeleteSet(Struct, frozen=True, tag=True):
    """Remove a set that no rule refers to, with its elements."""

    name: str


class AddElements(Struct, frozen=True, tag=True):
    """Add these elements; no effect for those that are there."""

    set_name: str
    shape: Set
    elements: Mapping[Element, Entry]


class DeleteElements(Struct, frozen=True, tag=True):
    """Remove these elements, which lead to what is told."""

    set_name: str
    shape: Set
    elements: Mapping[Element, Entry]


class AddChain(Struct, frozen=True, tag=True):
    """Create a chain without rules; of a base chain that is there, set the policy."""

    name: str
    hook: Hook | None


class DeleteChain(Struct, frozen=True, tag=True):
    """Remove a chain that nothing jumps to, with its rules."""

    name: str


class SetRules(Struct, frozen=True, tag=True):
    """Make a chain hold `new`, touching as few rules as possible.

    `old` is what it is believed to hold; None: unknown, so everything is replaced. If the kernel
    refuses `new`, the chain gets `instead` in the same transaction; None: it keeps what it has.
    """

    chain: str
    old: Rules | None
    new: Rules
    instead: Rules | None = None


Change: TypeAlias = (
    AddSet | DeleteSet | AddElements | DeleteElements | AddChain | DeleteChain | SetRules
)


def subject(change: Change) -> Subject:
    """Say what a change is about; of several elements, their set."""
    match change:
        case AddSet() | DeleteSet():
            return Subject("set", change.name)
        case AddElements() | DeleteElements():
            if len(change.elements) == 1:
                return Subject("element", change.set_name, next(iter(change.elements)))
            return Subject("set", change.set_name)
        case AddChain() | DeleteChain():
            return Subject("chain", change.name)
        case SetRules():
            return Subject("chain", change.chain)


class Edit(NamedTuple):
    """Where two rows of rules differ: `old[first:last_old]` against `new[first:last_new]`."""

    first: int
    last_old: int
    last_new: int


def edit(old: Rules, new: Rules) -> Edit:
    """Find the common beginning and the common end of two rows of rules."""
    shorter = min(len(old), len(new))
    first = 0
    while first < shorter and old[first] == new[first]:
        first += 1
    common = 0
    while common < shorter - first and old[-1 - common] == new[-1 - common]:
        common += 1
    return Edit(first, len(old) - common, len(new) - common)
