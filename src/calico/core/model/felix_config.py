"""Every setting of the node agent that may come from the datastore.

    FelixConfiguration "default"       every node
                       "node.<name>"   one node
                       any other name  the nodes that nodeSelector matches

None (or "" for text that cannot be empty) means "not set here". How each setting is called as a
Felix parameter, and its text form, is in felix_parameters.py.

Source: api/pkg/apis/projectcalico/v3/felixconfig.go; felix 6.2.
"""

from collections.abc import Mapping

from msgspec import field

from calico.core.model.duration import Duration
from calico.core.model.metadata import ApiStruct, Resource
from calico.core.model.scalars import settle_numbers, settle_ports


class HealthTimeoutOverride(ApiStruct, frozen=True):
    """How long one component may stay silent; 0 is "for ever"."""

    name: str = field(default_factory=str)
    timeout: Duration = field(default_factory=Duration)


class RouteTableRange(ApiStruct, frozen=True):
    """Numbers of kernel routing tables, both ends included."""

    min: int = field(default_factory=int)
    max: int = field(default_factory=int)


class ProtoPort(ApiStruct, frozen=True):
    """A protocol and port, to or from `net` if that is given."""

    protocol: str = ""
    port: int = field(default_factory=int)
    net: str = ""


class BPFConntrackTimeouts(ApiStruct, frozen=True):
    """Durations as text, or "Auto"."""

    creation_grace_period: str | None = None
    tcp_syn_sent: str | None = None
    tcp_established: str | None = None
    tcp_fins_seen: str | None = None
    tcp_reset_seen: str | None = None
    udp_timeout: str | None = None
    generic_timeout: str | None = None
    icmp_timeout: str | None = None


