"""A topology file, checked as a whole: what cannot be built is refused before anything is.

    Field --> segments --> stations on them --> namespaces, pods on nodes --> Topology

Names, addresses and subnets are claimed as they are read, so a second claim can name the first.
Default routes are worked out here: a node or host leaves by the first router on its segment.
"""

from collections.abc import Iterator, Mapping, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from re import fullmatch
from typing import TypeAlias

from msgspec.structs import replace

from calico.core.analysis.matrix import Port
from calico.lab.shape import (
    DEFAULT_MTU_BYTES,
    DEFAULT_PORTS,
    Interface,
    Namespace,
    Pod,
    Route,
    Segment,
    Station,
    Topology,
)
from calico.lab.topology import Field, LabError

Network: TypeAlias = IPv4Network | IPv6Network
NAME = "[a-z0-9]([a-z0-9-]*[a-z0-9])?"
RESERVED = ("etcd", "fabric")
_EVERYTHING = {4: "0.0.0.0/0", 6: "::/0"}


class Claims:
    """Who has which name, address or subnet, and where that was written."""

    def __init__(self) -> None:
        self._taken: dict[tuple[str, str], Field] = {}

    def claim(self, what: str, value: str, field: Field) -> None:
        """Take it. Raises LabError if somebody has it already."""
        before = self._taken.setdefault((what, value), field)
        if before is not field:
            problem = f"{what} {value} is taken by {before.place}"
            raise field.error(problem, f"write another {what}")


def parse_topology(document: Field, default_name: str) -> Topology:
    """Read a whole topology. Raises LabError."""
    top = document.mapping("segments nodes", "name routers hosts namespaces pods ports resources")
    claims = Claims()
    segments = _segments(top["segments"], claims)
    reader = _Stations(segments, claims)
    routers = [reader.station(f, "router") for f in _list(top, "routers")]
    nodes = [reader.station(f, "node") for f in top["nodes"].items()]
    hosts = [reader.station(f, "host") for f in _list(top, "hosts")]
    if not nodes:
        raise top["nodes"].error("a lab needs a node", "write one: - name: node-1")
    stations = (*routers, *(with_defaults(s, routers) for s in (*nodes, *hosts)))
    ports = parse_ports(top["ports"]) if "ports" in top else DEFAULT_PORTS
    pods = [_pod(f, [n.name for n in nodes], ports, claims) for f in _list(top, "pods")]
    namespaces = [_namespace(f, claims) for f in _list(top, "namespaces")]
    return Topology(
        name=_name(top["name"]) if "name" in top else default_name,
        segments=tuple(segments),
        stations=stations,
        namespaces=tuple(_with_implied(namespaces, pods)),
        pods=tuple(pods),
        resources=tuple(_resource(f) for f in _list(top, "resources")),
    )


def _list(top: Mapping[str, Field], key: str) -> list[Field]:
    return top[key].items() if key in top else []


def _name(field: Field) -> str:
    try:
        return check_name(field.text())
    except LabError as error:
        raise LabError(f"{field.place}: {error}") from error


def check_name(text: str) -> str:
    """Accept a name that anything may have. Raises LabError."""
    if not fullmatch(NAME, text) or len(text) > 63:
        raise LabError(
            f"{text!r} is no name: use lower-case letters, digits and dashes, at most 63"
        )
    return text


def _segments(field: Field, claims: Claims) -> list[Segment]:
    segments: list[Segment] = []
    subnets: list[tuple[Network, Field]] = []
    for entry in field.items():
        found = entry.mapping("name subnets", "mtu")
        name = _name(found["name"])
        claims.claim("segment name", name, found["name"])
        if len(name) > 15:
            raise found["name"].error(f"{name!r} is too long", "a bridge has at most 15 letters")
        own = [(_subnet(item), item) for item in found["subnets"].items()]
        for subnet, item in own:
            _refuse_overlap(subnet, item, subnets)
            subnets.append((subnet, item))
        versions = [subnet.version for subnet, _ in own]
        if not versions or len(versions) != len(set(versions)):
            fix = "write one IPv4 subnet, one IPv6 subnet, or one of each"
            raise found["subnets"].error(f"{len(versions)} subnets", fix)
        mtu = found["mtu"].number(1280, 65535) if "mtu" in found else DEFAULT_MTU_BYTES
        segments.append(Segment(name, tuple(str(subnet) for subnet, _ in own), mtu))
    return segments


def _subnet(field: Field) -> Network:
    try:
        return ip_network(field.text())
    except ValueError as error:
        fix = "write the network's own address, such as 172.30.1.0/24"
        raise field.error(f"{field.text()!r} is no subnet ({error})", fix) from error


def _refuse_overlap(subnet: Network, field: Field, others: Sequence[tuple[Network, Field]]) -> None:
    for other, place in others:
        if subnet.version == other.version and subnet.overlaps(other):
            raise field.error(
                f"{subnet} overlaps {other} of {place.place}", "write a subnet of its own"
            )


