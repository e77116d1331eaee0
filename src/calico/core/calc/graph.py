"""All wiring of the computation, on one page.

    records                               views                                     what comes out

    WorkloadEndpoints of this node -----> LocalEndpoints ---------------------.
        | one per interface: labels           | its profiles                  v
        v                                     v                             endpoints
    AppliedPolicies --which apply------> ActiveRules --> policies, profiles   ^
        ^    |                                | which sets                    |
        |    `--tiers------------------------ | ------------------------------'
        |                                     v
        |                                  IpSets -----> ip_sets, members
        |                                     ^
    Policies, Tiers, Profiles (all three)     |
    WorkloadEndpoints of all nodes, HostEndpoints, NetworkSets; Profiles (labels)

    IPPools ----------------------------> Pools -------> pools
                                            v
    Nodes, IPAM blocks, local addresses -> Overlay ----> routes to other nodes, tunnels

`set_resource` is cheap and may come in any order and number; `flush` computes what all of it came
to, view by view along these arrows. Other kinds are ignored.

Invariant: the deltas, added up, equal `intended` of the same resources.
"""

from collections.abc import Hashable, Iterable, Mapping
from typing import TypeVar

from msgspec.structs import replace

from calico.core.calc.active_rules import ActiveRules
from calico.core.calc.applied_policies import AppliedPolicies
from calico.core.calc.contributors import contributor_of, is_usable
from calico.core.calc.ip_sets import IpSets
from calico.core.calc.local_endpoints import (
    LocalEndpoints,
    endpoint_key,
    is_on,
    local_endpoint,
)
from calico.core.calc.overlay import Overlay
from calico.core.calc.places import block_place, node_place
from calico.core.calc.policy_records import placement, tier_placement
from calico.core.calc.pools import Pools, pool_of
from calico.core.calc.settings import CalcSettings
from calico.core.intent.delta import Intent, IntentDelta
from calico.core.intent.endpoints import WorkloadEndpoint as Endpoint
from calico.core.intent.endpoints import addresses
from calico.core.intent.keys import EndpointKey, PolicyKey
from calico.core.model.block import Block
from calico.core.model.endpoint import WorkloadEndpoint
from calico.core.model.keys import BlockKey, ResourceKey
from calico.core.model.metadata import Resource
from calico.core.model.node import Node
from calico.core.model.policy import GlobalNetworkPolicy, NetworkPolicy
from calico.core.model.pool import IPPool
from calico.core.model.profile import Profile
from calico.core.model.tier import Tier

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")

DEFAULTS = CalcSettings()


