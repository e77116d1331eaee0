"""What a node is asked to report of its BGP daemon, and what it reported.

Source: api/pkg/apis/projectcalico/v3/nodestatus.go.
"""

from msgspec import field

from calico.core.model.metadata import ApiStruct, Resource


class BGPDaemonStatus(ApiStruct, frozen=True):
    """One BIRD: Ready or NotReady, and since when."""

    state: str = ""
    version: str = ""
    router_id: str = ""
    last_boot_time: str = ""
    last_reconfiguration_time: str = ""


class CalicoNodeAgentStatus(ApiStruct, frozen=True):
    """The two BIRDs."""

    bird_v4: BGPDaemonStatus = field(default_factory=BGPDaemonStatus)
    bird_v6: BGPDaemonStatus = field(default_factory=BGPDaemonStatus)


class CalicoNodePeer(ApiStruct, frozen=True):
    """One BGP session."""

    peer_ip: str = ""
    type: str = ""
    state: str = ""
    since: str = ""


class CalicoNodeBGPStatus(ApiStruct, frozen=True):
    """The BGP sessions."""

    number_established_v4: int = field(default_factory=int)
    number_not_established_v4: int = field(default_factory=int)
    number_established_v6: int = field(default_factory=int)
    number_not_established_v6: int = field(default_factory=int)
    peers_v4: tuple[CalicoNodePeer, ...] = ()
    peers_v6: tuple[CalicoNodePeer, ...] = ()


class CalicoNodeRouteLearnedFrom(ApiStruct, frozen=True):
    """Where a route came from."""

    source_type: str = ""
    peer_ip: str = ""


class CalicoNodeRoute(ApiStruct, frozen=True):
    """One route, in BIRD's table (RIB) or the kernel's (FIB)."""

    type: str = ""
    destination: str = ""
    gateway: str = ""
    interface: str = ""
    learned_from: CalicoNodeRouteLearnedFrom = field(default_factory=CalicoNodeRouteLearnedFrom)


class CalicoNodeBGPRouteStatus(ApiStruct, frozen=True):
    """The routes."""

    routes_v4: tuple[CalicoNodeRoute, ...] = ()
    routes_v6: tuple[CalicoNodeRoute, ...] = ()


class CalicoNodeStatusSpec(ApiStruct, frozen=True):
    """Which node is asked, for what (Agent, BGP, Routes), how often."""

    node: str = ""
    classes: tuple[str, ...] = ()
    update_period_seconds: int | None = None


class CalicoNodeStatusStatus(ApiStruct, frozen=True):
    """What the node answered, and when."""

    last_updated: str | None = field(default_factory=lambda: None)
    agent: CalicoNodeAgentStatus = field(default_factory=CalicoNodeAgentStatus)
    bgp: CalicoNodeBGPStatus = field(default_factory=CalicoNodeBGPStatus)
    routes: CalicoNodeBGPRouteStatus = field(default_factory=CalicoNodeBGPRouteStatus)


class CalicoNodeStatus(Resource, frozen=True):
    """A standing question to one node, with its latest answer."""

    spec: CalicoNodeStatusSpec = field(default_factory=CalicoNodeStatusSpec)
    status: CalicoNodeStatusStatus = field(default_factory=CalicoNodeStatusStatus)
