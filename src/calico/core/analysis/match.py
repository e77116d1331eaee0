"""Which criterion of a rule, if any, keeps it from matching a packet.

    Rule + Packet + IP sets --> mismatch: "" or the first criterion that does not hold

All criteria that are present must hold. Lists are alternatives; negated lists mean "none of".
A rule with CIDRs of the other IP version only is not in this version's table at all, so it
never matches, even when the list is a negated one.

Source: shared/spec policy-semantics 3.4.
"""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from calico.core.analysis.packet import ICMP, ICMPV6, SCTP, TCP, UDP, WITH_PORTS, Packet
from calico.core.intent.ip_sets import IpSet
from calico.core.intent.policies import IcmpMatch, PortSpan, Rule, Side

IpSets = Mapping[str, IpSet]
_PORT_SET_NAMES = {TCP: "tcp", UDP: "udp", SCTP: "sctp"}


def mismatch(rule: Rule, packet: Packet, ip_sets: IpSets) -> str:
    """Name the first criterion of `rule` that does not hold; "" when the rule matches."""
    return next(_failures(rule, packet, ip_sets), "")


def _failures(rule: Rule, packet: Packet, ip_sets: IpSets) -> Iterator[str]:
    if rule.ip_version not in {None, packet.ip_version}:
        yield "ipVersion"
    if rule.protocol not in {None, packet.protocol}:
        yield "protocol"
    if rule.not_protocol == packet.protocol:
        yield "notProtocol"
    if rule.icmp is not None and not _icmp(rule.icmp, packet):
        yield "icmp"
    if rule.not_icmp is not None and not (_is_icmp(packet) and not _icmp(rule.not_icmp, packet)):
        yield "notICMP"
    ends = (
        ("source", rule.source, packet.source, packet.source_port),
        ("destination", rule.destination, packet.destination, packet.destination_port),
    )
    for name, side, address, port in ends:
        for failure in _side_failures(side, _End(packet, address, port), ip_sets):
            yield f"{name}.{failure}"


class _End:
    """One end of a packet: its address, port, and how it is written in an address_port set."""

    def __init__(self, packet: Packet, address: str, port: int | None) -> None:
        self.version = packet.ip_version
        self.address = address
        self.port = port if packet.protocol in WITH_PORTS else None
        self.member = f"{address},{_PORT_SET_NAMES.get(packet.protocol, '')}:{port}"


def _side_failures(side: Side, end: _End, ip_sets: IpSets) -> Iterator[str]:
    if side.nets and not _in_nets(side.nets, end.address):
        yield "nets"
    if side.not_nets and (
        not _any_of_version(side.not_nets, end.version) or _in_nets(side.not_nets, end.address)
    ):
        yield "notNets"
    if not all(contains(ip_sets[name], end.address) for name in side.ip_sets):
        yield "selector"
    if any(contains(ip_sets[name], end.address) for name in side.not_ip_sets):
        yield "notSelector"
    if not all(end.member in ip_sets[name].members for name in side.ip_port_sets):
        yield "services"
    if (side.ports or side.named_ports) and not _has_port(
        side.ports, side.named_ports, end, ip_sets
    ):
        yield "ports"
    if _has_port(side.not_ports, side.not_named_ports, end, ip_sets) or (
        side.not_ports and end.port is None  # "not port 80" is still a question about ports
    ):
        yield "notPorts"


def _has_port(
    spans: tuple[PortSpan, ...], named: tuple[str, ...], end: _End, ip_sets: IpSets
) -> bool:
    in_span = end.port is not None and any(first <= end.port <= last for first, last in spans)
    return in_span or any(end.member in ip_sets[name].members for name in named)


def _is_icmp(packet: Packet) -> bool:
    return packet.protocol == (ICMP if packet.ip_version == 4 else ICMPV6)


def _icmp(match: IcmpMatch, packet: Packet) -> bool:
    same_type = _is_icmp(packet) and packet.icmp_type == match.type
    return same_type and match.code in {None, packet.icmp_code}


def contains(ip_set: IpSet, address: str) -> bool:
    """Tell whether the address is a member, or lies within a member of kind net."""
    if ip_set.kind == "net":
        return _in_nets(tuple(ip_set.members), address)
    return address in ip_set.members


@lru_cache(maxsize=100_000)
def _network(text: str) -> IPv4Network | IPv6Network:
    return ip_network(text, strict=False)


def _in_nets(nets: tuple[str, ...], address: str) -> bool:
    return any(ip_address(address) in _network(net) for net in nets)


def _any_of_version(nets: tuple[str, ...], version: int) -> bool:
    return any(_network(net).version == version for net in nets)
