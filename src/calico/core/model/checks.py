"""Is a resource right? Every kind's checks, under one name.

    check(resource)         all that the API asks: before writing, with defaults filled in
    check_stored(resource)  what makes a record impossible to obey: after reading, in the agent

Two questions, since a record may be older than a rule of form or written around the API: what
still says clearly what it wants is obeyed, as Felix obeys it.

Source: libcalico-go/lib/validator/v3, typha/pkg/validator/v1, felix/calc/validation_filter.go.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import TypeAlias, TypeVar

from calico.core.model.bgp import BGPConfiguration, BGPFilter, BGPPeer
from calico.core.model.bgp_checks import (
    check_bgp_configuration,
    check_bgp_filter,
    check_bgp_peer,
)
from calico.core.model.cluster import (
    BlockAffinity,
    ClusterInformation,
    IPAMConfig,
    IPAMConfiguration,
    LiveMigration,
)
from calico.core.model.cluster_checks import (
    check_block_affinity,
    check_cluster_information,
    check_ipam_configuration,
    check_kube_controllers,
    check_live_migration,
)
from calico.core.model.endpoint import HostEndpoint, WorkloadEndpoint
from calico.core.model.endpoint_checks import (
    check_host_endpoint,
    check_workload_endpoint,
    usable_host_endpoint,
    usable_workload_endpoint,
)
from calico.core.model.felix_checks import check_felix_configuration
from calico.core.model.felix_config import FelixConfiguration
from calico.core.model.kube_controllers_config import KubeControllersConfiguration
from calico.core.model.metadata import Resource
from calico.core.model.network_set import (
    GlobalNetworkSet,
    NetworkSet,
    check_network_set,
    usable_network_set,
)
from calico.core.model.node import Node
from calico.core.model.node_checks import check_node, check_node_status
from calico.core.model.node_status import CalicoNodeStatus
from calico.core.model.policy import (
    GlobalNetworkPolicy,
    NetworkPolicy,
    StagedGlobalNetworkPolicy,
    StagedKubernetesNetworkPolicy,
    StagedNetworkPolicy,
)
from calico.core.model.policy_checks import (
    check_global_network_policy,
    check_network_policy,
    check_staged_global_network_policy,
    check_staged_kubernetes,
    check_staged_network_policy,
    usable_policy,
)
from calico.core.model.pool import (
    IPPool,
    IPReservation,
    check_pool,
    check_reservation,
    usable_pool,
)
from calico.core.model.problem import Problem
from calico.core.model.profile import Profile, check_profile, usable_profile
from calico.core.model.registry import KINDS
from calico.core.model.tier import Tier, check_tier

Problems: TypeAlias = Iterator[Problem]
Ask: TypeAlias = Callable[[Resource], Problems]
Kind = TypeVar("Kind", bound=Resource)


def about(kind: type[Kind], question: Callable[[Kind], Problems]) -> tuple[str, Ask]:
    """Pair a kind's name with its question, asked of any resource."""

    def ask(resource: Resource) -> Problems:
        if isinstance(resource, kind):
            yield from question(resource)

    return kind.__name__, ask


CHECKS: Mapping[str, Ask] = dict(
    (
        about(BGPConfiguration, check_bgp_configuration),
        about(BGPFilter, check_bgp_filter),
        about(BGPPeer, check_bgp_peer),
        about(BlockAffinity, check_block_affinity),
        about(CalicoNodeStatus, check_node_status),
        about(ClusterInformation, check_cluster_information),
        about(FelixConfiguration, check_felix_configuration),
        about(GlobalNetworkPolicy, check_global_network_policy),
        about(GlobalNetworkSet, check_network_set),
        about(HostEndpoint, check_host_endpoint),
        about(IPAMConfig, check_ipam_configuration),
        about(IPAMConfiguration, check_ipam_configuration),
        about(IPPool, check_pool),
        about(IPReservation, check_reservation),
        about(KubeControllersConfiguration, check_kube_controllers),
        about(LiveMigration, check_live_migration),
        about(NetworkPolicy, check_network_policy),
        about(NetworkSet, check_network_set),
        about(Node, check_node),
        about(Profile, check_profile),
        about(StagedGlobalNetworkPolicy, check_staged_global_network_policy),
        about(StagedKubernetesNetworkPolicy, check_staged_kubernetes),
        about(StagedNetworkPolicy, check_staged_network_policy),
        about(Tier, check_tier),
        about(WorkloadEndpoint, check_workload_endpoint),
    )
)
STORED_CHECKS: Mapping[str, Ask] = dict(
    (
        about(GlobalNetworkPolicy, usable_policy),
        about(GlobalNetworkSet, usable_network_set),
        about(HostEndpoint, usable_host_endpoint),
        about(IPPool, usable_pool),
        about(NetworkPolicy, usable_policy),
        about(NetworkSet, usable_network_set),
        about(Profile, usable_profile),
        about(StagedGlobalNetworkPolicy, usable_policy),
        about(StagedNetworkPolicy, usable_policy),
        about(WorkloadEndpoint, usable_workload_endpoint),
    )
)


def check(resource: Resource) -> tuple[Problem, ...]:
    """Return all that is wrong with a resource about to be written, defaults filled in."""
    return (*check_namespace(resource), *CHECKS[resource.kind](resource))


def check_stored(resource: Resource) -> tuple[Problem, ...]:
    """Return what makes a stored record impossible to obey; such a record counts as absent."""
    ask = STORED_CHECKS.get(resource.kind)
    return () if ask is None else tuple(ask(resource))


def check_namespace(resource: Resource) -> Problems:
    """Check that a resource is in a namespace if and only if its kind lives in one."""
    namespace = resource.metadata.namespace
    if KINDS[resource.kind].namespaced and not namespace:
        yield Problem("metadata.namespace", "", f"a {resource.kind} lives in a namespace; name it")
    if not KINDS[resource.kind].namespaced and namespace:
        reason = f"a {resource.kind} belongs to the whole cluster; remove the namespace"
        yield Problem("metadata.namespace", namespace, reason)
