"""FelixConfiguration as Felix parameters: their names and their texts.

    spec.reportingInterval: 90s --parameters--> {"ReportingIntervalSecs": "90"}
    annotation config.projectcalico.org/X: y  -> {"X": "y"}, over what the spec says

This is the form in which settings from the datastore meet those of the environment and the
configuration file. A parameter is called as its field, first word in capitals if it is an
acronym; NAMES holds those that are not.

Source: libcalico-go/lib/backend/syncersv1/updateprocessors/{configuration,felixconfig}processor.go;
felix 6.2.
"""

from collections.abc import Callable, Mapping

from msgspec.structs import fields as struct_fields

from calico.core.model.duration import Duration
from calico.core.model.felix_config import (
    BPFConntrackTimeouts,
    FelixConfiguration,
    FelixConfigurationSpec,
    HealthTimeoutOverride,
    ProtoPort,
    RouteTableRange,
)
from calico.core.model.json_names import api_name

ANNOTATION_PREFIX = "config.projectcalico.org/"
FIRST_WORDS = {
    "aws": "AWS",
    "bpf": "BPF",
    "ip": "IP",
    "ipip": "IPIP",
    "ipv4": "IPv4",
    "ipv6": "IPv6",
    "mtu": "MTU",
    "nat": "NAT",
    "vxlan": "VXLAN",
    "xdp": "XDP",
}
NAMES = {
    "bpf_conntrack_mode": "BPFConntrackCleanupMode",
    "bpf_map_size_per_cpu_conntrack": "BPFMapSizePerCPUConntrack",
    "endpoint_reporting_delay": "EndpointReportingDelaySecs",
    "external_nodes_list": "ExternalNodesCIDRList",
    "ipip_enabled": "IpInIpEnabled",
    "ipip_mtu": "IpInIpMtu",
    "iptables_lock_probe_interval": "IptablesLockProbeIntervalMillis",
    "iptables_post_write_check_interval": "IptablesPostWriteCheckIntervalSecs",
    "ipv6_support": "Ipv6Support",
    "netlink_timeout": "NetlinkTimeoutSecs",
    "nftables_flow_table_data_iface_pattern": "NFTablesFlowTableDataIfacePattern",
    "nftables_flow_table_offload": "NFTablesFlowTableOffload",
    "nftables_mode": "NFTablesMode",
    "reporting_interval": "ReportingIntervalSecs",
    "reporting_ttl": "ReportingTTLSecs",
    "usage_reporting_initial_delay": "UsageReportingInitialDelaySecs",
    "usage_reporting_interval": "UsageReportingIntervalSecs",
    "wireguard_keep_alive": "WireguardPersistentKeepAlive",
}
NOT_PARAMETERS = frozenset({"node_selector"})
TIMEOUT_NAMES = {
    "creation_grace_period": "CreationGracePeriod",
    "tcp_syn_sent": "TCPSynSent",
    "tcp_established": "TCPEstablished",
    "tcp_fins_seen": "TCPFinsSeen",
    "tcp_reset_seen": "TCPResetSeen",
    "udp_timeout": "UDPTimeout",
    "generic_timeout": "GenericTimeout",
    "icmp_timeout": "ICMPTimeout",
}


def parameters(configuration: FelixConfiguration) -> Mapping[str, str]:
    """Return {parameter: text} of all that a FelixConfiguration sets."""
    found: dict[str, str] = {}
    for field in struct_fields(FelixConfigurationSpec):
        value: object = getattr(configuration.spec, field.name)
        if field.name not in NOT_PARAMETERS and value is not None and value != "":
            text = parameter_text(field.name, value)
            if text is not None:
                found[parameter_name(field.name)] = text
    for key, text in configuration.metadata.annotations.items():
        if key.startswith(ANNOTATION_PREFIX):
            found[key.removeprefix(ANNOTATION_PREFIX)] = text
    return found


def parameter_name(attribute: str) -> str:
    """Return the Felix parameter that a field sets."""
    if attribute in NAMES:
        return NAMES[attribute]
    first = attribute.partition("_")[0]
    return FIRST_WORDS.get(first, first.capitalize()) + api_name(attribute)[len(first) :]


def parameter_text(attribute: str, value: object) -> str | None:
    """Return the text of a value; None if it says nothing."""
    if attribute in TEXTS:
        return TEXTS[attribute](value)
    match value:
        case bool():
            return "true" if value else "false"
        case Duration():
            return decimal(value.seconds)
        case tuple():
            return ",".join(map(str, value))
        case Mapping():
            return "".join(f"{key}={text}," for key, text in sorted(value.items()))
        case _:
            return str(value)


def decimal(number: float) -> str:
    """Write a number without a needless fraction."""
    return str(int(number)) if number == int(number) else repr(number)


def milliseconds(value: object) -> str | None:
    """Write a duration in milliseconds."""
    return decimal(value.nanoseconds / 1_000_000) if isinstance(value, Duration) else None


def port_list(value: object) -> str | None:
    """Write failsafe ports: tcp:22, udp:10.0.0.0/8:53, tcp:[fd00::/8]:22; none for none."""
    ports = value if isinstance(value, tuple) else ()
    return ",".join(proto_port(port) for port in ports if isinstance(port, ProtoPort)) or "none"


def proto_port(port: ProtoPort) -> str:
    """Write one failsafe port."""
    net = f"[{port.net}]" if ":" in port.net else port.net
    return ":".join(part for part in (port.protocol.lower(), net, str(port.port)) if part)


def table_ranges(value: object) -> str | None:
    """Write spans of routing tables."""
    ranges = value if isinstance(value, tuple) else (value,)
    return ",".join(f"{r.min}-{r.max}" for r in ranges if isinstance(r, RouteTableRange))


def health_overrides(value: object) -> str | None:
    """Write health timeouts."""
    overrides = value if isinstance(value, tuple) else ()
    texts = (f"{o.name}={o.timeout}" for o in overrides if isinstance(o, HealthTimeoutOverride))
    return ",".join(texts) or None


def conntrack_timeouts(value: object) -> str | None:
    """Write the timeouts that are set."""
    if not isinstance(value, BPFConntrackTimeouts):
        return None
    timeouts = ((name, getattr(value, field)) for field, name in TIMEOUT_NAMES.items())
    return ",".join(f"{name}={text}" for name, text in timeouts if text is not None)


def port_ranges(value: object) -> str | None:
    """Write node port ranges as Calico does, in a form that Felix then cannot read."""
    return f"[{' '.join(map(str, value))}]" if isinstance(value, tuple) else None


TEXTS: Mapping[str, Callable[[object], str | None]] = {
    "bpf_conntrack_timeouts": conntrack_timeouts,
    "failsafe_inbound_host_ports": port_list,
    "failsafe_outbound_host_ports": port_list,
    "health_timeout_overrides": health_overrides,
    "iptables_lock_probe_interval": milliseconds,
    "kube_node_port_ranges": port_ranges,
    "route_table_range": table_ranges,
    "route_table_ranges": table_ranges,
}
