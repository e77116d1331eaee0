"""Who speaks BGP with whom, what is told, and what is let through.

    BGPConfiguration   "default": the cluster; "node.<name>": one node
    BGPPeer            a peering of one node, some nodes or all
    BGPFilter          rules that peerings refer to by name

Source: api/pkg/apis/projectcalico/v3/{bgpconfig,bgppeer,bgpfilter}.go.
"""

from msgspec import field

from calico.core.model.duration import Duration
from calico.core.model.metadata import ApiStruct, Resource


class SecretKeySelector(ApiStruct, frozen=True):
    """One key of one Kubernetes Secret."""

    name: str = ""
    key: str = field(default_factory=str)
    optional: bool | None = None


class BGPPassword(ApiStruct, frozen=True):
    """Where a password is kept."""

    secret_key_ref: SecretKeySelector | None = None


class ServiceIPBlock(ApiStruct, frozen=True):
    """A CIDR of service addresses that is advertised."""

    cidr: str = ""


class Community(ApiStruct, frozen=True):
    """A name for a community value, "65000:100" or "65000:1:2"."""

    name: str = ""
    value: str = ""


class PrefixAdvertisement(ApiStruct, frozen=True):
    """Communities, by name or value, for the routes of one CIDR."""

    cidr: str = ""
    communities: tuple[str, ...] = ()


class BGPConfigurationSpec(ApiStruct, frozen=True):
    """Settings of BGP for the cluster or for one node."""

    log_severity_screen: str = ""
    node_to_node_mesh_enabled: bool | None = None
    as_number: int | None = None
    service_load_balancer_ips: tuple[ServiceIPBlock, ...] = ()
    service_external_ips: tuple[ServiceIPBlock, ...] = ()
    service_cluster_ips: tuple[ServiceIPBlock, ...] = ()
    service_load_balancer_aggregation: str | None = None
    communities: tuple[Community, ...] = ()
    prefix_advertisements: tuple[PrefixAdvertisement, ...] = ()
    listen_port: int = 0
    node_mesh_password: BGPPassword | None = None
    node_mesh_max_restart_time: Duration | None = None
    bind_mode: str | None = None
    ignored_interfaces: tuple[str, ...] = ()
    local_workload_peering_ipv4: str = ""
    local_workload_peering_ipv6: str = ""
    program_cluster_routes: str | None = None
    ipv4_normal_route_priority: int | None = None
    ipv6_normal_route_priority: int | None = None


class BGPConfiguration(Resource, frozen=True):
    """BGP for the cluster ("default") or for one node ("node.<name>")."""

    spec: BGPConfigurationSpec = field(default_factory=BGPConfigurationSpec)


class BGPPeerSpec(ApiStruct, frozen=True):
    """Who peers (node, node_selector) with whom (peer_ip, peer_selector ...)."""

    node: str = ""
    node_selector: str = ""
    peer_ip: str = ""
    as_number: int = 0
    local_as_number: int | None = None
    peer_selector: str = ""
    keep_original_next_hop: bool = False
    next_hop_mode: str | None = None
    password: BGPPassword | None = None
    source_address: str = ""
    max_restart_time: Duration | None = None
    keepalive_time: Duration | None = None
    num_allowed_local_as_numbers: int | None = None
    ttl_security: int | None = None
    reachable_by: str = ""
    filters: tuple[str, ...] = ()
    local_workload_selector: str = ""
    reverse_peering: str | None = None


class BGPPeer(Resource, frozen=True):
    """A BGP peering."""

    spec: BGPPeerSpec = field(default_factory=BGPPeerSpec)


class BGPFilterPrefixLength(ApiStruct, frozen=True):
    """Lengths that match, both ends included."""

    min: int | None = None
    max: int | None = None


class BGPFilterCommunityMatch(ApiStruct, frozen=True):
    """Communities, any of which matches."""

    values: tuple[str, ...] | None = field(default_factory=lambda: None)


class BGPFilterAddCommunity(ApiStruct, frozen=True):
    """Add this community to the route."""

    value: str | None = field(default_factory=lambda: None)


class BGPFilterPrependASPath(ApiStruct, frozen=True):
    """Put these AS numbers before the path."""

    prefix: tuple[int, ...] | None = field(default_factory=lambda: None)


class BGPFilterSetPriority(ApiStruct, frozen=True):
    """Give the route this metric."""

    value: int | None = field(default_factory=lambda: None)


class BGPFilterOperation(ApiStruct, frozen=True):
    """One change of an accepted route; exactly one of these."""

    add_community: BGPFilterAddCommunity | None = None
    prepend_as_path: BGPFilterPrependASPath | None = None
    set_priority: BGPFilterSetPriority | None = None


class BGPFilterRule(ApiStruct, frozen=True):
    """Accept or Reject the routes for which all that is present holds."""

    cidr: str = ""
    prefix_length: BGPFilterPrefixLength | None = None
    source: str = ""
    interface: str = ""
    match_operator: str = ""
    peer_type: str = ""
    communities: BGPFilterCommunityMatch | None = None
    as_path_prefix: tuple[int, ...] = ()
    priority: int | None = None
    action: str = field(default_factory=str)
    operations: tuple[BGPFilterOperation, ...] = ()


class BGPFilterSpec(ApiStruct, frozen=True):
    """Rules in order, by direction and IP version."""

    export_v4: tuple[BGPFilterRule, ...] = ()
    import_v4: tuple[BGPFilterRule, ...] = ()
    export_v6: tuple[BGPFilterRule, ...] = ()
    import_v6: tuple[BGPFilterRule, ...] = ()


class BGPFilter(Resource, frozen=True):
    """Rules that peerings refer to by name."""

    spec: BGPFilterSpec = field(default_factory=BGPFilterSpec)
