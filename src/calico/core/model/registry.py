"""Every kind there is: its plural in keys, whether it lives in a namespace, its type.

A literal table: a kind is added here, nowhere else.

Source: libcalico-go/lib/backend/model/resource.go; datastore-etcd 1.2.
"""

from collections.abc import Mapping
from typing import NamedTuple

from calico.core.model.bgp import BGPConfiguration, BGPFilter, BGPPeer
from calico.core.model.cluster import (
    BlockAffinity,
    ClusterInformation,
    IPAMConfig,
    IPAMConfiguration,
    LiveMigration,
)
from calico.core.model.endpoint import HostEndpoint, WorkloadEndpoint
from calico.core.model.felix_config import FelixConfiguration
from calico.core.model.kube_controllers_config import KubeControllersConfiguration
from calico.core.model.metadata import Resource
from calico.core.model.network_set import GlobalNetworkSet, NetworkSet
from calico.core.model.node import Node
from calico.core.model.node_status import CalicoNodeStatus
from calico.core.model.policy import (
    GlobalNetworkPolicy,
    NetworkPolicy,
    StagedGlobalNetworkPolicy,
    StagedKubernetesNetworkPolicy,
    StagedNetworkPolicy,
)
from calico.core.model.pool import IPPool, IPReservation
from calico.core.model.profile import Profile
from calico.core.model.tier import Tier


class KindInfo(NamedTuple):
    """One kind."""

    kind: str
    plural: str
    namespaced: bool
    type: type[Resource]


KINDS: Mapping[str, KindInfo] = {
    info.kind: info
    for info in (
        KindInfo("BGPConfiguration", "bgpconfigurations", False, BGPConfiguration),
        KindInfo("BGPFilter", "bgpfilters", False, BGPFilter),
        KindInfo("BGPPeer", "bgppeers", False, BGPPeer),
        KindInfo("BlockAffinity", "blockaffinities", False, BlockAffinity),
        KindInfo("CalicoNodeStatus", "caliconodestatuses", False, CalicoNodeStatus),
        KindInfo("ClusterInformation", "clusterinformations", False, ClusterInformation),
        KindInfo("FelixConfiguration", "felixconfigurations", False, FelixConfiguration),
        KindInfo("GlobalNetworkPolicy", "globalnetworkpolicies", False, GlobalNetworkPolicy),
        KindInfo("GlobalNetworkSet", "globalnetworksets", False, GlobalNetworkSet),
        KindInfo("HostEndpoint", "hostendpoints", False, HostEndpoint),
        KindInfo("IPAMConfig", "ipamconfigs", False, IPAMConfig),
        KindInfo("IPAMConfiguration", "ipamconfigurations", False, IPAMConfiguration),
        KindInfo("IPPool", "ippools", False, IPPool),
        KindInfo("IPReservation", "ipreservations", False, IPReservation),
        KindInfo(
            "KubeControllersConfiguration",
            "kubecontrollersconfigurations",
            False,
            KubeControllersConfiguration,
        ),
        KindInfo("LiveMigration", "livemigrations", True, LiveMigration),
        KindInfo("NetworkPolicy", "networkpolicies", True, NetworkPolicy),
        KindInfo("NetworkSet", "networksets", True, NetworkSet),
        KindInfo("Node", "nodes", False, Node),
        KindInfo("Profile", "profiles", False, Profile),
        KindInfo(
            "StagedGlobalNetworkPolicy",
            "stagedglobalnetworkpolicies",
            False,
            StagedGlobalNetworkPolicy,
        ),
        KindInfo(
            "StagedKubernetesNetworkPolicy",
            "stagedkubernetesnetworkpolicies",
            True,
            StagedKubernetesNetworkPolicy,
        ),
        KindInfo("StagedNetworkPolicy", "stagednetworkpolicies", True, StagedNetworkPolicy),
        KindInfo("Tier", "tiers", False, Tier),
        KindInfo("WorkloadEndpoint", "workloadendpoints", True, WorkloadEndpoint),
    )
}
KINDS_BY_PLURAL: Mapping[str, KindInfo] = {info.plural: info for info in KINDS.values()}
