"""Keep one nftables table equal to the chains, sets and elements we intend.

    TableDelta --update--> intended, due --batch--> plan --changes--> Table.apply --> kernel
                              ^                     pure              one transaction
                              `----- compare ------- Table.read_back, when unsure

Cost: what changed since the last `apply`, never the size of the table, save after a read-back.

Ownership: the whole table is ours. What stands in it and is not intended is a leftover of a
previous life, or somebody's mistake, and goes at the next read-back. Other tables do not exist
for us.

Failure: one bad rule never holds up the others. What failed is reported by subject and left until
its intent changes or the table is read back; the loop queues that resync with backoff. A chain
that the kernel refuses is made to drop (nftables_plan.drop_instead). A refusal may also mean that
the table is not as believed: then it is read back at once, and everything is tried once more.

Invariant: a key that is not due and not refused is believed to be in the kernel as intended.
"""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from itertools import islice
from typing import Protocol, TypeVar

from calico.core.nftables.changes import Change, Contents, Entry, Subject
from calico.core.nftables.normal import normal_element, normal_rule, normal_set
from calico.core.nftables.vocabulary import Chain, Element, Set, TableDelta
from calico.reconcile.difference import Difference
from calico.reconcile.nftables_plan import (
    UNKNOWN_CHAIN,
    Batch,
    Instead,
    Pair,
    drop_instead,
    is_remade,
    leaves_first,
    plan,
    refers_to,
)
from calico.reconcile.outcome import Outcome

Key = TypeVar("Key")
Value = TypeVar("Value")
EVERYTHING = 1 << 62


class Table(Protocol):
    """The kernel as needed here: kernel/nftables.py, kernel/fake_nftables.py in tests."""

    def read_back(self) -> Contents:
        """Read all that the table holds; no table is an empty one. Raises KernelError."""
        ...

    def apply(self, changes: Sequence[Change]) -> Mapping[Subject, str]:
        """Make all changes at once but those refused; return {subject: reason} of these."""
        ...

    def delete(self) -> None:
        """Remove the table with all it holds."""
        ...


