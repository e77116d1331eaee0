"""An nftables table in memory, for tests: the promises of kernel/nftables.py, without a kernel.

It refuses what the kernel refuses (unknown targets, sets in use, overlapping prefixes), and what
a test tells it to, by subject. The contract test holds it to the real one.
"""

from collections.abc import Mapping, Sequence
from ipaddress import ip_network

from calico.core.nftables.changes import (
    AddChain,
    AddElements,
    AddSet,
    Change,
    Contents,
    DeleteChain,
    DeleteElements,
    DeleteSet,
    Entry,
    Rules,
    SetRules,
    Subject,
    edit,
    subject,
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


class _Refused(Exception):
    """The change cannot be made; the text says why."""


class FakeTable:
    """One table. `refuse` holds the subjects whose changes fail."""

    def __init__(self) -> None:
        self.chains: dict[str, Chain] = {}
        self.sets: dict[str, Set] = {}
        self.elements: dict[str, dict[Element, Entry]] = {}
        self.refuse: set[Subject] = set()
        self.applied: list[Change] = []

    def read_back(self) -> Contents:
        """Read all that the table holds."""
        elements = {name: dict(rows) for name, rows in self.elements.items()}
        return Contents(dict(self.chains), dict(self.sets), elements)

    def delete(self) -> None:
        """Remove everything."""
        self.chains.clear()
        self.sets.clear()
        self.elements.clear()

    def apply(self, changes: Sequence[Change]) -> Mapping[Subject, str]:
        """Make all changes but those refused; return the reasons."""
        failures: dict[Subject, str] = {}
        given_up: set[Subject] = set()
        for change in changes:
            if self._owner(change) not in given_up:
                self._try(change, failures, given_up)
        return failures

    def _owner(self, change: Change) -> Subject:
        if isinstance(change, AddElements | DeleteElements):
            return Subject("set", change.set_name)
        return subject(change)

    def _try(self, change: Change, failures: dict[Subject, str], given_up: set[Subject]) -> None:
        if isinstance(change, AddElements | DeleteElements):
            for element, entry in change.elements.items():
                self._try_element(change, element, entry, failures)
            return
        self.applied.append(change)
        try:
            self._ask(subject(change))
            self._make(change)
        except _Refused as reason:
            failures[subject(change)] = str(reason)
            if not isinstance(change, SetRules):
                given_up.add(subject(change))
            elif change.instead is not None and change.chain in self.chains:
                self._set_rules(change.chain, change.instead)
            elif change.old == ():
                self.chains.pop(change.chain, None)  # its making is undone

    def _ask(self, key: Subject) -> None:
        if key in self.refuse:
            raise _Refused("told so")

    def _try_element(
        self,
        change: AddElements | DeleteElements,
        element: Element,
        entry: Entry,
        failures: dict[Subject, str],
    ) -> None:
        key = Subject("element", change.set_name, element)
        self.applied.append(change)
        try:
            self._ask(key)
            if isinstance(change, DeleteElements):
                self.elements.get(change.set_name, {}).pop(element, None)
            else:
                self._add_element(change, element, entry)
        except _Refused as reason:
            failures[key] = str(reason)

    def _add_element(self, change: AddElements, element: Element, entry: Entry) -> None:
        if change.set_name not in self.sets:
            raise _Refused("no such set")
        rows = self.elements[change.set_name]
        if change.shape.intervals and any(_overlap(element, e) for e in rows if e != element):
            raise _Refused("overlaps")
        if entry is not True and entry.chain and entry.chain not in self.chains:
            raise _Refused("no such chain")
        if rows.get(element, entry) != entry:
            raise _Refused("is there with another verdict")
        rows[element] = entry

    def _make(self, change: Change) -> None:
        match change:
            case AddSet(name=name, shape=shape):
                if self.sets.setdefault(name, shape) != shape:
                    raise _Refused("is there with another shape")
                self.elements.setdefault(name, {})
            case DeleteSet(name=name):
                self._must_be_unused(name)
                self.sets.pop(name, None)
                self.elements.pop(name, None)
            case AddChain(name=name, hook=hook):
                rules = self.chains[name].rules if name in self.chains else ()
                self.chains[name] = Chain(rules, hook)
            case DeleteChain(name=name):
                self._must_be_unused(name)
                self.chains.pop(name, None)
            case SetRules(chain=name, old=old, new=new):
                self._set_rules(name, new, old)
            case _:
                pass

    def _set_rules(self, name: str, rules: Rules, old: Rules | None = None) -> None:
        if name not in self.chains:
            raise _Refused("no such chain")
        held = self.chains[name].rules
        if old is not None and len(old) == len(held):  # a wrong belief makes a wrong edit
            first, last_old, last_new = edit(old, rules)
            rules = held[:first] + rules[first:last_new] + held[last_old:]
        for target in (t for rule in rules for t in _targets(rule)):
            if target not in self.chains and target not in self.sets:
                raise _Refused(f"no such thing: {target}")
        self.chains[name] = Chain(rules, self.chains[name].hook)

    def _must_be_unused(self, name: str) -> None:
        for user, chain in self.chains.items():
            if user != name and any(name in _targets(rule) for rule in chain.rules):
                raise _Refused("busy")
        for rows in self.elements.values():
            for entry in rows.values():
                if entry is not True and entry.chain == name:
                    raise _Refused("busy")


def _targets(rule: Rule) -> list[str]:
    names: list[str] = []
    for expression in rule.expressions:
        match expression:
            case InSet(set_name=name) | Dispatch(map_name=name) | Verdict(chain=name):
                names.append(name)
            case _:
                pass
    return [name for name in names if name]


def _overlap(one: Element, other: Element) -> bool:
    first, second = ip_network(str(one[0])), ip_network(str(other[0]))
    return first.version == second.version and (
        int(first.network_address) <= int(second.broadcast_address)
        and int(second.network_address) <= int(first.broadcast_address)
    )
