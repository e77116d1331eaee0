"""The ways between nodes as the kernel should hold them: routes, tunnel devices, their neighbours.

    cluster routes ------+
    own and remote ends -+--> Cluster --> routes      by RouteKey, to tunnels, to the parent link
    links, addresses ----+            --> devices     vxlan.calico, vxlan-v6.calico, tunl0
                                      --> neighbours  tunnel address -> MAC (IPv4, IPv6)
                                      --> forwarding  MAC -> the node behind it

`cluster` is the definition; `Cluster` maintains it: one route costs one route, a change of links or
of an own end costs all of them, and such changes are rare.

A plain route, and a tunnel, need the link that has the node's own address; until it is known
they are not there.

Source: felix spec 6.8, 6.9; felix/dataplane/linux/{route_mgr,vxlan_mgr,ipip_mgr}.go.
"""

from collections.abc import Mapping
from typing import TypeVar

from msgspec import Struct

from calico.core.intent.delta import IntentDelta
from calico.core.intent.devices import Device
from calico.core.intent.interfaces import NeighbourKey, Setting, Settings
from calico.core.intent.keys import RouteKey
from calico.core.intent.routes import ROUTE_PROTOCOL_BOOT, ROUTE_PROTOCOL_CALICO, Route
from calico.core.intent.tunnels import (
    DEVICES,
    ClusterRoute,
    RemoteEnd,
    RemoteKey,
    TunnelEnd,
    TunnelKind,
)
from calico.core.render.tables import put
from calico.core.render.underlay import Underlay

Key = TypeVar("Key")
Value = TypeVar("Value")

IPV6_METRIC = 1  # the best: IPv6 has no 0. BIRD's routes are worse, and can stand beside ours
OVERHEAD_BYTES: dict[TunnelKind, int] = {"ipip": 20, "vxlan4": 50, "vxlan6": 70}


class ClusterSettings(Struct, frozen=True):
    """What of Felix's configuration this depends on; the defaults are Felix's. MTU 0: detect."""

    device_protocol: int = ROUTE_PROTOCOL_BOOT
    vxlan_vni: int = 4096
    vxlan_port: int = 4789
    vxlan_mtu: int = 0
    vxlan_mtu_v6: int = 0
    ipip_mtu: int = 0
    ipv4_source: str = ""
    ipv6_source: str = ""
    rp_filter: str = "1"  # the node's default


def cluster_protocol(device_protocol: int) -> int:
    """Return what routes carry that point at nobody's own device."""
    return ROUTE_PROTOCOL_CALICO if device_protocol == ROUTE_PROTOCOL_BOOT else device_protocol


class Wires(Struct, frozen=True):
    """What the node's own network looks like: parents by IP version ("": unknown), and the MTU."""

    parents: Mapping[int, str] = {}
    mtu_bytes: int = 1500


class ClusterIntent(Struct, frozen=True):
    """All of it at one moment."""

    routes: Mapping[RouteKey, Route] = {}
    devices: Mapping[str, Device] = {}
    neighbours: Mapping[NeighbourKey, str] = {}
    forwarding: Mapping[NeighbourKey, str] = {}


class ClusterDelta(Struct, frozen=True):
    """What changed; None means "no longer"."""

    routes: Mapping[RouteKey, Route | None] = {}
    devices: Mapping[str, Device | None] = {}
    neighbours: Mapping[NeighbourKey, str | None] = {}
    forwarding: Mapping[NeighbourKey, str | None] = {}


class Ways(Struct, frozen=True):
    """The intent that this module reads, by the names of the delta."""

    cluster_routes: Mapping[str, ClusterRoute] = {}
    tunnels: Mapping[TunnelKind, TunnelEnd] = {}
    remote_ends: Mapping[RemoteKey, RemoteEnd] = {}


def cluster(ways: Ways, wires: Wires, settings: ClusterSettings) -> ClusterIntent:
    """Define all of it."""
    routes = (
        cluster_route(destination, way, wires, settings)
        for destination, way in ways.cluster_routes.items()
    )
    return ClusterIntent(
        {route.key: route for route in routes if route is not None},
        devices(ways.tunnels, wires, settings),
        neighbours(ways.remote_ends),
        forwarding(ways.remote_ends),
    )


def tunnel_mtu(kind: TunnelKind, wires: Wires, settings: ClusterSettings) -> int:
    """Return the MTU of a tunnel: as told, or what the node's links leave."""
    told: dict[TunnelKind, int] = {
        "ipip": settings.ipip_mtu,
        "vxlan4": settings.vxlan_mtu,
        "vxlan6": settings.vxlan_mtu_v6,
    }
    return told[kind] or wires.mtu_bytes - OVERHEAD_BYTES[kind]


def cluster_route(
    destination: str, way: ClusterRoute, wires: Wires, settings: ClusterSettings
) -> Route | None:
    """Give a route as the kernel would tell it; None while it cannot be."""
    is_ipv6 = ":" in destination
    metric, protocol = IPV6_METRIC if is_ipv6 else 0, cluster_protocol(settings.device_protocol)
    if way.way == "blackhole":
        return Route(destination, kind="blackhole", protocol=protocol, metric=metric)
    source = settings.ipv6_source if is_ipv6 else settings.ipv4_source
    if way.way == "plain":
        parent = wires.parents.get(6 if is_ipv6 else 4, "")
        if not parent:
            return None
        return Route(
            destination,
            parent,
            way.gateway,
            protocol=protocol,
            metric=metric,
            source=source,
            onlink=True,
        )
    kind: TunnelKind = "ipip" if way.way == "ipip" else "vxlan6" if is_ipv6 else "vxlan4"
    return Route(
        destination,
        DEVICES[kind],
        way.gateway,
        scope="universe" if way.gateway or is_ipv6 else "link",
        protocol=protocol if kind == "ipip" else settings.device_protocol,
        metric=metric,
        source=source,
        mtu_bytes=tunnel_mtu(kind, wires, settings),
        onlink=bool(way.gateway),
    )


