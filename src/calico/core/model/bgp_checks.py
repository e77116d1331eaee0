"""What BGP configurations, peerings and filters may say.

Source: libcalico-go/lib/validator/v3/validator.go, CRD schemas; datastore-etcd 1.2.6.
"""

import re
from collections.abc import Iterator, Mapping

from calico.core.model.bgp import (
    BGPConfiguration,
    BGPConfigurationSpec,
    BGPFilter,
    BGPFilterOperation,
    BGPFilterRule,
    BGPPeer,
    BGPPeerSpec,
    Community,
)
from calico.core.model.constraints import (
    Check,
    address,
    address_of,
    all_of,
    at_most,
    each,
    fields,
    network,
    number,
    of_version,
    one_of,
    one_of_any_case,
    parts,
    problem,
    selector,
    text_like,
)
from calico.core.model.json_names import api_name
from calico.core.model.naming import dns_name, metadata
from calico.core.model.problem import Problem
from calico.core.net.prefix import ip_version, parse_address

PRIORITY = number(1, 2_147_483_646)
COMMUNITY = re.compile(r"([0-9]+):([0-9]+)(?::([0-9]+))?\Z")
PEER_ADDRESS = re.compile(r"(?:([0-9.]+)|\[([0-9a-fA-F:.]+)\]):([0-9]+)\Z")
LOG_LEVEL = one_of_any_case("Trace", "Debug", "Info", "Warning", "Error", "Fatal")
CLUSTER_ROUTES = one_of("Enabled", "Disabled", "EnabledIPIPOnly", "EnabledNoEncapOnly")
BLOCKS = each(parts({"cidr": network}))
ONLY_DEFAULT = (
    "node_to_node_mesh_enabled",
    "as_number",
    "service_load_balancer_ips",
    "service_external_ips",
    "service_cluster_ips",
    "node_mesh_password",
    "node_mesh_max_restart_time",
)
AS_NUMBER = number(0, 0xFFFF_FFFF)


def community(path: str, value: object) -> Iterator[Problem]:
    """Allow community values: two 16-bit numbers or three 32-bit ones."""
    found = COMMUNITY.match(str(value))
    if found is None:
        yield from problem(path, value, "must be a community like 65000:100 or 65000:1:2")
        return
    bits = 16 if found[3] is None else 32
    if any(int(part) >> bits for part in found.groups() if part is not None):
        yield from problem(path, value, f"its numbers must be below {1 << bits}")


CONFIGURATION: Mapping[str, Check] = {
    "log_severity_screen": LOG_LEVEL,
    "as_number": AS_NUMBER,
    "service_load_balancer_ips": BLOCKS,
    "service_external_ips": BLOCKS,
    "service_cluster_ips": BLOCKS,
    "service_load_balancer_aggregation": one_of("Enabled", "Disabled"),
    "communities": all_of(at_most(500), each(parts({"name": dns_name, "value": community}))),
    "prefix_advertisements": all_of(
        at_most(500), each(parts({"cidr": network, "communities": at_most(50)}))
    ),
    "bind_mode": one_of("None", "NodeIP"),
    "ignored_interfaces": each(
        text_like(r"(?!\*\Z)[a-zA-Z0-9_.*-]{1,15}", "an interface name, * for some of it")
    ),
    "local_workload_peering_ipv4": address_of(4),
    "local_workload_peering_ipv6": address_of(6),
    "program_cluster_routes": CLUSTER_ROUTES,
    "ipv4_normal_route_priority": PRIORITY,
    "ipv6_normal_route_priority": PRIORITY,
}


def check_bgp_configuration(configuration: BGPConfiguration) -> Iterator[Problem]:
    """Yield all that is wrong with a BGP configuration."""
    yield from metadata(configuration.metadata)
    spec = configuration.spec
    yield from fields(spec, "spec", CONFIGURATION)
    if spec.listen_port:
        yield from number(1, 65535)("spec.listenPort", spec.listen_port)
    if configuration.metadata.name != "default":
        for name in ONLY_DEFAULT:
            value: object = getattr(spec, name)
            if value is not None and value != ():
                reason = "can only be set in the BGPConfiguration default"
                yield from problem(f"spec.{api_name(name)}", value, reason)
    yield from mesh(spec)
    yield from advertisements(spec)