class FelixConfigurationSpec(ApiStruct, frozen=True):
    """The settings, in the order of the wire."""

    node_selector: str | None = None
    use_internal_dataplane_driver: bool | None = None
    dataplane_driver: str = ""
    dataplane_watchdog_timeout: Duration | None = None
    ipv6_support: bool | None = None
    route_refresh_interval: Duration | None = None
    interface_refresh_interval: Duration | None = None
    iptables_refresh_interval: Duration | None = None
    iptables_post_write_check_interval: Duration | None = None
    iptables_lock_probe_interval: Duration | None = None
    feature_detect_override: str = ""
    feature_gates: str = ""
    ipsets_refresh_interval: Duration | None = None
    max_ipset_size: int | None = None
    iptables_backend: str | None = None
    xdp_refresh_interval: Duration | None = None
    netlink_timeout: Duration | None = None
    metadata_addr: str = ""
    metadata_port: int | None = None
    openstack_region: str = ""
    interface_prefix: str = ""
    interface_exclude: str = ""
    chain_insert_mode: str = ""
    default_endpoint_to_host_action: str = ""
    iptables_filter_allow_action: str = ""
    iptables_mangle_allow_action: str = ""
    iptables_filter_deny_action: str = ""
    log_prefix: str = ""
    log_action_rate_limit: str | None = None
    log_action_rate_limit_burst: int | None = None
    log_file_path: str = ""
    log_severity_file: str = ""
    log_severity_screen: str = ""
    log_severity_sys: str = ""
    log_debug_filename_regex: str = ""
    ipip_enabled: bool | None = None
    ipip_mtu: int | None = None
    vxlan_enabled: bool | None = None
    vxlan_mtu: int | None = None
    vxlan_mtu_v6: int | None = None
    vxlan_port: int | None = None
    vxlan_vni: int | None = None
    allow_vxlan_packets_from_workloads: bool | None = None
    allow_ipip_packets_from_workloads: bool | None = None
    reporting_interval: Duration | None = None
    reporting_ttl: Duration | None = None
    endpoint_reporting_enabled: bool | None = None
    endpoint_reporting_delay: Duration | None = None
    endpoint_status_path_prefix: str = ""
    iptables_mark_mask: int | None = None
    disable_conntrack_invalid_check: bool | None = None
    health_enabled: bool | None = None
    health_host: str | None = None
    health_port: int | None = None
    health_timeout_overrides: tuple[HealthTimeoutOverride, ...] = ()
    prometheus_metrics_enabled: bool | None = None
    prometheus_metrics_host: str = ""
    prometheus_metrics_port: int | None = None
    prometheus_go_metrics_enabled: bool | None = None
    prometheus_process_metrics_enabled: bool | None = None
    prometheus_wire_guard_metrics_enabled: bool | None = None
    prometheus_metrics_ca_file: str | None = None
    prometheus_metrics_cert_file: str | None = None
    prometheus_metrics_key_file: str | None = None
    prometheus_metrics_client_auth: str | None = None
    failsafe_inbound_host_ports: tuple[ProtoPort, ...] | None = None
    failsafe_outbound_host_ports: tuple[ProtoPort, ...] | None = None
    kube_node_port_ranges: tuple[int | str, ...] | None = None
    policy_sync_path_prefix: str = ""
    usage_reporting_enabled: bool | None = None
    usage_reporting_initial_delay: Duration | None = None
    usage_reporting_interval: Duration | None = None
    nat_port_range: int | str | None = None
    nat_outgoing_address: str = ""
    nat_outgoing_exclusions: str | None = None
    device_route_source_address: str = ""
    device_route_source_address_ipv6: str = ""
    device_route_protocol: int | None = None
    remove_external_routes: bool | None = None
    program_cluster_routes: str | None = None
    ip_forwarding: str = ""
    external_nodes_list: tuple[str, ...] | None = None
    debug_memory_profile_path: str = ""
    debug_disable_log_dropping: bool | None = None
    debug_simulate_calc_graph_hang_after: Duration | None = None
    debug_simulate_dataplane_hang_after: Duration | None = None
    debug_simulate_dataplane_apply_delay: Duration | None = None
    debug_host: str | None = None
    debug_port: int | None = None
    iptables_nat_outgoing_interface_filter: str = ""
    sidecar_acceleration_enabled: bool | None = None
    xdp_enabled: bool | None = None
    generic_xdp_enabled: bool | None = None
    nftables_mode: str | None = None
    nftables_flow_table_offload: str | None = None
    nftables_flow_table_data_iface_pattern: str = ""
    nftables_refresh_interval: Duration | None = None
    nftables_filter_allow_action: str = ""
    nftables_mangle_allow_action: str = ""
    nftables_filter_deny_action: str = ""
    nftables_mark_mask: int | None = None
    bpf_enabled: bool | None = None
    bpf_overlay_host_source_ip: str | None = None
    bpf_disable_unprivileged: bool | None = None
    bpf_jit_hardening: str | None = None
    bpf_log_level: str = field(default_factory=str)
    bpf_conntrack_log_level: str = ""
    bpf_conntrack_mode: str | None = None
    bpf_conntrack_timeouts: BPFConntrackTimeouts | None = None
    bpf_ip_frag_timeout: Duration | None = None
    bpf_log_filters: Mapping[str, str] | None = None
    bpf_ctlb_log_filter: str = ""
    bpf_data_iface_pattern: str = ""
    bpf_l3_iface_pattern: str = ""
    bpf_connect_time_load_balancing_enabled: bool | None = None
    bpf_connect_time_load_balancing: str | None = None
    bpf_host_networked_nat_without_ctlb: str | None = None
    bpf_external_service_mode: str = ""
    bpf_dsr_optout_cidrs: tuple[str, ...] | None = None
    bpf_ext_to_service_connmark: int | None = None
    bpf_kube_proxy_iptables_cleanup_enabled: bool | None = None
    bpf_kube_proxy_min_sync_period: Duration | None = None
    bpf_kube_proxy_healthz_port: int | None = None
    bpf_psnat_ports: int | str | None = None
    bpf_map_size_nat_frontend: int | None = None
    bpf_map_size_nat_backend: int | None = None
    bpf_map_size_nat_affinity: int | None = None
    bpf_map_size_route: int | None = None
    bpf_map_size_conntrack: int | None = None
    bpf_map_size_per_cpu_conntrack: int | None = None
    bpf_map_size_conntrack_scaling: str = ""
    bpf_map_size_conntrack_cleanup_queue: int | None = None
    bpf_map_size_ip_sets: int | None = None
    bpf_map_size_if_state: int | None = None
    bpf_host_conntrack_bypass: bool | None = None
    bpf_ip_fragment_reassembly_enabled: bool | None = None
    bpf_enforce_rpf: str = ""
    bpf_policy_debug_enabled: bool | None = None
    bpf_force_track_packets_from_ifaces: tuple[str, ...] | None = None
    bpf_disable_gro_for_ifaces: str = ""
    bpf_exclude_cidrs_from_nat: tuple[str, ...] | None = None
    bpf_export_buffer_size_mb: int | None = None
    istio_ambient_mode: str | None = None
    istio_dscp_mark: int | str | None = None
    cgroup_v2_path: str = ""
    flow_logs_policy_evaluation_mode: str | None = None
    bpf_redirect_to_peer: str = ""
    bpf_attach_type: str | None = None
    flow_logs_flush_interval: Duration | None = None
    flow_logs_collector_debug_trace: bool | None = None
    flow_logs_goldmane_server: str | None = None
    flow_logs_local_reporter: str | None = None
    bpf_profiling: str = ""
    route_source: str = ""
    route_table_ranges: tuple[RouteTableRange, ...] | None = None
    route_table_range: RouteTableRange | None = None
    route_sync_disabled: bool | None = None
    ipv4_normal_route_priority: int | None = None
    ipv4_elevated_route_priority: int | None = None
    ipv6_normal_route_priority: int | None = None
    ipv6_elevated_route_priority: int | None = None
    live_migration_route_convergence_time: Duration | None = None
    wireguard_enabled: bool | None = None
    wireguard_enabled_v6: bool | None = None
    wireguard_threading_enabled: bool | None = None
    wireguard_listening_port: int | None = None
    wireguard_listening_port_v6: int | None = None
    wireguard_routing_rule_priority: int | None = None
    wireguard_interface_name: str = ""
    wireguard_interface_name_v6: str = ""
    wireguard_mtu: int | None = None
    wireguard_mtu_v6: int | None = None
    wireguard_host_encryption_enabled: bool | None = None
    wireguard_keep_alive: Duration | None = None
    aws_src_dst_check: str | None = None
    service_loop_prevention: str = ""
    workload_source_spoofing: str = ""
    mtu_iface_pattern: str = ""
    floating_ips: str | None = None
    local_subnet_l2_reachability: str | None = None
    local_subnet_l2_reachability_refresh_interval: Duration | None = None
    windows_manage_firewall_rules: str | None = None
    go_gc_threshold: int | None = None
    go_memory_limit_mb: int | None = None
    go_max_procs: int | None = None
    require_mtu_file: bool | None = None
    bpf_maglev_max_endpoints_per_service: int | None = None
    bpf_maglev_max_services: int | None = None

    def __post_init__(self) -> None:
        settle_numbers(self, "istio_dscp_mark")
        settle_ports(self, "kube_node_port_ranges", "nat_port_range", "bpf_psnat_ports")


class FelixConfiguration(Resource, frozen=True):
    """The node agent's settings."""

    spec: FelixConfigurationSpec = field(default_factory=FelixConfigurationSpec)
