"""Felix's parameters: names, types, defaults, and what an unreadable value does.

    text (environment, file, datastore) --parse--> typed value of one field of FelixConfig

A parameter stands here once the agent acts on it. `KNOWN_NOT_ACTED_ON` are Calico's others: the
agent accepts them and says in its log that they change nothing.

Source: shared/spec felix 6.2 (felix/config/config_params.go).
"""

import re
from collections.abc import Callable
from ipaddress import ip_address
from typing import Literal, TypeAlias

from msgspec import Struct

Value: TypeAlias = bool | int | float | str | tuple[str, ...] | tuple[int, int] | None
Parser: TypeAlias = Callable[[str], Value]


class FelixConfig(Struct, frozen=True, kw_only=True):
    """What the agent was told, merged from all sources. Seconds are seconds, ports are numbers."""

    datastore_type: Literal["kubernetes", "etcdv3"]
    felix_hostname: str
    etcd_addr: str
    etcd_scheme: str
    etcd_key_file: str
    etcd_cert_file: str
    etcd_ca_file: str
    etcd_endpoints: str
    nf_tables_mode: str
    ipv6_support: bool
    interface_prefix: tuple[str, ...]
    default_endpoint_to_host_action: Literal["Drop", "Return", "Accept"]
    nftables_filter_allow_action: str
    nftables_filter_deny_action: Literal["Drop", "Reject"]
    nftables_mark_mask: int
    allow_vxlan_packets_from_workloads: bool
    allow_ipip_packets_from_workloads: bool
    workload_source_spoofing: str
    disable_conntrack_invalid_check: bool
    nftables_refresh_interval: float
    route_refresh_interval: float
    interface_refresh_interval: float
    device_route_source_address: str
    device_route_source_address_ipv6: str
    device_route_protocol: int
    remove_external_routes: bool
    ip_forwarding: str
    vxlan_port: int
    vxlan_enabled: bool | None
    vxlan_vni: int
    vxlan_mtu: int
    vxlan_mtu_v6: int
    ip_in_ip_enabled: bool | None
    ip_in_ip_mtu: int
    program_cluster_routes: str
    mtu_iface_pattern: str
    nat_port_range: tuple[int, int] | None
    nat_outgoing_address: str
    ipv4_normal_route_priority: int
    ipv6_normal_route_priority: int
    log_prefix: str
    log_action_rate_limit: str
    log_action_rate_limit_burst: int
    log_severity_screen: str
    reporting_interval_secs: float
    reporting_ttl_secs: float
    endpoint_status_path_prefix: str
    health_enabled: bool
    health_port: int
    health_host: str
    prometheus_metrics_enabled: bool
    prometheus_metrics_host: str
    prometheus_metrics_port: int
    dataplane_watchdog_timeout: float


class Parameter(Struct, frozen=True):
    """One parameter.

    `local`: never read from the datastore. `fatal`: a bad value ends the start.
    """

    name: str
    field: str
    parse: Parser
    default: str
    local: bool = False
    fatal: bool = False


def parse_bool(text: str) -> bool:
    """Read true/false as Felix does. Raises ValueError."""
    if text.lower() in {"true", "1", "yes", "y", "t"}:
        return True
    if text.lower() in {"false", "0", "no", "n", "f"}:
        return False
    raise ValueError("must be true or false")


def parse_optional_bool(text: str) -> bool | None:
    """Read true/false, or nothing. Raises ValueError."""
    return parse_bool(text) if text else None


def parse_pattern(text: str) -> str:
    """Read a regular expression. Raises ValueError."""
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"must be a regular expression: {error}") from error
    return text


def parse_seconds(text: str) -> float:
    """Read a number of seconds. Raises ValueError."""
    try:
        return float(text)
    except ValueError as error:
        raise ValueError("must be a number of seconds") from error


def parse_int_between(low: int, high: int) -> Parser:
    """Make a parser of whole numbers from `low` to `high`; 0x and 0 prefixes are understood."""

    def parse(text: str) -> int:
        try:
            number = int(text, 8 if re.fullmatch(r"0[0-7]+", text) else 0)
        except ValueError as error:
            raise ValueError("must be a whole number") from error
        if not low <= number <= high:
            raise ValueError(f"must be from {low} to {high}")
        return number

    return parse