class Graph:
    """Resources in, changes of the intent out; for one node."""

    def __init__(self, node_name: str, settings: CalcSettings = DEFAULTS) -> None:
        self._node_name = node_name
        self._settings = settings
        self._local = LocalEndpoints()
        self._applied = AppliedPolicies()
        self._rules = ActiveRules()
        self._sets = IpSets()
        self._pools = Pools()
        self._overlay = Overlay(node_name, settings)
        self._keys: dict[ResourceKey, EndpointKey] = {}  # of the endpoints of this node
        self._endpoints: dict[EndpointKey, Endpoint] = {}  # as reported

    def set_resource(self, key: ResourceKey, value: Resource | None, revision: int = 0) -> None:
        """Accept a resource's latest version; None means "it no longer exists"."""
        match key.kind:
            case "WorkloadEndpoint" | "HostEndpoint" | "NetworkSet" | "GlobalNetworkSet":
                contributor = contributor_of(value, self._settings) if value else None
                self._sets.set_contributor(key, contributor)
                if key.kind == "WorkloadEndpoint":
                    self._set_endpoint(key, value, revision)
            case "NetworkPolicy" | "GlobalNetworkPolicy":
                self._set_policy(PolicyKey(*key), value)
            case "Profile":
                self._set_profile(key.name, value)
            case "Tier":
                tier = tier_placement(value) if isinstance(value, Tier) else None
                self._applied.set_tier(key.name, tier)
            case "IPPool":
                pool = pool_of(value) if isinstance(value, IPPool) else None
                self._pools.set_pool(key.name, pool)
            case "Node":
                place = node_place(value) if isinstance(value, Node) else None
                self._overlay.set_node(key.name, place)

    def set_block(self, key: BlockKey, block: Block | None) -> None:
        """Accept an IPAM block's latest version; None means "it no longer exists"."""
        self._overlay.set_block(key.cidr, block_place(block) if block else None)

    def flush(self) -> IntentDelta:
        """Return what changed since the last flush."""
        local = self._local.flush()
        for key, found in local.items():
            self._applied.set_endpoint(key, found.labels if found else None)
            self._rules.set_endpoint(key, found.endpoint.profiles if found else None)
        applied = self._applied.flush()
        self._rules.set_applied(applied.policies)
        rules = self._rules.flush()
        for set_id, spec in rules.sets.items():
            self._sets.set_spec(set_id, spec)
        sets = self._sets.flush()
        endpoints = self._joined({*local, *applied.tiers})
        pools = self._pools.flush()
        self._overlay.set_pools(pools)
        overlay = self._overlay.flush()
        return IntentDelta(
            ip_sets=sets.sets,
            members=sets.members,
            policies=rules.policies,
            profiles=rules.profiles,
            endpoints=endpoints,
            pools=pools,
            cluster_routes=overlay.cluster_routes,
            tunnels=overlay.ends.own,
            remote_ends=overlay.ends.remote,
            hosts=overlay.ends.hosts,
            own_hosts=overlay.ends.own_hosts,
        )

    def _set_endpoint(self, key: ResourceKey, value: Resource | None, revision: int) -> None:
        old = self._keys.pop(key, None)
        if old is not None:
            self._local.set_endpoint(old, None)
        if not isinstance(value, WorkloadEndpoint) or not is_usable(value, self._settings):
            return
        if is_on(self._node_name, value):
            new = self._keys[key] = endpoint_key(value)
            self._local.set_endpoint(new, local_endpoint(value, revision))

    def _set_policy(self, key: PolicyKey, value: Resource | None) -> None:
        record = value if isinstance(value, NetworkPolicy | GlobalNetworkPolicy) else None
        self._applied.set_policy(key, placement(record) if record else None)
        self._rules.set_policy(key, record)

    def _set_profile(self, name: str, value: Resource | None) -> None:
        record = value if isinstance(value, Profile) else None
        labels = record.spec.labels_to_apply if record else None
        self._applied.set_profile(name, labels)
        self._sets.set_profile(name, labels)
        self._rules.set_profile(name, record)

    def _joined(self, keys: Iterable[EndpointKey]) -> dict[EndpointKey, Endpoint | None]:
        """Join endpoints with their tiers, where one of the two changed."""
        delta: dict[EndpointKey, Endpoint | None] = {}
        for key in sorted(keys):
            old, local, new = self._endpoints.pop(key, None), self._local.reported(key), None
            if local is not None:
                tiers = self._applied.reported(key)
                new = self._endpoints[key] = replace(local.endpoint, tiers=tiers)
            if new != old:
                delta[key] = new
                self._overlay.set_local(addresses(old), addresses(new))
        return delta


def computed(
    resources: Mapping[ResourceKey, Resource],
    node_name: str,
    settings: CalcSettings = DEFAULTS,
    revisions: Mapping[ResourceKey, int] | None = None,
) -> Intent:
    """Return what `intended` returns, for whoever asks once about very many resources."""
    graph = Graph(node_name, settings)
    for key, resource in resources.items():
        graph.set_resource(key, resource, (revisions or {}).get(key, 0))
    delta = graph.flush()
    return Intent(**{part: present(getattr(delta, part)) for part in Intent.__struct_fields__})


def present(delta: Mapping[Key, Value | None]) -> dict[Key, Value]:
    """Return what a first delta brings, which removes nothing."""
    return {key: value for key, value in delta.items() if value is not None}