def mesh(spec: BGPConfigurationSpec) -> Iterator[Problem]:
    """Check that settings of the mesh come with a mesh."""
    if spec.node_to_node_mesh_enabled is False:
        for name in ("node_mesh_password", "node_mesh_max_restart_time"):
            if getattr(spec, name) is not None:
                reason = "cannot be set when nodeToNodeMeshEnabled is false"
                yield from problem(f"spec.{api_name(name)}", getattr(spec, name), reason)


def advertisements(spec: BGPConfigurationSpec) -> Iterator[Problem]:
    """Check communities against their use."""
    if spec.communities and not spec.prefix_advertisements:
        reason = "are not used in prefixAdvertisements; use them there or remove them"
        yield from problem("spec.communities", len(spec.communities), reason)
    for index, entry in enumerate(spec.communities):
        yield from named(entry, f"spec.communities[{index}]")
    names = {entry.name for entry in spec.communities}
    for index, advertisement in enumerate(spec.prefix_advertisements):
        path = f"spec.prefixAdvertisements[{index}]"
        if not advertisement.cidr:
            yield from problem(f"{path}.cidr", "", "is required")
        if not advertisement.communities:
            yield from problem(f"{path}.communities", "", "is required")
        for number_, value in enumerate(advertisement.communities):
            if value not in names:
                yield from community(f"{path}.communities[{number_}]", value)


def named(entry: Community, path: str) -> Iterator[Problem]:
    """Check that a community has a name and a value."""
    for name in (name for name in ("name", "value") if not getattr(entry, name)):
        yield from problem(f"{path}.{name}", "", "is required")


def peer_address(path: str, value: object) -> Iterator[Problem]:
    """Allow an address, or one with a port: 192.0.2.7:179, [fd00::7]:179."""
    try:
        parse_peer_address(str(value))
    except ValueError:
        reason = "must be an address, perhaps with a port: 192.0.2.7:179 or [fd00::7]:179"
        yield from problem(path, value, reason)


def parse_peer_address(text: str) -> tuple[str, int | None]:
    """Return (address, port or None) of a peer. Raises ValueError."""
    found = PEER_ADDRESS.match(text)
    if found is None:
        return str(parse_address(text)), None
    port = int(found[3])
    if not 1 <= port <= 65535:
        raise ValueError(f"port {port} is out of range")
    return str(parse_address(found[1] or found[2])), port


PEER: Mapping[str, Check] = {
    "node": dns_name,
    "node_selector": selector,
    "peer_ip": all_of(at_most(64), peer_address),
    "as_number": AS_NUMBER,
    "local_as_number": AS_NUMBER,
    "peer_selector": selector,
    "next_hop_mode": one_of("Auto", "Self", "Keep"),
    "source_address": one_of("UseNodeIP", "None"),
    "ttl_security": number(0, 255),
    "reachable_by": address,
    "filters": each(dns_name),
    "local_workload_selector": selector,
    "reverse_peering": one_of("Auto", "Manual"),
}


def check_bgp_peer(peer: BGPPeer) -> Iterator[Problem]:
    """Yield all that is wrong with a peering."""
    yield from metadata(peer.metadata)
    spec = peer.spec
    yield from fields(spec, "spec", PEER)
    for one, other in EXCLUSIVE:
        if getattr(spec, one) and getattr(spec, other):
            reason = f"excludes {api_name(one)}; remove one of them"
            yield from problem(f"spec.{api_name(other)}", getattr(spec, other), reason)
    if spec.local_workload_selector and not spec.as_number:
        yield from problem("spec.asNumber", 0, "is required with localWorkloadSelector")
    if spec.reachable_by:
        yield from reachable(spec)


EXCLUSIVE = (
    ("node", "node_selector"),
    ("peer_ip", "peer_selector"),
    ("peer_selector", "as_number"),
    ("local_workload_selector", "peer_ip"),
    ("local_workload_selector", "peer_selector"),
    ("next_hop_mode", "keep_original_next_hop"),
)