def parse_one_of(*words: str) -> Parser:
    """Make a parser of one of these words, in any case; the answer has the case given here."""

    def parse(text: str) -> str:
        for word in words:
            if word.lower() == text.lower():
                return word
        raise ValueError("must be one of " + ", ".join(words))

    return parse


def parse_text(text: str) -> str:
    """Take any text."""
    return text


def parse_ip(text: str) -> str:
    """Read an address, or nothing. Raises ValueError."""
    return str(ip_address(text)) if text else ""


def parse_interface_prefixes(text: str) -> tuple[str, ...]:
    """Read a comma-separated list of interface name prefixes. Raises ValueError."""
    prefixes = tuple(part.strip() for part in text.split(","))
    if not all(re.fullmatch(r"[a-zA-Z0-9:._+-]{1,15}", prefix) for prefix in prefixes):
        raise ValueError("must be interface name prefixes of at most 15 characters, with commas")
    return prefixes


def parse_mark_mask(text: str) -> int:
    """Read a mark mask of at least two bits. Raises ValueError."""
    try:
        mask = int(text, 0)
    except ValueError as error:
        raise ValueError("must be a 32-bit mask such as 0xffff0000") from error
    if not 0 <= mask <= 0xFFFFFFFF or mask.bit_count() < 2:
        raise ValueError("must be a 32-bit mask of at least two bits")
    return mask


def parse_port_range(text: str) -> tuple[int, int] | None:
    """Read "min:max", or nothing. Raises ValueError."""
    if not text:
        return None
    match = re.fullmatch(r"(\d+):(\d+)", text)
    if not match or not 0 < int(match[1]) <= int(match[2]) < 65536:
        raise ValueError("must be min:max with 1 <= min <= max <= 65535")
    return int(match[1]), int(match[2])


_P = Parameter
_PORT = parse_int_between(0, 65535)
_MTU = parse_int_between(0, 65535)
_PRIORITY = parse_int_between(1, 2147483646)
_ACCEPT_OR_RETURN = parse_one_of("Accept", "Return")

