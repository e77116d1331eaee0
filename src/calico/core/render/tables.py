"""One table's contents, and the ledger that turns "this is so now" into "this has changed".

    put_chain, put_set, put_entry, put_member --> Ledger --flush--> TableDelta

The ledger remembers chains, sets and entries (a chain it shares with whoever applies it), so that
saying again what is already so is no change. Members of IP sets can be many and are remembered
by `sets.SetMembers` alone: the ledger passes them on.

Invariant: what `flush` returns, applied in order, is what was last said. A set that goes takes its
elements with it; one that went and came back since the last flush has, for each member that did
not come back, an element that is None.
"""

from collections.abc import Mapping
from typing import Literal, TypeAlias, TypeVar

from msgspec import Struct

from calico.core.nftables.vocabulary import Chain, Element, Set, TableDelta, Verdict

ElementKey: TypeAlias = tuple[str, Element]  # set name, element
ElementValue: TypeAlias = Verdict | Literal[True]
Key = TypeVar("Key")
Value = TypeVar("Value")


class Table(Struct, frozen=True):
    """The whole contents of one table, as the definition gives it; the same keys as a delta."""

    chains: Mapping[str, Chain] = {}
    sets: Mapping[str, Set] = {}
    elements: Mapping[ElementKey, ElementValue] = {}


class Ledger:
    """What one table holds and what of it is news."""

    def __init__(self) -> None:
        self._chains: dict[str, Chain] = {}
        self._sets: dict[str, Set] = {}
        self._entries: dict[ElementKey, ElementValue] = {}
        self._new_chains: dict[str, Chain | None] = {}
        self._new_sets: dict[str, Set | None] = {}
        self._new_elements: dict[ElementKey, ElementValue | None] = {}

    def put_chain(self, name: str, chain: Chain | None) -> None:
        """Say what a chain holds, or that there is none."""
        self._new_chains[name] = chain

    def put_set(self, name: str, shape: Set | None) -> None:
        """Say what a set is like, or that there is none; then its members go without saying."""
        self._new_sets[name] = shape

    def put_entry(self, set_name: str, element: Element, value: ElementValue | None) -> None:
        """Say what an element of a map, or of a set that the ledger remembers, is."""
        key = (set_name, element)
        if self._entries.get(key) != value:
            put(self._entries, key, value)
            self._new_elements[key] = value

    def put_member(self, set_name: str, element: Element, value: Literal[True] | None) -> None:
        """Pass on that an IP set has gained or lost a member."""
        self._new_elements[set_name, element] = value

    def flush(self) -> TableDelta | None:
        """Take what has changed since the last flush; None if nothing has."""
        chains = settle(self._chains, self._new_chains)
        sets = settle(self._sets, self._new_sets)
        gone = {name for name, shape in self._new_sets.items() if shape is None}
        elements = self._new_elements
        if gone:
            elements = {key: value for key, value in elements.items() if key[0] not in gone}
        self._new_chains, self._new_sets, self._new_elements = {}, {}, {}
        if not (chains or sets or elements):
            return None
        return TableDelta(chains, sets, elements)


def settle(held: dict[str, Value], new: dict[str, Value | None]) -> dict[str, Value | None]:
    """Accept news into what is held; return, by name, the part of it that was news."""
    changed = {name: new[name] for name in sorted(new) if held.get(name) != new[name]}
    for name, value in changed.items():
        put(held, name, value)
    return changed


def put(table: dict[Key, Value], key: Key, value: Value | None) -> None:
    """Store a value; None means "no longer"."""
    if value is None:
        table.pop(key, None)
    else:
        table[key] = value
