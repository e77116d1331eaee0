"""What endpoints and network sets contribute to IP sets: labels, addresses, named ports.

    WorkloadEndpoint   its addresses                         the ports it names
    HostEndpoint       its expectedIPs, nothing else         the ports it names
    (Global)NetworkSet its CIDRs, /0 as its two halves       none

A member is a host ("10.0.0.1") or a CIDR ("10.0.0.0/8"), in canonical text. What cannot be read
contributes nothing.

Source: policy-semantics 3.2; felix/labelindex/named_port_index.go.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, TypeVar

from calico.core.calc.labels import (
    Labelled,
    host_endpoint_labels,
    network_set_labels,
    workload_endpoint_labels,
)
from calico.core.calc.protocols import protocol_number
from calico.core.calc.settings import CalcSettings
from calico.core.model.endpoint import EndpointPort, HostEndpoint, WorkloadEndpoint
from calico.core.model.endpoint import WorkloadEndpointPort as WorkloadPort
from calico.core.model.metadata import Resource
from calico.core.model.network_set import GlobalNetworkSet, NetworkSet
from calico.core.net.prefix import (
    LONGEST,
    Prefix,
    address_part,
    canonical_address,
    parse_prefix,
    render_prefix,
)

Read = TypeVar("Read")

OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
IPV4 = re.compile(rf"{OCTET}\.{OCTET}\.{OCTET}\.{OCTET}")


class NamedPort(NamedTuple):
    """A port that rules may ask for by name."""

    name: str
    protocol: int
    port: int


class Contributor(NamedTuple):
    """Who may be a member of IP sets, and with what; no member comes twice."""

    labels: Labelled
    members: tuple[str, ...]
    ports: tuple[NamedPort, ...] = ()


def is_usable(endpoint: WorkloadEndpoint, settings: CalcSettings) -> bool:
    """Tell whether a workload endpoint counts; one that does not is as if it were missing."""
    spec = endpoint.spec
    spoofs = bool(spec.allow_spoofed_source_prefixes)
    may_spoof = settings.allow_source_spoofing or not spoofs
    return bool(spec.interface_name and spec.ip_networks) and may_spoof


def contributor_of(record: Resource, settings: CalcSettings) -> Contributor | None:
    """Return what a resource contributes; None if it is not one that does."""
    match record:
        case WorkloadEndpoint():
            return workload_contributor(record) if is_usable(record, settings) else None
        case HostEndpoint():
            return host_contributor(record)
        case NetworkSet() | GlobalNetworkSet():
            return network_set_contributor(record)
        case _:
            return None


def workload_contributor(endpoint: WorkloadEndpoint) -> Contributor:
    """Return what a usable workload endpoint contributes."""
    return Contributor(
        workload_endpoint_labels(endpoint),
        readable(host_member, endpoint.spec.ip_networks),
        named_ports(endpoint.spec.ports),
    )


def host_contributor(endpoint: HostEndpoint) -> Contributor:
    """Return what a host endpoint contributes."""
    return Contributor(
        host_endpoint_labels(endpoint),
        readable(host_member, endpoint.spec.expected_ips),
        named_ports(endpoint.spec.ports),
    )


def network_set_contributor(network_set: NetworkSet | GlobalNetworkSet) -> Contributor:
    """Return what a network set contributes."""
    halves = (half for net in network_set.spec.nets for half in halved(net))
    return Contributor(network_set_labels(network_set), tuple(dict.fromkeys(halves)))


def named_ports(ports: Iterable[WorkloadPort | EndpointPort]) -> tuple[NamedPort, ...]:
    """Return the ports that have a name and a protocol that we know."""
    return tuple(
        NamedPort(port.name, number, port.port)
        for port in ports
        if port.name and (number := protocol_number(port.protocol)) is not None
    )


def host_member(text: str) -> str:
    """Return the address of "10.0.0.1/32" or "10.0.0.1". Raises ValueError."""
    address = address_part(text)
    # IPv4 text has one valid form, and most members are IPv4: the general parser costs 5 times more
    return address if IPV4.fullmatch(address) else canonical_address(address)


def halved(net: str) -> Iterator[str]:
    """Return a net as members: /0 as two halves (the kernel refuses /0), /32 as an address."""
    for prefix in readable(parse_prefix, (net,)):
        longest = LONGEST[prefix.version]
        if prefix.length == longest:
            yield address_part(render_prefix(prefix))
        elif prefix.length:
            yield render_prefix(prefix)
        else:
            yield render_prefix(Prefix(prefix.version, 0, 1))
            yield render_prefix(Prefix(prefix.version, 1 << (longest - 1), 1))


def readable(parse: Callable[[str], Read], texts: Iterable[str]) -> tuple[Read, ...]:
    """Parse what can be parsed, once each."""
    found: dict[Read, None] = {}
    for text in texts:
        try:
            found[parse(text)] = None
        except ValueError:
            continue
    return tuple(found)
