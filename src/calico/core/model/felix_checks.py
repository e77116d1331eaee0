"""What a FelixConfiguration may say: one line per setting that is not free.

Source: CRD schema of FelixConfiguration, libcalico-go/lib/validator/v3/validator.go.
"""

import re
from collections.abc import Iterator, Mapping

from msgspec.structs import fields as struct_fields

from calico.core.model.constraints import (
    Check,
    address_of,
    all_of,
    any_network,
    at_most,
    each,
    fields,
    number,
    of_version,
    one_of,
    one_of_any_case,
    parts,
    plain_duration,
    port,
    problem,
    regular_expression,
    selector,
    text_like,
)
from calico.core.model.duration import Duration
from calico.core.model.endpoint_checks import dscp
from calico.core.model.felix_config import (
    BPFConntrackTimeouts,
    FelixConfiguration,
    FelixConfigurationSpec,
    HealthTimeoutOverride,
    RouteTableRange,
)
from calico.core.model.naming import LABEL_NAME, LABEL_TEXT, interface_name, metadata
from calico.core.model.problem import Problem
from calico.core.net.ports import parse_port

SWITCH = one_of("Enabled", "Disabled")
PORT = number(0, 65535)
LISTENING_PORT = number(1, 65535)
PRIORITY = number(1, 2_147_483_646)
MASK = number(0, 0xFFFF_FFFF)
LOG_LEVEL = one_of_any_case("Trace", "Debug", "Info", "Warning", "Error", "Fatal")
ALLOW = one_of_any_case("Accept", "Return")
DENY = one_of_any_case("Drop", "Reject")
INTERFACES = text_like(r"[a-zA-Z0-9:._+-]{1,15}", "an interface name, + for any ending")
AT_LEAST_MINUS_ONE = number(-1, 2**31 - 1)
TIMEOUT = text_like(r"(([0-9]*(\.[0-9]*)?(ms|s|h|m|us)+)+|Auto)", "a duration like 90s, or Auto")
MOST_TABLES = 0xFFFF
# In the schema these two lack a pattern; a fraction is allowed there.
FREE_DURATIONS = frozenset(
    {"dataplane_watchdog_timeout", "local_subnet_l2_reachability_refresh_interval"}
)


def proto_port(path: str, value: object) -> Iterator[Problem]:
    """Check one failsafe port."""
    checks = {"protocol": one_of_any_case("TCP", "UDP", "SCTP"), "port": PORT, "net": any_network}
    yield from parts(checks)(path, value)
    if getattr(value, "protocol", None) == "":
        yield from problem(f"{path}.protocol", "", "is required: TCP, UDP or SCTP")


def numeric_port(path: str, value: object) -> Iterator[Problem]:
    """Allow port numbers and spans, not names."""
    yield from port(path, value)
    try:
        named = isinstance(value, str) and isinstance(parse_port(value), str)
    except ValueError:
        return  # reported as what it is
    if named:
        yield from problem(path, value, "must be a number or a span, not a name")


def table_range(lowest: int, highest: int) -> Check:
    """Allow spans of routing tables."""

    def check(path: str, value: object) -> Iterator[Problem]:
        if isinstance(value, RouteTableRange) and not (lowest <= value.min <= value.max <= highest):
            reason = f"must be a span within {lowest} to {highest}, min before max"
            yield from problem(path, f"{value.min}-{value.max}", reason)

    return check


def table_ranges(path: str, value: object) -> Iterator[Problem]:
    """Check spans of routing tables, and how many tables they name."""
    if isinstance(value, tuple):
        yield from each(table_range(1, 0xFFFF_FFFF))(path, value)
        tables = sum(item.max - item.min + 1 for item in value if isinstance(item, RouteTableRange))
        if tables > MOST_TABLES:
            yield from problem(path, tables, f"name more than {MOST_TABLES} tables")


def health_override(path: str, value: object) -> Iterator[Problem]:
    """Check one health timeout."""
    if isinstance(value, HealthTimeoutOverride):
        if re.match(r"[a-zA-Z0-9_ -]+\Z", value.name) is None:
            reason = "must be letters, digits, '_', '-' and blanks"
            yield from problem(f"{path}.name", value.name, reason)
        if value.timeout < Duration(0):
            yield from problem(f"{path}.timeout", value.timeout, "must not be negative")