PARAMETERS = (
    _P("DatastoreType", "datastore_type", parse_one_of("kubernetes", "etcdv3"), "etcdv3",
       local=True, fatal=True),
    _P("FelixHostname", "felix_hostname", parse_text, "", True),
    _P("EtcdAddr", "etcd_addr", parse_text, "127.0.0.1:2379", True),
    _P("EtcdScheme", "etcd_scheme", parse_one_of("http", "https"), "http", True),
    _P("EtcdKeyFile", "etcd_key_file", parse_text, "", True),
    _P("EtcdCertFile", "etcd_cert_file", parse_text, "", True),
    _P("EtcdCaFile", "etcd_ca_file", parse_text, "", True),
    _P("EtcdEndpoints", "etcd_endpoints", parse_text, "", True),
    _P("NFTablesMode", "nf_tables_mode", parse_one_of("Enabled", "Disabled", "Auto"), "Auto"),
    _P("Ipv6Support", "ipv6_support", parse_bool, "true"),
    _P("InterfacePrefix", "interface_prefix", parse_interface_prefixes, "cali", fatal=True),
    _P("DefaultEndpointToHostAction", "default_endpoint_to_host_action",
       parse_one_of("Drop", "Return", "Accept"), "Drop", fatal=True),
    _P("NftablesFilterAllowAction", "nftables_filter_allow_action", _ACCEPT_OR_RETURN, "Accept",
       fatal=True),
    _P("NftablesFilterDenyAction", "nftables_filter_deny_action", parse_one_of("Drop", "Reject"),
       "Drop", fatal=True),
    _P("NftablesMarkMask", "nftables_mark_mask", parse_mark_mask, "0xffff0000", fatal=True),
    _P("AllowVXLANPacketsFromWorkloads", "allow_vxlan_packets_from_workloads", parse_bool, "false"),
    _P("AllowIPIPPacketsFromWorkloads", "allow_ipip_packets_from_workloads", parse_bool, "false"),
    _P("WorkloadSourceSpoofing", "workload_source_spoofing", parse_one_of("Disabled", "Any"),
       "Disabled"),
    _P("DisableConntrackInvalidCheck", "disable_conntrack_invalid_check", parse_bool, "false"),
    _P("NftablesRefreshInterval", "nftables_refresh_interval", parse_seconds, "180"),
    _P("RouteRefreshInterval", "route_refresh_interval", parse_seconds, "90"),
    _P("InterfaceRefreshInterval", "interface_refresh_interval", parse_seconds, "90"),
    _P("DeviceRouteSourceAddress", "device_route_source_address", parse_ip, ""),
    _P("DeviceRouteSourceAddressIPv6", "device_route_source_address_ipv6", parse_ip, ""),
    _P("DeviceRouteProtocol", "device_route_protocol", parse_int_between(1, 255), "3"),
    _P("RemoveExternalRoutes", "remove_external_routes", parse_bool, "true"),
    _P("IPForwarding", "ip_forwarding", parse_one_of("Enabled", "Disabled"), "Enabled"),
    _P("VXLANPort", "vxlan_port", _PORT, "4789"),
    _P("VXLANEnabled", "vxlan_enabled", parse_optional_bool, ""),
    _P("VXLANVNI", "vxlan_vni", parse_int_between(1, 16777215), "4096"),
    _P("VXLANMTU", "vxlan_mtu", _MTU, "0"),
    _P("VXLANMTUV6", "vxlan_mtu_v6", _MTU, "0"),
    _P("IpInIpEnabled", "ip_in_ip_enabled", parse_optional_bool, ""),
    _P("IpInIpMtu", "ip_in_ip_mtu", _MTU, "0"),
    _P("ProgramClusterRoutes", "program_cluster_routes",
       parse_one_of("Enabled", "Disabled", "EnabledIPIPOnly", "EnabledNoEncapOnly"),
       "EnabledIPIPOnly"),
    _P("MTUIfacePattern", "mtu_iface_pattern", parse_pattern,
       "^((en|wl|ww|sl|ib)[Pcopsvx].*|(eth|wlan|wwan).*)"),
    _P("NATPortRange", "nat_port_range", parse_port_range, ""),
    _P("NATOutgoingAddress", "nat_outgoing_address", parse_ip, ""),
    _P("IPv4NormalRoutePriority", "ipv4_normal_route_priority", _PRIORITY, "1024"),
    _P("IPv6NormalRoutePriority", "ipv6_normal_route_priority", _PRIORITY, "1024"),
    _P("LogPrefix", "log_prefix", parse_text, "calico-packet"),
    _P("LogActionRateLimit", "log_action_rate_limit", parse_text, ""),
    _P("LogActionRateLimitBurst", "log_action_rate_limit_burst", parse_int_between(0, 9999), "5"),
    _P("LogSeverityScreen", "log_severity_screen",
       parse_one_of("TRACE", "DEBUG", "INFO", "WARNING", "ERROR", "FATAL"), "INFO"),
    _P("ReportingIntervalSecs", "reporting_interval_secs", parse_seconds, "30"),
    _P("ReportingTTLSecs", "reporting_ttl_secs", parse_seconds, "90"),
    _P("EndpointStatusPathPrefix", "endpoint_status_path_prefix", parse_text, "/var/run/calico"),
    _P("HealthEnabled", "health_enabled", parse_bool, "false"),
    _P("HealthPort", "health_port", _PORT, "9099"),
    _P("HealthHost", "health_host", parse_text, "localhost"),
    _P("PrometheusMetricsEnabled", "prometheus_metrics_enabled", parse_bool, "false"),
    _P("PrometheusMetricsHost", "prometheus_metrics_host", parse_text, ""),
    _P("PrometheusMetricsPort", "prometheus_metrics_port", _PORT, "9091"),
    _P("DataplaneWatchdogTimeout", "dataplane_watchdog_timeout", parse_seconds, "90"),
)  # fmt: skip

# Parameters whose change the agent takes without a restart, since nothing depends on them.
LIVE = frozenset({"CalicoVersion", "ClusterGUID", "ClusterType", "HealthTimeoutOverrides"})
