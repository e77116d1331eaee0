"""Whole states of the datastore, and the walks between them.

    world: {key: resource}   --walks-->  batches of updates  --Graph-->  deltas  --Believer-->
           what the kernel side now believes   ==   intended(world)

A world is a state with a name, not a story of steps. The expanders make many stories of one list
of worlds: there and back, with emptiness between, all at once, one record at a time. The
asymmetric walk, {A and B} then {B}, is the one that stories of growing worlds never take.

Source: the method is Felix's, felix/calc/calc_graph_fv_test.go and its design notes.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from calico.core.intent.delta import Intent, IntentDelta
from calico.core.intent.ip_sets import IpSet
from calico.core.model.keys import ResourceKey
from calico.core.model.metadata import Resource

World = Mapping[ResourceKey, Resource]
Update = tuple[ResourceKey, Resource | None]
PARTS = (
    *("policies", "profiles", "endpoints", "pools"),
    *("cluster_routes", "tunnels", "remote_ends", "hosts", "own_hosts"),
)


class Believer:
    """Adds deltas up, as the kernel side does, and checks each one's manners."""

    def __init__(self) -> None:
        self.ip_sets: dict = {}
        self.policies: dict = {}
        self.profiles: dict = {}
        self.endpoints: dict = {}
        self.pools: dict = {}
        self.cluster_routes: dict = {}
        self.tunnels: dict = {}
        self.remote_ends: dict = {}
        self.hosts: dict = {}
        self.own_hosts: dict = {}

    def apply(self, delta: IntentDelta) -> None:
        for (set_id, member), present in delta.members.items():
            old = self.ip_sets[set_id]
            assert set_id not in delta.ip_sets, "a set that comes whole needs no members"
            assert (member in old.members) != bool(present), "a member that had not changed"
            members = old.members | {member} if present else old.members - {member}
            self.ip_sets[set_id] = IpSet(old.kind, members)
        for set_id, whole in delta.ip_sets.items():
            old = self.ip_sets.pop(set_id, None)
            assert whole != old, "a set that had not changed"
            assert whole is None or old is None or whole.kind != old.kind, "members would do"
            if whole is not None:
                self.ip_sets[set_id] = whole
        for part in PARTS:
            table = getattr(self, part)
            for key, value in getattr(delta, part).items():
                assert value != table.pop(key, None), f"{key} had not changed"
                if value is not None:
                    table[key] = value
        self.check_references()

    def check_references(self) -> None:
        """Whatever is referred to exists, and nothing else does."""
        assert self.sets_referred_to() == self.ip_sets.keys()
        assert {name for e in self.endpoints.values() for name in e.profiles} == set(self.profiles)
        for endpoint in self.endpoints.values():
            for tier in endpoint.tiers:
                assert {*tier.ingress, *tier.egress} <= self.policies.keys()

    def sets_referred_to(self) -> set[str]:
        return {
            set_id
            for owner in (*self.policies.values(), *self.profiles.values())
            for rule in (*owner.ingress, *owner.egress)
            for side in (rule.source, rule.destination)
            for ids in (
                side.ip_sets,
                side.not_ip_sets,
                side.ip_port_sets,
                side.named_ports,
                side.not_named_ports,
            )
            for set_id in ids
        }

    def expect(self, intent: Intent) -> None:
        for part in ("ip_sets", *PARTS):
            assert getattr(self, part) == getattr(intent, part), part


Story = Iterator[tuple[list[Update], World]]  # updates, then what the datastore holds


def changes(before: World, after: World) -> list[Update]:
    """List the updates that lead from one world to another."""
    gone = [(key, None) for key in before if key not in after]
    return [*gone, *((key, new) for key, new in after.items() if before.get(key) != new)]


def forward(worlds: Sequence[World]) -> list[World]:
    return [*worlds, {}]


def reverse(worlds: Sequence[World]) -> list[World]:
    return [*worlds[::-1], {}]


def with_emptiness_between(worlds: Sequence[World]) -> list[World]:
    return [world for each in worlds for world in (each, {})]


def asymmetric(worlds: Sequence[World]) -> list[World]:
    """Two worlds at once, then the second alone."""
    return [world for a, b in pairwise(worlds) for world in ({**a, **b}, b)]


def whole(path: Sequence[World]) -> Story:
    """One flush for each world."""
    for before, after in pairwise([{}, *path]):
        yield changes(before, after), after


def in_another_order(path: Sequence[World]) -> Story:
    for updates, world in whole(path):
        yield updates[::-1], world


def split(path: Sequence[World]) -> Story:
    """One flush for each record."""
    at: dict = {}
    for updates, _ in whole(path):
        for key, value in updates:
            at.pop(key, None)
            if value is not None:
                at[key] = value
            yield [(key, value)], dict(at)


def squashed(path: Sequence[World]) -> Story:
    """One flush for every two worlds; the first of them is passed through unseen."""
    pending: list[Update] = []
    for number, (updates, world) in enumerate(whole(path)):
        pending += updates
        if number % 2:
            yield pending, world
            pending = []


PATHS = (forward, reverse, with_emptiness_between, asymmetric)
CUTS = (whole, in_another_order, split, squashed)
