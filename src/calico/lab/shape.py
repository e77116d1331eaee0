"""The shape of a lab: segments, the machines on them, the pods on the nodes. Values only.

    topology.py reads it --> Topology --> fabric, nodes, pods build it

A station is any machine of the lab: a node of the cluster, a router between segments, or a host
outside the cluster that pods may talk to.
"""

from collections.abc import Mapping
from ipaddress import ip_interface
from typing import Any, Literal

from msgspec import Struct

from calico.core.analysis.matrix import Port

DEFAULT_MTU_BYTES = 1500
DEFAULT_PORTS = (Port("tcp", 80), Port("udp", 53))


class Segment(Struct, frozen=True):
    """One layer-2 network: a bridge of the fabric."""

    name: str
    subnets: tuple[str, ...]  # at most one IPv4 and one IPv6
    mtu_bytes: int = DEFAULT_MTU_BYTES


class Interface(Struct, frozen=True):
    """A station's cable to a segment. Addresses carry their segment's prefix length."""

    name: str
    segment: str
    addresses: tuple[str, ...]  # "172.30.1.11/24"

    @property
    def hosts(self) -> tuple[str, ...]:
        """The addresses without prefix lengths."""
        return tuple(str(ip_interface(address).ip) for address in self.addresses)


class Route(Struct, frozen=True):
    """A static route of a station."""

    destination: str
    gateway: str


class Station(Struct, frozen=True):
    """A machine of the lab. `routes` holds its default routes too."""

    name: str
    kind: Literal["node", "router", "host"]
    interfaces: tuple[Interface, ...]
    routes: tuple[Route, ...] = ()
    ports: tuple[Port, ...] = ()  # where a host outside answers

    @property
    def addresses(self) -> tuple[str, ...]:
        """Every address, in the order of its interfaces."""
        return tuple(host for interface in self.interfaces for host in interface.hosts)


class Namespace(Struct, frozen=True):
    """A Kubernetes namespace, as far as policy sees it."""

    name: str
    labels: Mapping[str, str] = {}


class Pod(Struct, frozen=True):
    """A pod that shall run; `ports` is where it answers, `wishes` the addresses it asks for."""

    namespace: str
    name: str
    node: str
    labels: Mapping[str, str] = {}
    ports: tuple[Port, ...] = DEFAULT_PORTS
    wishes: tuple[str, ...] = ()

    @property
    def full_name(self) -> str:
        """The name people use: "shop/web-1"."""
        return f"{self.namespace}/{self.name}"


class Topology(Struct, frozen=True):
    """Everything that `up` builds. `resources` are Calico resources to write, as they stand."""

    name: str
    segments: tuple[Segment, ...]
    stations: tuple[Station, ...]
    namespaces: tuple[Namespace, ...] = ()
    pods: tuple[Pod, ...] = ()
    resources: tuple[Mapping[str, Any], ...] = ()

    def of_kind(self, kind: str) -> tuple[Station, ...]:
        """List the nodes, the routers or the hosts."""
        return tuple(station for station in self.stations if station.kind == kind)

    @property
    def node_names(self) -> tuple[str, ...]:
        """The names of the nodes, in the order of the file."""
        return tuple(station.name for station in self.of_kind("node"))
