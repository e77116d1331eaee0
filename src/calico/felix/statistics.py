"""What the agent counts about its world, under Felix's metric names.

    set_resource --> ClusterCounts  how many nodes, endpoints, tiers, policies, profiles there are
    IntentDelta  --> NodeCounts     what of it concerns this node
    TableDelta   --> NodeCounts     chains, rules, sets by IP version

Every count costs what changed. The loop is the only caller.

Source: shared/spec monitoring 8.2, 8.3.
"""

from collections.abc import Hashable, Mapping, Sized
from typing import TypeVar

from calico.core.intent.delta import IntentDelta
from calico.core.model.keys import ResourceKey
from calico.core.model.metadata import Resource
from calico.core.nftables.vocabulary import Family, TableDelta
from calico.telemetry.metrics import Metrics

Key = TypeVar("Key", bound=Hashable)

_OF_KIND = {
    "Node": "felix_cluster_num_hosts",
    "WorkloadEndpoint": "felix_cluster_num_workload_endpoints",
    "HostEndpoint": "felix_cluster_num_host_endpoints",
    "Tier": "felix_cluster_num_tiers",
    "NetworkPolicy": "felix_cluster_num_policies",
    "GlobalNetworkPolicy": "felix_cluster_num_policies",
    "Profile": "felix_cluster_num_profiles",
}
_VERSIONS: Mapping[Family, str] = {"ip": "4", "ip6": "6"}


class ClusterCounts:
    """Counts resources as they come and go; one more consumer of records."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._known: dict[str, set[ResourceKey]] = {name: set() for name in _OF_KIND.values()}
        for name in self._known:
            metrics.set(name, 0)

    def set_resource(self, key: ResourceKey, value: Resource | None, revision: int = 0) -> None:  # noqa: ARG002  # the signature is every consumer's
        """Accept a record."""
        self._metrics.count("felix_calc_graph_updates_processed", type=key.kind)
        name = _OF_KIND.get(key.kind)
        if name is None:
            return
        known = self._known[name]
        before = len(known)
        (known.discard if value is None else known.add)(key)
        if len(known) != before:
            self._metrics.set(name, len(known))


class NodeCounts:
    """Counts what concerns this node."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._active: dict[str, set[object]] = {
            "felix_active_local_endpoints": set(),
            "felix_active_local_policies": set(),
            "felix_active_local_selectors": set(),
        }
        self._rules: dict[Family, dict[str, int]] = {}
        self._sets: dict[Family, set[str]] = {}
        for name in self._active:
            metrics.set(name, 0)

    def note_intent(self, delta: IntentDelta) -> None:
        """Count endpoints, policies and the IP sets of their selectors."""
        self._count_active("felix_active_local_endpoints", delta.endpoints)
        self._count_active("felix_active_local_policies", delta.policies)
        self._count_active("felix_active_local_selectors", delta.ip_sets)
        self._count_messages("endpoint", delta.endpoints)
        self._count_messages("policy", delta.policies)
        self._count_messages("profile", delta.profiles)
        self._count_messages("ip_set", delta.ip_sets)
        self._count_messages("member", delta.members)
        self._count_messages("pool", delta.pools)

    def _count_active(self, name: str, changed: Mapping[Key, object]) -> None:
        known = self._active[name]
        for key, value in changed.items():
            (known.discard if value is None else known.add)(key)
        if changed:
            self._metrics.set(name, len(known))

    def _count_messages(self, name: str, changed: Sized) -> None:
        if len(changed):
            self._metrics.count("felix_int_dataplane_messages", len(changed), type=name)

    def note_table(self, family: Family, delta: TableDelta) -> None:
        """Count chains, rules and sets of one table."""
        version = _VERSIONS.get(family)
        if version is None:
            return
        rules, sets = self._rules.setdefault(family, {}), self._sets.setdefault(family, set())
        for name, chain in delta.chains.items():
            rules.pop(name, None)
            if chain is not None:
                rules[name] = len(chain.rules)
        for name, shape in delta.sets.items():
            (sets.discard if shape is None else sets.add)(name)
        self._metrics.set("felix_nft_chains", len(rules), ip_version=version)
        self._metrics.set("felix_nft_rules", sum(rules.values()), ip_version=version)
        self._metrics.set("felix_nft_sets", len(sets), ip_version=version)
        self._metrics.set("felix_ipsets_calico", len(sets), ip_version=version)
        self._metrics.count("felix_nft_calls")