def reachable(spec: BGPPeerSpec) -> Iterator[Problem]:
    """Check the gateway to a peer against the peer's address."""
    if not spec.peer_ip:
        yield from problem("spec.reachableBy", spec.reachable_by, "needs peerIP")
        return
    try:
        peer, _ = parse_peer_address(spec.peer_ip)
        gateway = str(parse_address(spec.reachable_by))
    except ValueError:
        return  # reported as what it is
    if ip_version(peer) != ip_version(gateway):
        reason = f"must be IPv{ip_version(peer)}, as peerIP is"
        yield from problem("spec.reachableBy", spec.reachable_by, reason)


FILTER_RULE: Mapping[str, Check] = {
    "source": one_of("RemotePeers"),
    "interface": text_like(r"[a-zA-Z0-9_.*-]{1,15}", "an interface name, * for any part of it"),
    "match_operator": one_of("Equal", "NotEqual", "In", "NotIn"),
    "peer_type": one_of("eBGP", "iBGP"),
    "as_path_prefix": each(AS_NUMBER),
    "priority": PRIORITY,
    "action": one_of("Accept", "Reject"),
    "operations": at_most(10),
}


def check_bgp_filter(bgp_filter: BGPFilter) -> Iterator[Problem]:
    """Yield all that is wrong with a filter."""
    yield from metadata(bgp_filter.metadata)
    spec = bgp_filter.spec
    for name, rules, version in (
        ("exportV4", spec.export_v4, 4),
        ("importV4", spec.import_v4, 4),
        ("exportV6", spec.export_v6, 6),
        ("importV6", spec.import_v6, 6),
    ):
        for index, rule in enumerate(rules):
            yield from filter_rule(rule, f"spec.{name}[{index}]", version)


def filter_rule(rule: BGPFilterRule, path: str, version: int) -> Iterator[Problem]:
    """Check one rule of a filter."""
    length = number(0, 32 if version == 4 else 128)
    checks = {
        **FILTER_RULE,
        "cidr": all_of(network, of_version(version)),
        "prefix_length": parts({"min": length, "max": length}),
    }
    yield from fields(rule, path, checks)
    if not rule.action:
        yield from problem(f"{path}.action", "", "is required: Accept or Reject")
    if bool(rule.cidr) != bool(rule.match_operator):
        reason = "cidr and matchOperator must both be set, or neither"
        yield from problem(f"{path}.matchOperator", rule.match_operator, reason)
    if rule.prefix_length is not None and not rule.cidr:
        yield from problem(f"{path}.prefixLength", "", "needs cidr")
    if rule.communities is not None:
        values = rule.communities.values or ()
        if len(values) != 1:
            reason = "must have exactly one community"
            yield from problem(f"{path}.communities.values", len(values), reason)
        yield from each(community)(f"{path}.communities.values", values)
    yield from operations(rule, f"{path}.operations")


def operations(rule: BGPFilterRule, path: str) -> Iterator[Problem]:
    """Check what a rule does to the routes it accepts."""
    if rule.operations and rule.action != "Accept":
        yield from problem(path, rule.action, "operations need action Accept")
    for index, operation in enumerate(rule.operations):
        yield from one_operation(operation, f"{path}[{index}]")


def one_operation(operation: BGPFilterOperation, path: str) -> Iterator[Problem]:
    """Check one change of a route."""
    add, prepend, priority = (
        operation.add_community,
        operation.prepend_as_path,
        operation.set_priority,
    )
    if sum(part is not None for part in (add, prepend, priority)) != 1:
        reason = "must be exactly one of addCommunity, prependASPath, setPriority"
        yield from problem(path, "", reason)
    if add is not None:
        yield from community(f"{path}.addCommunity.value", add.value or "")
    if prepend is not None and not 1 <= len(prepend.prefix or ()) <= 10:
        reason = "must have 1 to 10 AS numbers"
        yield from problem(f"{path}.prependASPath.prefix", len(prepend.prefix or ()), reason)
    if priority is not None:
        yield from PRIORITY(f"{path}.setPriority.value", priority.value)
