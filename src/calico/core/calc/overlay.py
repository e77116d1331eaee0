"""The ways between nodes, all of them: what is known of places, and what comes of it.

    nodes, pools, blocks, local addresses --> Overlay --> routes                      (routes.py)
                                                     `--> own and remote ends, hosts (tunnels.py)

`overlay` is the definition. A record that changes without moving anything costs a comparison.
"""

from collections.abc import Iterable, Mapping
from typing import Literal

from msgspec import Struct

from calico.core.calc.places import BlockPlace, NodePlace
from calico.core.calc.routes import ClusterRoutes, cluster_routes, neighbourhood
from calico.core.calc.settings import CalcSettings
from calico.core.calc.tunnels import EndsDelta, TunnelEnds, tunnel_ends
from calico.core.intent.nat import Pool
from calico.core.intent.tunnels import ClusterRoute, RemoteEnd, RemoteKey, TunnelEnd, TunnelKind


class OverlayIntent(Struct, frozen=True):
    """All of it at one moment."""

    cluster_routes: Mapping[str, ClusterRoute] = {}
    tunnels: Mapping[TunnelKind, TunnelEnd] = {}
    remote_ends: Mapping[RemoteKey, RemoteEnd] = {}
    hosts: Mapping[str, Literal[True]] = {}
    own_hosts: Mapping[int, str] = {}


class Places(Struct, frozen=True):
    """What is known: nodes by name, blocks and pools by CIDR, addresses of workloads here."""

    nodes: Mapping[str, NodePlace] = {}
    blocks: Mapping[str, BlockPlace] = {}
    pools: Mapping[str, Pool] = {}
    local: Iterable[str] = ()


def overlay(own_name: str, places: Places, settings: CalcSettings) -> OverlayIntent:
    """Define the ways between nodes."""
    around = neighbourhood(own_name, places.nodes, places.pools, settings)
    ends = tunnel_ends(own_name, places.nodes, around.tunnels)
    routes = cluster_routes(places.blocks, around, places.local)
    return OverlayIntent(routes, ends.own, ends.remote, ends.hosts, ends.own_hosts)


class OverlayDelta(Struct, frozen=True):
    """What changed; None means "no longer"."""

    cluster_routes: Mapping[str, ClusterRoute | None] = {}
    ends: EndsDelta = EndsDelta()


class Overlay:
    """The definition, maintained. In every setter, None means "it no longer exists"."""

    def __init__(self, own_name: str, settings: CalcSettings) -> None:
        self._own_name = own_name
        self._settings = settings
        self._nodes: dict[str, NodePlace] = {}
        self._pools: dict[str, Pool] = {}
        self._moved: set[str] = set()  # nodes
        self._pools_changed = True
        self._ends = TunnelEnds()
        self._routes = ClusterRoutes(own_name)
        self.set_block = self._routes.set_block
        self.set_local = self._routes.set_local

    def set_node(self, name: str, place: NodePlace | None) -> None:
        """Learn where a node is."""
        if self._nodes.get(name) == place:
            return
        self._moved.add(name)
        self._nodes.pop(name, None)
        if place is not None:
            self._nodes[name] = place

    def set_pools(self, delta: Mapping[str, Pool | None]) -> None:
        """Learn of pools, by CIDR."""
        for cidr, pool in delta.items():
            self._pools_changed = True
            self._pools.pop(cidr, None)
            if pool is not None:
                self._pools[cidr] = pool

    def flush(self) -> OverlayDelta:
        """Return what changed since the last flush."""
        ends = EndsDelta()
        if self._moved or self._pools_changed:
            around = neighbourhood(self._own_name, self._nodes, self._pools, self._settings)
            moved = None if self._pools_changed else self._moved
            self._routes.set_neighbourhood(around, moved)
            ends = self._ends.flush(self._own_name, self._nodes, around.tunnels)
            self._moved, self._pools_changed = set(), False
        return OverlayDelta(self._routes.flush(), ends)
