"""The definition: what the kernel of a node should hold, from the resources and nothing else.

    {key: resource} --intended--> Intent

Slow, and plainly right: no memory, no order, no indices. graph.py must always agree with it, and
a property test sees to that. Whoever asks once (the policy analyser) asks here.

Source: policy-semantics 3.1 to 3.5; felix spec 6.4.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import TypeAlias, TypeVar

from msgspec.structs import replace

from calico.core.calc.active_rules import RulesInUse, rules_in_use
from calico.core.calc.applied_policies import Tiers, applied_tiers
from calico.core.calc.contributors import Contributor, contributor_of, is_usable
from calico.core.calc.ip_sets import ip_set
from calico.core.calc.labels import Labels, effective_labels
from calico.core.calc.local_endpoints import (
    LocalEndpoint,
    endpoint_key,
    is_on,
    local_endpoint,
    one_per_interface,
)
from calico.core.calc.overlay import Places, overlay
from calico.core.calc.places import BlockPlace, NodePlace, block_place, node_place
from calico.core.calc.policy_records import PolicyRecord, placement, tier_placement
from calico.core.calc.pools import by_cidr, pool_of
from calico.core.calc.settings import CalcSettings
from calico.core.intent.delta import Intent
from calico.core.intent.endpoints import WorkloadEndpoint as Endpoint
from calico.core.intent.endpoints import addresses
from calico.core.intent.keys import EndpointKey, PolicyKey
from calico.core.intent.nat import Pool
from calico.core.model.block import Block
from calico.core.model.endpoint import WorkloadEndpoint
from calico.core.model.keys import BlockKey, ResourceKey
from calico.core.model.metadata import Resource
from calico.core.model.node import Node
from calico.core.model.policy import GlobalNetworkPolicy, NetworkPolicy
from calico.core.model.pool import IPPool
from calico.core.model.profile import Profile
from calico.core.model.tier import Tier

Resources: TypeAlias = Mapping[ResourceKey, Resource]
Kind = TypeVar("Kind", bound=Resource)

DEFAULTS = CalcSettings()


def intended(
    resources: Resources,
    node_name: str,
    settings: CalcSettings = DEFAULTS,
    revisions: Mapping[ResourceKey, int] | None = None,
    blocks: Mapping[BlockKey, Block] | None = None,
) -> Intent:
    """Return the whole intent of one node. A record whose revision is not given has revision 0."""
    labels = profile_labels(resources)
    tiers_of = applied_to(resources)
    endpoints = {
        key: replace(local.endpoint, tiers=tiers_of(effective_labels(local.labels, labels)))
        for key, local in local_endpoints(resources, node_name, settings, revisions or {}).items()
    }
    rules = rules_of(resources, endpoints.values())
    everyone = contributors(resources, settings).values()
    held = [address for endpoint in endpoints.values() for address in addresses(endpoint)]
    places = Places(nodes(resources), block_places(blocks or {}), pools(resources), held)
    ways = overlay(node_name, places, settings)
    return Intent(
        ip_sets={set_id: ip_set(spec, everyone, labels) for set_id, spec in rules.sets.items()},
        policies=rules.policies,
        profiles=rules.profiles,
        endpoints=endpoints,
        pools=pools(resources),
        cluster_routes=ways.cluster_routes,
        tunnels=ways.tunnels,
        remote_ends=ways.remote_ends,
        hosts=ways.hosts,
        own_hosts=ways.own_hosts,
    )


def of_kind(resources: Resources, kind: type[Kind]) -> dict[ResourceKey, Kind]:
    """Return the resources of one kind."""
    return {key: record for key, record in resources.items() if isinstance(record, kind)}


def profile_labels(resources: Resources) -> dict[str, Labels]:
    """Return the labels that each profile gives."""
    profiles = of_kind(resources, Profile)
    return {key.name: record.spec.labels_to_apply for key, record in profiles.items()}


def contributors(
    resources: Resources, settings: CalcSettings = DEFAULTS
) -> dict[ResourceKey, Contributor]:
    """Return all that may be a member of sets, wherever it is."""
    return {
        key: contributor
        for key, record in resources.items()
        if (contributor := contributor_of(record, settings)) is not None
    }


def labels_seen(
    resources: Resources, settings: CalcSettings = DEFAULTS
) -> dict[ResourceKey, Labels]:
    """Return the effective labels of every endpoint and network set: what selectors see."""
    profiles = profile_labels(resources)
    return {
        key: effective_labels(contributor.labels, profiles)
        for key, contributor in contributors(resources, settings).items()
    }


def policy_records(resources: Resources) -> dict[PolicyKey, PolicyRecord]:
    """Return the policies that are enforced."""
    return {
        PolicyKey(*key): record
        for key, record in resources.items()
        if isinstance(record, NetworkPolicy | GlobalNetworkPolicy)
    }


def local_endpoints(
    resources: Resources,
    node_name: str,
    settings: CalcSettings,
    revisions: Mapping[ResourceKey, int],
) -> dict[EndpointKey, LocalEndpoint]:
    """Return the endpoints of a node, one for each interface."""
    return one_per_interface(
        {
            endpoint_key(record): local_endpoint(record, revisions.get(key, 0))
            for key, record in of_kind(resources, WorkloadEndpoint).items()
            if is_on(node_name, record) and is_usable(record, settings)
        }
    )


def applied_to(resources: Resources) -> Callable[[Labels], Tiers]:
    """Return what tells which policies apply to given labels."""
    tiers = {key.name: tier_placement(tier) for key, tier in of_kind(resources, Tier).items()}
    placements = {
        key: placed
        for key, record in policy_records(resources).items()
        if (placed := placement(record)) is not None
    }
    return lambda labels: applied_tiers(labels, placements, tiers)


def rules_of(resources: Resources, endpoints: Iterable[Endpoint]) -> RulesInUse:
    """Return the rules that a node's endpoints need."""
    endpoints = tuple(endpoints)
    applied = {
        policy
        for endpoint in endpoints
        for tier in endpoint.tiers
        for policy in (*tier.ingress, *tier.egress)
    }
    names = {name for endpoint in endpoints for name in endpoint.profiles}
    profiles = {key.name: record for key, record in of_kind(resources, Profile).items()}
    return rules_in_use(policy_records(resources), applied, profiles, names)


def pools(resources: Resources) -> dict[str, Pool]:
    """Return the IP pools by CIDR."""
    read = {key.name: pool_of(record) for key, record in of_kind(resources, IPPool).items()}
    return by_cidr({name: pool for name, pool in read.items() if pool is not None})


def nodes(resources: Resources) -> dict[str, NodePlace]:
    """Return where the nodes are."""
    places = {key.name: node_place(record) for key, record in of_kind(resources, Node).items()}
    return {name: place for name, place in places.items() if place is not None}


def block_places(blocks: Mapping[BlockKey, Block]) -> dict[str, BlockPlace]:
    """Return where the blocks are, by CIDR."""
    return {key.cidr: block_place(block) for key, block in blocks.items()}