def bpf_log_filters(path: str, value: object) -> Iterator[Problem]:
    """Check the interfaces that filters are for."""
    if isinstance(value, Mapping):
        for interface in value:
            yield from interface_name(path, interface)


CHECKS: Mapping[str, Check] = {
    "node_selector": selector,
    "feature_detect_override": text_like(
        r"([a-zA-Z0-9_-]+=(true|false|),)*([a-zA-Z0-9_-]+=(true|false|))?", "feature=true, ..."
    ),
    "feature_gates": text_like(
        r"([a-zA-Z0-9_-]+=([^=]+),)*([a-zA-Z0-9_-]+=([^=]+))?", "feature=value, ..."
    ),
    "iptables_backend": one_of("Legacy", "NFT", "Auto"),
    "openstack_region": all_of(at_most(46), text_like(LABEL_NAME, LABEL_TEXT)),
    "chain_insert_mode": one_of_any_case("Insert", "Append"),
    "default_endpoint_to_host_action": one_of_any_case("Drop", "Accept", "Return"),
    "iptables_filter_allow_action": ALLOW,
    "iptables_mangle_allow_action": ALLOW,
    "iptables_filter_deny_action": DENY,
    "log_prefix": text_like("[a-zA-Z0-9%: /_-]*", "letters, digits, blanks and %:/_-"),
    "log_action_rate_limit": text_like(
        r"[1-9]\d{0,3}/(?:second|minute|hour|day)", "a rate like 10/minute, at most 9999"
    ),
    "log_action_rate_limit_burst": number(0, 9999),
    "log_severity_file": LOG_LEVEL,
    "log_severity_screen": LOG_LEVEL,
    "log_severity_sys": LOG_LEVEL,
    "log_debug_filename_regex": regular_expression,
    "iptables_mark_mask": MASK,
    "health_timeout_overrides": each(health_override),
    "prometheus_metrics_host": text_like("[a-zA-Z0-9:._+-]{1,64}", "a host name or address"),
    "prometheus_metrics_client_auth": one_of(
        "RequireAndVerifyClientCert",
        "RequireAnyClientCert",
        "VerifyClientCertIfGiven",
        "NoClientCert",
    ),
    "failsafe_inbound_host_ports": each(proto_port),
    "failsafe_outbound_host_ports": each(proto_port),
    "kube_node_port_ranges": all_of(at_most(7), each(numeric_port)),
    "nat_port_range": port,
    "nat_outgoing_address": address_of(4),
    "nat_outgoing_exclusions": one_of("IPPoolsOnly", "IPPoolsAndHostIPs"),
    "device_route_source_address": address_of(4),
    "device_route_source_address_ipv6": address_of(6),
    "program_cluster_routes": one_of(
        "Enabled", "Disabled", "EnabledIPIPOnly", "EnabledNoEncapOnly"
    ),
    "ip_forwarding": SWITCH,
    "external_nodes_list": each(all_of(any_network, of_version(4))),
    "debug_port": PORT,
    "iptables_nat_outgoing_interface_filter": INTERFACES,
    "nftables_mode": one_of("Disabled", "Enabled", "Auto"),
    "nftables_flow_table_offload": one_of("All", "Disabled"),
    "nftables_flow_table_data_iface_pattern": regular_expression,
    "nftables_filter_allow_action": ALLOW,
    "nftables_mangle_allow_action": ALLOW,
    "nftables_filter_deny_action": DENY,
    "nftables_mark_mask": MASK,
    "bpf_overlay_host_source_ip": one_of("TunnelAddress", "HostAddress"),
    "bpf_jit_hardening": one_of("Auto", "Strict"),
    "bpf_log_level": one_of_any_case("Off", "Info", "Debug"),
    "bpf_conntrack_log_level": one_of("Off", "Debug"),
    "bpf_conntrack_mode": one_of("Auto", "Userspace", "BPFProgram"),
    "bpf_conntrack_timeouts": parts(
        dict.fromkeys((field.name for field in struct_fields(BPFConntrackTimeouts)), TIMEOUT)
    ),
    "bpf_log_filters": bpf_log_filters,
    "bpf_data_iface_pattern": regular_expression,
    "bpf_l3_iface_pattern": regular_expression,
    "bpf_connect_time_load_balancing": one_of("TCP", "Enabled", "Disabled"),
    "bpf_host_networked_nat_without_ctlb": SWITCH,
    "bpf_external_service_mode": one_of_any_case("Tunnel", "DSR"),
    "bpf_dsr_optout_cidrs": each(any_network),
    "bpf_ext_to_service_connmark": MASK,
    "bpf_kube_proxy_healthz_port": PORT,
    "bpf_psnat_ports": port,
    "bpf_map_size_conntrack_scaling": one_of_any_case("Disabled", "DoubleIfFull"),
    "bpf_map_size_conntrack_cleanup_queue": number(1, 2**63 - 1),
    "bpf_enforce_rpf": one_of_any_case("Disabled", "Strict", "Loose"),
    "bpf_force_track_packets_from_ifaces": each(INTERFACES),
    "bpf_disable_gro_for_ifaces": regular_expression,
    "bpf_exclude_cidrs_from_nat": each(any_network),
    "istio_ambient_mode": SWITCH,
    "istio_dscp_mark": dscp,
    "flow_logs_policy_evaluation_mode": one_of("None", "Continuous"),
    "bpf_redirect_to_peer": SWITCH,
    "bpf_attach_type": one_of("TC", "TCX", "Netkit"),
    "flow_logs_local_reporter": SWITCH,
    "bpf_profiling": SWITCH,
    "route_source": one_of_any_case("WorkloadIPs", "CalicoIPAM"),
    "route_table_ranges": table_ranges,
    "route_table_range": table_range(1, 250),
    "ipv4_normal_route_priority": PRIORITY,
    "ipv4_elevated_route_priority": PRIORITY,
    "ipv6_normal_route_priority": PRIORITY,
    "ipv6_elevated_route_priority": PRIORITY,
    "wireguard_listening_port": LISTENING_PORT,
    "wireguard_listening_port_v6": LISTENING_PORT,
    "wireguard_routing_rule_priority": number(1, 32765),
    "wireguard_interface_name": interface_name,
    "wireguard_interface_name_v6": interface_name,
    "aws_src_dst_check": one_of("DoNothing", "Enable", "Disable"),
    "service_loop_prevention": one_of("Drop", "Reject", "Disabled"),
    "workload_source_spoofing": one_of("Disabled", "Any"),
    "mtu_iface_pattern": regular_expression,
    "floating_ips": SWITCH,
    "local_subnet_l2_reachability": one_of("Disabled", "PodsAndLoadBalancers"),
    "windows_manage_firewall_rules": SWITCH,
    "go_gc_threshold": AT_LEAST_MINUS_ONE,
    "go_memory_limit_mb": AT_LEAST_MINUS_ONE,
    "go_max_procs": AT_LEAST_MINUS_ONE,
    "bpf_maglev_max_endpoints_per_service": number(1, 3000),
    "bpf_maglev_max_services": number(1, 3000),
}


def check_felix_configuration(configuration: FelixConfiguration) -> Iterator[Problem]:
    """Yield all that is wrong with the node agent's settings."""
    yield from metadata(configuration.metadata)
    name, spec = configuration.metadata.name, configuration.spec
    yield from fields(spec, "spec", CHECKS)
    yield from durations(spec)
    if spec.node_selector is not None and (name == "default" or name.startswith("node.")):
        reason = f"cannot be set on {name}: its name says which nodes it is for"
        yield from problem("spec.nodeSelector", spec.node_selector, reason)
    if spec.route_table_range is not None and spec.route_table_ranges is not None:
        yield from problem("spec.routeTableRange", "", "excludes routeTableRanges; use that alone")


def durations(spec: FelixConfigurationSpec) -> Iterator[Problem]:
    """Check every duration."""
    for field in struct_fields(FelixConfigurationSpec):
        value: object = getattr(spec, field.name)
        if isinstance(value, Duration) and field.name not in FREE_DURATIONS:
            yield from plain_duration(f"spec.{field.encode_name}", value)
