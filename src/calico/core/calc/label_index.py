"""Which selectors match which labels, kept while either changes.

    own labels + profiles --hold--> group number      one group per distinct label set,
    profile labels ------set_profile----+             however many endpoints share it
    selectors -----------set_selector---+--> matching(selector): groups, as bits
                                             selectors_of(group): names

    a selector appears   it is evaluated over all groups at once, on bits    (queries.py)
    a group appears      only selectors that could match are evaluated       (candidates.py)

Ten thousand pods have some hundred distinct label sets (measured: 592), so nearly every pod that
comes finds its group, and with it the answer, ready.

Invariant: `matching(s)` has bit g exactly if s matches the effective labels of group g.
"""

from collections.abc import Hashable, Mapping
from typing import Generic, NamedTuple, TypeVar

from calico.core.calc.bits import members
from calico.core.calc.candidates import Candidates
from calico.core.calc.labels import Labelled, Labels, effective_labels
from calico.core.calc.postings import Postings
from calico.core.calc.queries import needs, query
from calico.core.selector.ast import Selector

Name = TypeVar("Name", bound=Hashable)


class Relabelling(NamedTuple, Generic[Name]):
    """What a profile's change will do to one group."""

    group: int
    labels: Labels
    gained: frozenset[Name]
    lost: frozenset[Name]


class _Group:
    """One distinct pair of own labels and profiles, and how many hold it."""

    __slots__ = ("holders", "labels", "subject")

    def __init__(self, subject: Labelled, labels: Labels) -> None:
        self.subject = subject
        self.labels = labels
        self.holders = 0


class LabelIndex(Generic[Name]):
    """Groups of labels, against named selectors."""

    def __init__(self) -> None:
        self._numbers: dict[Labelled, int] = {}
        self._groups: dict[int, _Group] = {}
        self._free: list[int] = []  # numbers of groups that are gone
        self._profiles: dict[str, Labels] = {}
        self._inheritors: dict[str, set[int]] = {}  # profile -> groups that refer to it
        self._selectors: dict[Name, Selector] = {}
        self._matching: dict[Name, int] = {}  # same keys
        self._postings = Postings()
        self._candidates: Candidates[Name] = Candidates()
        self._known: dict[int, frozenset[Name]] = {}  # answers of selectors_of, while they hold

    def hold(self, subject: Labelled) -> int:
        """Return the group of these labels, which stays until it is released as often."""
        number = self._numbers.get(subject)
        if number is None:
            number = self._free.pop() if self._free else len(self._groups)
            self._numbers[subject] = number
            labels = effective_labels(subject, self._profiles)
            self._groups[number] = _Group(subject, labels)
            for profile in subject.profiles:
                self._inheritors.setdefault(profile, set()).add(number)
            self._enter(number, labels, self._evaluate(labels))
        self._groups[number].holders += 1
        return number

    def release(self, number: int) -> None:
        """Give back one hold; the last one ends the group."""
        group = self._groups[number]
        group.holders -= 1
        if group.holders:
            return
        self._leave(number, group.labels)
        for profile in dict.fromkeys(group.subject.profiles):
            self._inheritors[profile].discard(number)
            if not self._inheritors[profile]:
                del self._inheritors[profile]
        del self._numbers[group.subject], self._groups[number]
        self._free.append(number)

    def set_profile(self, name: str, labels: Labels | None) -> list[Relabelling[Name]]:
        """Learn a profile's labels; return what `relabel` must then do, group by group."""
        if labels is None:
            self._profiles.pop(name, None)
        else:
            self._profiles[name] = labels
        changes = []
        for number in sorted(self._inheritors.get(name, ())):
            group = self._groups[number]
            new = effective_labels(group.subject, self._profiles)
            if new != group.labels:
                old_names, new_names = self.selectors_of(number), self._evaluate(new)
                gained, lost = new_names - old_names, old_names - new_names
                changes.append(Relabelling(number, new, gained, lost))
        return changes

    def relabel(self, change: Relabelling[Name]) -> None:
        """Let a group have its new labels."""
        group = self._groups[change.group]
        names = (self.selectors_of(change.group) - change.lost) | change.gained
        self._leave(change.group, group.labels)
        group.labels = change.labels
        self._enter(change.group, group.labels, names)

    def set_selector(self, name: Name, selector: Selector | None) -> int:
        """Add, change or forget a selector; return the groups whose answer changed, as bits."""
        old = self._matching.pop(name, 0)
        if self._selectors.pop(name, None) is not None:
            self._candidates.remove(name)
        new = 0
        if selector is not None:
            new = query(selector, self._postings)
            self._selectors[name], self._matching[name] = selector, new
            self._candidates.add(name, needs(selector, self._candidates.weight))
        if old != new:
            self._known.clear()
        return old ^ new

    def matching(self, name: Name) -> int:
        """Return the groups that a selector matches, as bits; 0 for an unknown one."""
        return self._matching.get(name, 0)

    def selectors_of(self, number: int) -> frozenset[Name]:
        """Return the names of the selectors that match a group."""
        names = self._known.get(number)
        if names is None:
            names = self._known[number] = self._evaluate(self._groups[number].labels)
        return names

    def subject(self, number: int) -> Labelled:
        """Return the own labels and profiles of a group."""
        return self._groups[number].subject

    def _evaluate(self, labels: Labels) -> frozenset[Name]:
        selectors = self._selectors
        return frozenset(n for n in self._candidates.of(labels) if selectors[n].matches(labels))

    def _enter(self, number: int, labels: Labels, names: frozenset[Name]) -> None:
        self._postings.add(number, labels)
        for name in names:
            self._matching[name] |= 1 << number
        self._known[number] = names

    def _leave(self, number: int, labels: Labels) -> None:
        for name in self.selectors_of(number):
            self._matching[name] &= ~(1 << number)
        self._postings.remove(number, labels)
        del self._known[number]


def matching_names(labels: Labels, selectors: Mapping[Name, Selector]) -> frozenset[Name]:
    """Define `selectors_of`: all selectors that match, found by asking each."""
    return frozenset(name for name, selector in selectors.items() if selector.matches(labels))


def groups_of(bits: int) -> list[int]:
    """List the groups of an answer."""
    return list(members(bits))
