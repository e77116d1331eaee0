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

Sets of kind net leave out what another member contains. A change of hosts is settled member by
member; a change of CIDRs, which are rare, by comparing the whole set with what was reported.

Invariant: a contributor is in a set exactly if its effective labels match the set's selector.
Source: felix/labelindex/named_port_index.go; policy-semantics 3.2, 3.4.3.
"""

from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple, TypeAlias

from calico.core.calc.contributors import Contributor
from calico.core.calc.covering import Cover, is_cidr, uncovered
from calico.core.calc.label_index import LabelIndex, groups_of
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
            for member in contribution(spec, contributor)
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


class _Member(NamedTuple):
    """A contributor, and the group of its labels."""

    contributor: Contributor
    group: int


class IpSets:
    """The definition, maintained for all sets in use. None means "it no longer exists"."""

    def __init__(self) -> None:
        self._index: LabelIndex[str] = LabelIndex()
        self._contributors: dict[ResourceKey, _Member] = {}
        self._in_group: dict[int, dict[ResourceKey, None]] = {}
        self._owners: dict[str, tuple[ResourceKey, ...]] = {}  # member -> who contributes it
        self._cidr_owners: dict[int, int] = {}  # group -> how many of it contribute a CIDR
        self._cidr_groups = 0  # the same groups, as bits
        self._specs: dict[str, SetSpec] = {}
        self._kinds: dict[str, IpSetKind | None] = {}  # as reported; None: report it whole again
        self._nets: dict[str, set[str]] = {}  # members of sets of kind net, as reported
        self._covers: dict[str, Cover] = {}  # same keys
        self._notes: dict[str, dict[str, bool]] = {}  # set -> member -> was it in

    def set_contributor(self, key: ResourceKey, contributor: Contributor | None) -> None:
        """Cost: the sets that it leaves, enters or changes its members in."""
        old = self._contributors.get(key)
        if contributor == (old.contributor if old else None):
            return
        new = _Member(contributor, self._index.hold(contributor.labels)) if contributor else None
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
                    contributor = self._contributors[key].contributor
                    self._note(set_id, contribution(self._specs[set_id], contributor))
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
        members: MemberDelta = {}
        for set_id, notes in sorted(self._notes.items()):
            spec, old_kind = self._specs.get(set_id), self._kinds.get(set_id)
            if spec is None:
                if self._forget(set_id):
                    sets[set_id] = None
            elif self._kind(spec) != old_kind:
                sets[set_id] = self._report(spec)
            elif old_kind == "net":
                members.update(self._net_delta(spec, notes))
            else:
                for member, was_in in notes.items():
                    if self._is_in(spec, member) != was_in:
                        members[set_id, member] = None if was_in else True
        self._notes.clear()
        return SetsDelta(sets, members)

    def _note_differences(self, old: _Member | None, new: _Member | None) -> None:
        before = self._index.selectors_of(old.group) if old else frozenset()
        after = self._index.selectors_of(new.group) if new else frozenset()
        for set_id in before | after:
            spec = self._specs[set_id]
            out = contribution(spec, old.contributor) if old and set_id in before else ()
            into = contribution(spec, new.contributor) if new and set_id in after else ()
            if out != into:
                self._note(set_id, set(out).symmetric_difference(into))

    def _note(self, set_id: str, members: Iterable[str]) -> None:
        if self._kinds.get(set_id) is None:
            return  # it will be reported whole
        spec, notes = self._specs[set_id], self._notes.setdefault(set_id, {})
        for member in members:
            if member not in notes:
                notes[member] = self._is_in(spec, member)

    def _is_in(self, spec: SetSpec, member: str) -> bool:
        for key in self._owners.get(member.partition(",")[0], ()):
            contributor, group = self._contributors[key]
            if spec.id in self._index.selectors_of(group) and (
                not spec.with_ports or member in contribution(spec, contributor)
            ):
                return True
        return False

    def _add(self, key: ResourceKey, member: _Member) -> None:
        self._contributors[key] = member
        self._in_group.setdefault(member.group, {})[key] = None
        for address in member.contributor.members:
            self._owners[address] = (*self._owners.get(address, ()), key)
        self._count_cidrs(member, 1)

    def _remove(self, key: ResourceKey, member: _Member) -> None:
        del self._contributors[key], self._in_group[member.group][key]
        if not self._in_group[member.group]:
            del self._in_group[member.group]
        for address in member.contributor.members:
            left = tuple(owner for owner in self._owners[address] if owner != key)
            if left:
                self._owners[address] = left
            else:
                del self._owners[address]
        self._count_cidrs(member, -1)

    def _count_cidrs(self, member: _Member, step: int) -> None:
        if not any(is_cidr(address) for address in member.contributor.members):
            return
        count = self._cidr_owners.pop(member.group, 0) + step
        if count:
            self._cidr_owners[member.group] = count
            self._cidr_groups |= 1 << member.group
        else:
            self._cidr_groups &= ~(1 << member.group)

    def _kind(self, spec: SetSpec) -> IpSetKind:
        if spec.with_ports:
            return "address_port"
        return "net" if self._index.matching(spec.id) & self._cidr_groups else "address"

    def _members(self, spec: SetSpec) -> frozenset[str]:
        return frozenset(
            member
            for group in groups_of(self._index.matching(spec.id))
            for key in self._in_group.get(group, ())
            for member in contribution(spec, self._contributors[key].contributor)
        )

    def _report(self, spec: SetSpec) -> IpSet:
        self._forget(spec.id)
        every = self._members(spec)
        whole = whole_set(spec, every)
        self._kinds[spec.id] = whole.kind
        if whole.kind == "net":
            self._nets[spec.id] = set(whole.members)
            self._covers[spec.id] = Cover(member for member in every if is_cidr(member))
        return whole

    def _forget(self, set_id: str) -> bool:
        self._nets.pop(set_id, None)
        self._covers.pop(set_id, None)
        was_reported = set_id in self._kinds
        self._kinds.pop(set_id, None)
        return was_reported

    def _net_delta(self, spec: SetSpec, notes: Mapping[str, bool]) -> MemberDelta:
        moved = [m for m, was_in in notes.items() if self._is_in(spec, m) != was_in]
        if any(is_cidr(member) for member in moved):
            old = self._nets[spec.id]
            new = self._report(spec).members
            return {(spec.id, m): True if m in new else None for m in sorted(old ^ new)}
        delta: MemberDelta = {}
        reported, cover = self._nets[spec.id], self._covers[spec.id]
        for host in moved:
            if not cover.contains(host):
                delta[spec.id, host] = None if host in reported else True
                reported ^= {host}
        return delta