class NftablesReconciler:
    """Owns one table. The agent's loop is its only caller, so it needs no locks."""

    def __init__(self, table: Table, instead: Instead = drop_instead) -> None:
        self._table = table
        self._instead = instead
        self._chains: Difference[str, Chain] = Difference()
        self._sets: Difference[str, Set] = Difference()
        self._elements: dict[str, Difference[Element, Entry]] = {}
        self._busy: dict[str, None] = {}  # sets with elements that are due
        self._is_unsure = True
        self._has_read = False
        self._failed: dict[Subject, str] = {}
        self.repairs = 0  # what others had changed and a resync set right

    def update(self, delta: TableDelta) -> None:
        """Accept new intent; touches memory only."""
        for name, shape in delta.sets.items():
            self._put_set(name, None if shape is None else normal_set(shape))
        for (name, element), entry in delta.elements.items():
            normal = normal_element(element)
            self._of(name).put(normal, entry)
            self._busy[name] = None
            if self._failed:
                self._failed.pop(Subject("element", name, normal), None)
        for name, chain in delta.chains.items():
            self._chains.put(name, None if chain is None else _normal_chain(chain))
            self._failed.pop(Subject("chain", name), None)

    def _put_set(self, name: str, shape: Set | None) -> None:
        old = self._sets.intended.get(name)
        if old is not None and old != shape:
            self._of(name).clear()  # it takes its elements with it
            self._busy[name] = None
            for key in [key for key in self._failed if key[:2] == ("element", name)]:
                del self._failed[key]
        self._sets.put(name, shape)
        self._failed.pop(Subject("set", name), None)

    def _of(self, name: str) -> Difference[Element, Entry]:
        elements = self._elements.get(name)
        if elements is None:
            elements = self._elements[name] = Difference()
        return elements

    def queue_resync(self) -> None:
        """Distrust what we believe about the kernel: on a timer, after a failure, on drift."""
        self._is_unsure = True

    def sweep(self) -> None:
        """Remove our table from the kernel, whatever is intended."""
        self._is_unsure = True
        self._table.delete()

    def apply(self, at_most: int = 4_000) -> Outcome:
        """Close the gap, for about this many keys. Raises KernelError if unreadable."""
        was_unsure, self._is_unsure = self._is_unsure, True  # until this attempt ends well
        if was_unsure:
            self._read_back()
        batch = self._take(at_most)
        failures = self._attempt(batch)
        if failures and not was_unsure:
            self._read_back()  # perhaps it failed because the table is not as believed
            batch = self._take(at_most)
            failures = self._attempt(batch)
        self._believe(batch, failures)
        self._is_unsure = False
        standing: dict[Hashable, str] = dict(self._failed.items())
        return Outcome(batch.size() - len(failures), standing, self._left())

    def _attempt(self, batch: Batch) -> Mapping[Subject, str]:
        changes = plan(batch, self._instead)
        return self._table.apply(changes) if changes else {}

    def _read_back(self) -> None:
        contents = self._table.read_back()
        surprises = self._chains.compare(contents.chains) + self._sets.compare(contents.sets)
        for name in {*self._elements, *contents.elements}:
            elements = self._of(name)
            surprises += elements.compare(contents.elements.get(name, {}))
            if elements.due:
                self._busy[name] = None
        if self._has_read:
            self.repairs += surprises
        self._has_read = True
        self._failed.clear()

    def _left(self) -> int:
        wanted = self._sets.intended  # elements of others go with their sets
        elements = sum(len(self._elements[name].due) for name in self._busy if name in wanted)
        return len(self._chains.due) + len(self._sets.due) + elements

    def _take(self, at_most: int) -> Batch:
        """Choose what to work on: in the order of the plan, so that a cut is harmless."""
        all_sets = self._sets.pairs(EVERYTHING, wanted=True)
        all_chains = self._chains.pairs(EVERYTHING, wanted=True)
        remade = frozenset(
            name for pairs in (all_sets, all_chains) for name in pairs if is_remade(pairs[name])
        )
        room = _Room(EVERYTHING if remade else at_most)
        sets = room.some(all_sets, all_sets)
        elements = self._take_elements(room, remade, maps=False)
        chains = room.some(all_chains, _wanted_order(all_chains, room.left))
        elements |= self._take_elements(room, remade, maps=True)
        if room.left > 0:  # all that may have used them is written
            gone = self._chains.pairs(EVERYTHING, wanted=False)
            chains |= room.some(gone, _unwanted_order(gone, room.left))
        sets |= self._sets.pairs(room.left, wanted=False)
        shapes = {name: shape for name in elements if (shape := self._shape(name))}
        emptied = self._users(remade)
        chains |= {name: (held, self._chains.intended.get(name)) for name, held in emptied.items()}
        return Batch(chains, sets, elements, shapes, emptied)

    def _take_elements(
        self, room: "_Room", remade: frozenset[str], *, maps: bool
    ) -> dict[str, Mapping[Element, Pair[Entry]]]:
        taken: dict[str, Mapping[Element, Pair[Entry]]] = {}
        for name in self._busy:
            shape, elements = self._shape(name), self._elements[name]
            if shape is None or shape.verdicts is not maps or room.left <= 0:
                continue
            if name in remade:
                taken[name] = {e: (None, want) for e, want in elements.intended.items()}
                continue
            pairs = elements.pairs(EVERYTHING if shape.intervals else room.left)
            # Room for a prefix is made before it comes: the kernel refuses what overlaps.
            order = (
                sorted(pairs, key=lambda e: pairs[e][1] is not None) if shape.intervals else pairs
            )
            taken[name] = room.some(pairs, order)
        return taken

    def _shape(self, name: str) -> Set | None:
        """Tell what a set with elements to change is like; None: they go with the set.

        A verdict map is emptied before it goes, since it holds on to chains that go before it.
        """
        intended, held = self._sets.intended.get(name), self._sets.held(name)
        if intended is None and held is not None and held.verdicts:
            return held
        return intended

    def _users(self, remade: frozenset[str]) -> dict[str, Chain]:
        """Find the chains that must let go of what is made anew."""
        if not remade:
            return {}
        users: dict[str, Chain] = {}
        for name in {*self._chains.intended, *self._chains.due}:
            held = self._chains.held(name)
            if held is not None and any(refers_to(rule, remade) for rule in held.rules):
                users[name] = held
        return users

    def _believe(self, batch: Batch, failures: Mapping[Subject, str]) -> None:
        """Draw the conclusions from an attempt."""
        if self._failed:
            for key in batch.subjects():
                self._failed.pop(key, None)
        self._failed.update(failures)
        for kind, name, _ in failures:
            if kind == "chain":
                self._chains.refuse(name, UNKNOWN_CHAIN)
            elif kind == "set" and name in batch.sets:
                held, want = batch.sets[name]
                self._sets.refuse(name, None if want else held)
        self._chains.settle(batch.chains)
        self._sets.settle(batch.sets)
        for name, pairs in batch.elements.items():
            self._believe_elements(name, pairs, failures)
        for name in batch.sets.keys() - self._sets.intended.keys() - self._sets.refused.keys():
            self._elements.pop(name, None)  # they went with it
            self._busy.pop(name, None)

    def _believe_elements(
        self, name: str, pairs: Mapping[Element, Pair[Entry]], failures: Mapping[Subject, str]
    ) -> None:
        elements = self._elements[name]
        if failures:
            all_failed = Subject("set", name) in failures
            for element, (held, want) in pairs.items():
                if all_failed or Subject("element", name, element) in failures:
                    elements.refuse(element, None if want else held)
        elements.settle(pairs)
        if not elements.due:
            self._busy.pop(name, None)


class _Room:
    """How many keys still fit into this turn."""

    def __init__(self, at_most: int) -> None:
        self.left = at_most

    def some(
        self, pairs: Mapping[Key, Pair[Value]], order: Iterable[Key]
    ) -> dict[Key, Pair[Value]]:
        """Take the first ones, as many as fit."""
        taken = {key: pairs[key] for key in islice(order, max(self.left, 0))}
        self.left -= len(taken)
        return taken


def _wanted_order(pairs: Mapping[str, Pair[Chain]], room: int) -> Iterable[str]:
    """Order chains for a cut; what fits into one transaction needs no order."""
    if len(pairs) <= room:
        return pairs
    return leaves_first({name: want for name, (_, want) in pairs.items() if want is not None})


def _unwanted_order(pairs: Mapping[str, Pair[Chain]], room: int) -> Iterable[str]:
    if len(pairs) <= room:
        return pairs
    return reversed(leaves_first({n: held for n, (held, _) in pairs.items() if held is not None}))


def _normal_chain(chain: Chain) -> Chain:
    rules = tuple([normal_rule(rule) for rule in chain.rules])
    if all(a is b for a, b in zip(rules, chain.rules, strict=True)):
        return chain
    return Chain(rules, chain.hook)