def devices(
    tunnels: Mapping[TunnelKind, TunnelEnd], wires: Wires, settings: ClusterSettings
) -> dict[str, Device]:
    """Give the devices that can be: a VXLAN needs its parent."""
    found = {}
    for kind, end in tunnels.items():
        version = 6 if kind == "vxlan6" else 4
        address = f"{end.address}/{128 if version == 6 else 32}" if end.address else ""
        mtu = tunnel_mtu(kind, wires, settings)
        parent = wires.parents.get(version, "")
        if kind == "ipip":
            found[DEVICES[kind]] = Device("ipip", mtu, address)
        elif parent:
            found[DEVICES[kind]] = Device(
                "vxlan",
                mtu,
                address,
                local=end.host,
                parent=parent,
                mac=end.mac,
                vni=settings.vxlan_vni,
                port=settings.vxlan_port,
            )
    return found


def neighbours(ends: Mapping[RemoteKey, RemoteEnd]) -> dict[NeighbourKey, str]:
    """Give the MAC of each remote tunnel address."""
    return {
        NeighbourKey(DEVICES[key.kind], end.address): end.mac for key, end in sorted(ends.items())
    }


def forwarding(ends: Mapping[RemoteKey, RemoteEnd]) -> dict[NeighbourKey, str]:
    """Give the node behind each remote MAC."""
    return {NeighbourKey(DEVICES[key.kind], end.mac): end.host for key, end in sorted(ends.items())}


class Cluster:
    """The definition, maintained. The agent's loop is its only caller."""

    def __init__(self, settings: ClusterSettings, underlay: Underlay) -> None:
        self._settings = settings
        self._underlay = underlay
        self._wires = Wires()
        self._routes: dict[str, ClusterRoute] = {}
        self._tunnels: dict[TunnelKind, TunnelEnd] = {}
        self._ends: dict[RemoteKey, RemoteEnd] = {}
        self._hosts: dict[int, str] = {}  # the node's own addresses, by IP version
        self._due_routes: set[str] = set()
        self._is_due = True  # everything but single routes
        self._written: dict[str, Route] = {}  # by destination, as reported
        self._reported = ClusterIntent()

    def feed(self, delta: IntentDelta) -> None:
        """Accept changed intent."""
        for destination, way in delta.cluster_routes.items():
            put(self._routes, destination, way)
            self._due_routes.add(destination)
        for kind, end in delta.tunnels.items():
            put(self._tunnels, kind, end)
        for key, remote in delta.remote_ends.items():
            put(self._ends, key, remote)
        for version, host in delta.own_hosts.items():
            put(self._hosts, version, host)
        self._is_due |= bool(delta.tunnels or delta.remote_ends or delta.own_hosts)

    def note_wires(self) -> None:
        """Learn that the node's links or addresses have changed."""
        self._is_due |= self._look() != self._wires

    def has(self, key: RouteKey) -> bool:
        """Say whether a route is one of these."""
        return key.destination in self._written

    @property
    def pod_mtu_bytes(self) -> int:
        """The MTU of workloads' interfaces: the smallest of the tunnels, else the node's."""
        mtus = [tunnel_mtu(kind, self._wires, self._settings) for kind in self._tunnels]
        return min(mtus, default=self._wires.mtu_bytes)

    def device_settings(self, name: str) -> Settings:
        """Give what /proc/sys should say of a tunnel device.

        While a pool changes its mode a node may send by the tunnel what we would answer without.
        """
        if self._settings.rp_filter != "1":
            return ()
        return (Setting(f"net/ipv4/conf/{name}/rp_filter", "2", is_required=False),)

    def flush(self) -> ClusterDelta:
        """Return what changed since the last flush."""
        old, new = self._reported, self._reported
        if self._is_due:
            self._look_at_wires()
            new = self._reported = ClusterIntent(
                devices=devices(self._tunnels, self._wires, self._settings),
                neighbours=neighbours(self._ends),
                forwarding=forwarding(self._ends),
            )
            self._is_due = False
        return ClusterDelta(
            self._changed_routes(),
            difference(old.devices, new.devices),
            difference(old.neighbours, new.neighbours),
            difference(old.forwarding, new.forwarding),
        )

    def _look_at_wires(self) -> None:
        wires = self._look()
        if wires != self._wires:
            self._wires = wires
            self._due_routes.update(self._routes)

    def _look(self) -> Wires:
        parents = {version: self._underlay.parent_of(host) for version, host in self._hosts.items()}
        return Wires(parents, self._underlay.mtu_bytes)

    def _changed_routes(self) -> dict[RouteKey, Route | None]:
        delta: dict[RouteKey, Route | None] = {}
        for destination in sorted(self._due_routes):
            way, old = self._routes.get(destination), self._written.pop(destination, None)
            new = None
            if way is not None:
                new = cluster_route(destination, way, self._wires, self._settings)
            if new is not None:
                self._written[destination] = new
            if new != old:
                delta[RouteKey(destination, IPV6_METRIC if ":" in destination else 0)] = new
        self._due_routes.clear()
        return delta


def difference(old: Mapping[Key, Value], new: Mapping[Key, Value]) -> dict[Key, Value | None]:
    """Say how to get from one to the other."""
    if old is new:
        return {}
    delta: dict[Key, Value | None] = {key: None for key in old if key not in new}
    delta.update({key: value for key, value in new.items() if old.get(key) != value})
    return delta