class _Stations:
    """Reads stations; knows the segments they are plugged into."""

    def __init__(self, segments: Sequence[Segment], claims: Claims) -> None:
        self._segments = {segment.name: segment for segment in segments}
        self._claims = claims

    def station(self, field: Field, kind: str) -> Station:
        optional = {"node": "", "router": "routes", "host": "routes ports"}[kind]
        found = field.mapping("name interfaces", optional)
        name = _name(found["name"])
        if name in RESERVED:
            raise found["name"].error(f"{name!r} is a machine of the lab's own", "write another")
        self._claims.claim("machine name", name, found["name"])
        interfaces = tuple(
            self._interface(item, index) for index, item in enumerate(found["interfaces"].items())
        )
        if not interfaces:
            raise found["interfaces"].error("no interface", "write {segment: ..., addresses: [..]}")
        routes = tuple(_route(item) for item in _list(found, "routes"))
        ports = parse_ports(found["ports"]) if "ports" in found else DEFAULT_PORTS
        return Station(
            name=name,
            kind="node" if kind == "node" else "router" if kind == "router" else "host",
            interfaces=interfaces,
            routes=routes,
            ports=ports if kind == "host" else (),
        )

    def _interface(self, field: Field, index: int) -> Interface:
        found = field.mapping("segment addresses", "name")
        segment = self._segments.get(found["segment"].text())
        if segment is None:
            known = ", ".join(self._segments) or "none"
            raise found["segment"].error(
                f"no segment is called {found['segment'].text()!r}", f"there are: {known}"
            )
        name = found["name"].text() if "name" in found else f"eth{index}"
        if not fullmatch("[a-z][a-z0-9.-]{0,14}", name):
            raise found["name"].error(f"{name!r} is no interface name", "write one such as eth0")
        addresses = [self._address(item, segment) for item in found["addresses"].items()]
        return Interface(name, segment.name, tuple(addresses))

    def _address(self, field: Field, segment: Segment) -> str:
        text = field.text()
        try:
            address = ip_address(text)
        except ValueError as error:
            raise field.error(f"{text!r} is no address", "write one without /length") from error
        self._claims.claim("address", str(address), field)
        for subnet in map(ip_network, segment.subnets):
            if address in subnet:
                return f"{address}/{subnet.prefixlen}"
        inside = " or ".join(segment.subnets)
        raise field.error(f"{address} is not on segment {segment.name}", f"write one in {inside}")


def _route(field: Field) -> Route:
    found = field.mapping("to via")
    destination = _subnet(found["to"])
    try:
        gateway = ip_address(found["via"].text())
    except ValueError as error:
        raise found["via"].error("no address", "write the next router's address") from error
    if gateway.version != destination.version:
        raise found["via"].error(f"{gateway} is of the other IP version", "use the same in both")
    return Route(str(destination), str(gateway))


def with_defaults(station: Station, routers: Sequence[Station]) -> Station:
    """Give a node or host its default routes: by the first router on one of its segments."""
    present = {route.destination for route in station.routes}
    defaults = [
        Route(_EVERYTHING[version], gateway)
        for version in (4, 6)
        if (gateway := _gateway(station, routers, version)) and _EVERYTHING[version] not in present
    ]
    return replace(station, routes=(*station.routes, *defaults))


def _gateway(station: Station, routers: Sequence[Station], version: int) -> str | None:
    return next(iter(_gateways(station, routers, version)), None)


def _gateways(station: Station, routers: Sequence[Station], version: int) -> Iterator[str]:
    segments = [interface.segment for interface in station.interfaces]
    has = {ip_address(address).version for address in station.addresses}
    for router in routers:
        for interface in router.interfaces:
            if interface.segment in segments and version in has:
                yield from (a for a in interface.hosts if ip_address(a).version == version)


def parse_ports(field: Field) -> tuple[Port, ...]:
    """Read ["tcp/80", "udp/53"]. Raises LabError."""
    return tuple(dict.fromkeys(parse_port(item.text(), item) for item in field.items()))


def parse_port(text: str, field: Field | None = None) -> Port:
    """Read "tcp/80". Raises LabError."""
    match = fullmatch("(tcp|udp)/([0-9]{1,5})", text)
    number = int(match[2]) if match else 0
    if not match or not 1 <= number <= 65535:
        problem, fix = f"{text!r} is no port", "write one such as tcp/80 or udp/53"
        raise field.error(problem, fix) if field else LabError(f"{problem}: {fix}")
    return Port("tcp" if match[1] == "tcp" else "udp", number)


def _labels(field: Field) -> dict[str, str]:
    return {key: value.text() for key, value in field.entries().items()}


def _namespace(field: Field, claims: Claims) -> Namespace:
    found = field.mapping("name", "labels")
    name = _name(found["name"])
    claims.claim("namespace", name, found["name"])
    return Namespace(name, _labels(found["labels"]) if "labels" in found else {})


def split_pod_name(text: str) -> tuple[str, str] | None:
    """Take "shop/web-1" apart; None if it is no such name."""
    parts = text.split("/")
    good = len(parts) == 2 and all(fullmatch(NAME, part) and len(part) <= 63 for part in parts)
    return (parts[0], parts[1]) if good else None


def _pod(field: Field, nodes: Sequence[str], ports: tuple[Port, ...], claims: Claims) -> Pod:
    found = field.mapping("pod node", "labels ports")
    names = split_pod_name(found["pod"].text())
    if names is None:
        raise found["pod"].error(f"{found['pod'].text()!r} is no pod", "write <namespace>/<name>")
    claims.claim("pod", found["pod"].text(), found["pod"])
    node = found["node"].text()
    if node not in nodes:
        raise found["node"].error(f"no node is called {node!r}", f"there are: {', '.join(nodes)}")
    return Pod(
        *names,
        node=node,
        labels=_labels(found["labels"]) if "labels" in found else {},
        ports=parse_ports(found["ports"]) if "ports" in found else ports,
    )


def _with_implied(namespaces: Sequence[Namespace], pods: Sequence[Pod]) -> list[Namespace]:
    known = {namespace.name for namespace in namespaces}
    implied = dict.fromkeys(pod.namespace for pod in pods if pod.namespace not in known)
    return [*namespaces, *map(Namespace, implied)]


def _resource(field: Field) -> dict[str, object]:
    field.mapping("apiVersion kind metadata", "spec")
    content: dict[str, object] = field.content()
    return content
