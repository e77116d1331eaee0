"""The members of the IP sets that rules refer to.

    endpoints, network sets (contributors) --+
    profiles (labels)                      --+--> IpSets --> {id: the set, or None once gone}
    sets in use (specs)                    --+               {(id, member): True, or None once gone}

`ip_set` is the definition. `IpSets` holds no members at all, save of sets of kind net: who has an
address is known, and which labels a set matches, so whether a member is in a set can be asked.
Before anything changes, it is noted for each (set, member) that may change whether it was in;
at the flush it is asked again. So what went and came back within a batch is not reported, and a
hundred thousand pods in many sets cost one record each.

    change --note--> {(set, member): was in} --flush: is it in now?--> members delta
                                              kind changed, or new --> the set, whole

Sets of kind net leave out what another member contains, so when a CIDR comes or goes, what lies
within it goes or comes: that costs a look at each member, while a change of hosts costs that host.

Invariant: a contributor is in a set exactly if its effective labels match the set's selector.
Source: felix/labelindex/named_port_index.go; policy-semantics 3.2, 3.4.3.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Literal, NamedTuple, TypeAlias

from msgspec import Struct

from calico.core.calc.bits import members as numbers_of
from calico.core.calc.contributors import Contributor, NamedPort
from calico.core.calc.covering import Cover, is_cidr, uncovered
from calico.core.calc.label_index import LabelIndex
from calico.core.calc.labels import Labels, effective_labels
from calico.core.calc.set_specs import SetSpec, contribution
from calico.core.intent.ip_sets import IpSet, IpSetKind
from calico.core.model.keys import ResourceKey

MemberDelta: TypeAlias = dict[tuple[str, str], Literal[True] | None]


class SetsDelta(NamedTuple):
    """What changed: whole sets, and members of sets that were there before."""

    sets: Mapping[str, IpSet | None]
    members: Mapping[tuple[str, str], Literal[True] | None]


def ip_set(
    spec: SetSpec, contributors: Iterable[Contributor], profiles: Mapping[str, Labels]
) -> IpSet:
    """Define one set, from scratch."""
    if spec.selector is None:
        return whole_set(spec, ())
    return whole_set(
        spec,
        (
            member
            for contributor in contributors
            if spec.selector.matches(effective_labels(contributor.labels, profiles))
            for member in contribution(spec, contributor.members, contributor.ports)
        ),
    )


def whole_set(spec: SetSpec, members: Iterable[str]) -> IpSet:
    """Choose the kind: CIDRs make a set of kind net, in which nothing may overlap."""
    every = frozenset(members)
    if spec.with_ports:
        return IpSet("address_port", every)
    if any(is_cidr(member) for member in every):
        return IpSet("net", uncovered(every))
    return IpSet("address", every)


class _Known(Struct, frozen=True, gc=False):
    """A contributor, with the group of its labels instead of the labels.

    It holds no cycle, so the garbage collector need not know it: half the memory of a tuple.
    """

    group: int
    members: tuple[str, ...]
    ports: tuple[NamedPort, ...]

    def brings(self, spec: SetSpec) -> tuple[str, ...]:
        """Return what it brings into a set that it matches."""
        return contribution(spec, self.members, self.ports)


class _NetSet(NamedTuple):
    """A set of kind net: all its CIDRs, and the members that were reported."""

    cover: Cover
    shown: set[str]


class IpSets:
    """The definition, maintained for all sets in use. None means "it no longer exists"."""

    def __init__(self) -> None:
        self._index: LabelIndex[str] = LabelIndex()
        self._contributors: dict[ResourceKey, _Known] = {}
        self._in_group: dict[int, dict[ResourceKey, None]] = {}
        self._owners: dict[str, tuple[ResourceKey, ...]] = {}  # member -> who contributes it
        self._cidr_owners: dict[int, int] = {}  # group -> how many of it contribute a CIDR
        self._cidr_groups = 0  # the same groups, as bits
        self._specs: dict[str, SetSpec] = {}
        self._kinds: dict[str, IpSetKind | None] = {}  # as reported; None: report it whole again
        self._nets: dict[str, _NetSet] = {}
        self._notes: dict[str, dict[str, bool]] = {}  # set -> member -> was it in

    def set_contributor(self, key: ResourceKey, contributor: Contributor | None) -> None:
        """Cost: the sets that it leaves, enters or changes its members in."""
        old, new = self._contributors.get(key), None
        if contributor is not None:
            group = self._index.hold(contributor.labels)
            new = _Known(group, contributor.members, contributor.ports)
            if new == old:  # a resync lists what is known already
                self._index.release(group)
                return
        self._note_differences(old, new)
        if old is not None:
            self._remove(key, old)
        if new is not None:
            self._add(key, new)
        if old is not None:
            self._index.release(old.group)

    def set_profile(self, name: str, labels: Labels | None) -> None:
        """Cost: an evaluation per group of labels that inherits, and the members that move."""
        for change in self._index.set_profile(name, labels):
            for set_id in change.gained | change.lost:
                for key in self._in_group.get(change.group, ()):
                    self._note(set_id, self._contributors[key].brings(self._specs[set_id]))
            self._index.relabel(change)

    def set_spec(self, set_id: str, spec: SetSpec | None) -> None:
        """Start or stop to keep a set. Cost: one query, and its members at the next flush."""
        self._specs.pop(set_id, None)
        self._notes[set_id] = {}
        if set_id in self._kinds:
            self._kinds[set_id] = None
        if spec is not None:
            self._specs[set_id] = spec
        self._index.set_selector(set_id, spec.selector if spec else None)

    def flush(self) -> SetsDelta:
        """Return what changed since the last flush."""
        sets: dict[str, IpSet | None] = {}
        moved: MemberDelta = {}
        for set_id, notes in sorted(self._notes.items()):
            spec, old_kind = self._specs.get(set_id), self._kinds.get(set_id)
            if spec is None:
                if self._forget(set_id):
                    sets[set_id] = None
            elif self._kind(spec) != old_kind:
                sets[set_id] = self._report(spec)
            elif old_kind == "net":
                moved.update(self._net_delta(spec, notes))
            else:
                for member, was_in in notes.items():
                    if self._is_in(spec, member) != was_in:
                        moved[set_id, member] = None if was_in else True
        self._notes.clear()
        return SetsDelta(sets, moved)

    def _note_differences(self, old: _Known | None, new: _Known | None) -> None:
        before = self._index.selectors_of(old.group) if old else frozenset()
        after = self._index.selectors_of(new.group) if new else frozenset()
        for set_id in before | after:
            spec = self._specs[set_id]
            out = old.brings(spec) if old and set_id in before else ()
            into = new.brings(spec) if new and set_id in after else ()
            if out != into:
                self._note(set_id, set(out).symmetric_difference(into))

    def _note(self, set_id: str, affected: Iterable[str]) -> None:
        if self._kinds.get(set_id) is None:
            return  # it will be reported whole
        spec, notes = self._specs[set_id], self._notes.setdefault(set_id, {})
        for member in affected:
            if member not in notes:
                notes[member] = self._is_in(spec, member)

    def _is_in(self, spec: SetSpec, member: str) -> bool:
        for key in self._owners.get(member.partition(",")[0], ()):
            known = self._contributors[key]
            if spec.id in self._index.selectors_of(known.group) and (
                not spec.with_ports or member in known.brings(spec)
            ):
                return True
        return False

    def _add(self, key: ResourceKey, known: _Known) -> None:
        self._contributors[key] = known
        self._in_group.setdefault(known.group, {})[key] = None
        for member in known.members:
            self._owners[member] = (*self._owners.get(member, ()), key)
        self._count_cidrs(known, 1)

    def _remove(self, key: ResourceKey, known: _Known) -> None:
        del self._contributors[key], self._in_group[known.group][key]
        if not self._in_group[known.group]:
            del self._in_group[known.group]
        for member in known.members:
            left = tuple(owner for owner in self._owners[member] if owner != key)
            if left:
                self._owners[member] = left
            else:
                del self._owners[member]
        self._count_cidrs(known, -1)

    def _count_cidrs(self, known: _Known, step: int) -> None:
        if not any(is_cidr(member) for member in known.members):
            return
        count = self._cidr_owners.pop(known.group, 0) + step
        if count:
            self._cidr_owners[known.group] = count
            self._cidr_groups |= 1 << known.group
        else:
            self._cidr_groups &= ~(1 << known.group)

    def _kind(self, spec: SetSpec) -> IpSetKind:
        if spec.with_ports:
            return "address_port"
        return "net" if self._index.matching(spec.id) & self._cidr_groups else "address"

    def _members(self, spec: SetSpec) -> Iterator[str]:
        for group in numbers_of(self._index.matching(spec.id)):
            for key in self._in_group.get(group, ()):
                yield from self._contributors[key].brings(spec)

    def _report(self, spec: SetSpec) -> IpSet:
        self._forget(spec.id)
        every = frozenset(self._members(spec))
        whole = whole_set(spec, every)
        self._kinds[spec.id] = whole.kind
        if whole.kind == "net":
            cover = Cover(member for member in every if is_cidr(member))
            self._nets[spec.id] = _NetSet(cover, set(whole.members))
        return whole

    def _forget(self, set_id: str) -> bool:
        self._nets.pop(set_id, None)
        was_reported = set_id in self._kinds
        self._kinds.pop(set_id, None)
        return was_reported

    def _net_delta(self, spec: SetSpec, notes: Mapping[str, bool]) -> MemberDelta:
        cover, shown = self._nets[spec.id]
        affected = {m for m, was_in in notes.items() if self._is_in(spec, m) != was_in}
        cidrs = [member for member in affected if is_cidr(member)]
        if cidrs:
            within = Cover(cidrs)
            affected.update(m for m in self._members(spec) if within.contains(m))
        for cidr in cidrs:
            (cover.discard if notes[cidr] else cover.add)(cidr)
        delta: MemberDelta = {}
        for member in sorted(affected):
            is_shown = self._is_in(spec, member) and not cover.contains(member)
            if is_shown != (member in shown):
                (shown.add if is_shown else shown.discard)(member)
                delta[spec.id, member] = True if is_shown else None
        return delta
