"""How the blocks of addresses are reached: this node's part of the cluster's routing.

    blocks: whose is each ---+
    nodes: where is each ----+--> ClusterRoutes --> {destination: way, or None once gone}
    pools: which way --------+
    addresses of workloads here: reached by routes of their own

A block of another node is a route to that node; an address that a node borrows from a block is a
route of its own. A block of this node is a blackhole, so that what is sent to an address that no
workload has goes nowhere. Blocks of pools that BIRD looks after are not here.

A route enters a tunnel only towards a node that has published its end. Until then it stays plain
where the node's own subnet carries it: so a pool can be given a tunnel, or another one, while
packets flow.

Invariant: the output depends on the current inputs alone, never on their history or order.
Source: felix spec 6.8; felix/calc/l3_route_resolver.go, felix/dataplane/linux/route_mgr.go.
"""

from collections import Counter
from collections.abc import Iterable, Mapping

from msgspec import Struct

from calico.core.calc.encapsulation import encapsulation
from calico.core.calc.places import BlockPlace, NodeEnd, NodePlace
from calico.core.calc.settings import CalcSettings
from calico.core.intent.nat import Mode, Pool
from calico.core.intent.tunnels import ClusterRoute, TunnelKind
from calico.core.net.lpm import PrefixTable
from calico.core.net.prefix import address_part, contains, ip_version, is_ipv6

BLACKHOLE = ClusterRoute("blackhole")


class Neighbourhood(Struct, frozen=True):
    """All that the way to a block depends on, besides the block."""

    own_name: str
    nodes: Mapping[str, NodePlace]
    pools: PrefixTable[Pool]
    tunnels: frozenset[TunnelKind]
    owns_plain: bool


def neighbourhood(
    own_name: str, nodes: Mapping[str, NodePlace], pools: Mapping[str, Pool], settings: CalcSettings
) -> Neighbourhood:
    """Put it together; `pools` is by CIDR."""
    table: PrefixTable[Pool] = PrefixTable()
    for cidr, pool in pools.items():
        table.set(cidr, pool)
    tunnels = encapsulation(pools.values(), settings)
    return Neighbourhood(own_name, nodes, table, tunnels, settings.owns_plain)


def cluster_routes(
    blocks: Mapping[str, BlockPlace], around: Neighbourhood, local: Iterable[str]
) -> dict[str, ClusterRoute]:
    """Define the routes. Of blocks that overlap, the smaller one says where an address is."""
    routes: dict[str, ClusterRoute] = {}
    for cidr in sorted(blocks, key=specificity):
        routes |= block_routes(cidr, blocks[cidr], around)
    here = set(local)
    return {to: route for to, route in routes.items() if not is_workload(to, here)}


def specificity(cidr: str) -> tuple[int, str]:
    """Order blocks: the longer its prefix, the more a block knows of its addresses."""
    return int(cidr.rpartition("/")[2]), cidr


def is_workload(destination: str, local: Iterable[str]) -> bool:
    """Tell whether a destination is the address of a workload of this node."""
    return is_single(destination) and address_part(destination) in local


def is_single(destination: str) -> bool:
    """Tell whether a destination is one address."""
    return destination.endswith("/128" if is_ipv6(destination) else "/32")


def block_routes(cidr: str, block: BlockPlace, around: Neighbourhood) -> dict[str, ClusterRoute]:
    """Define what one block comes to."""
    found = around.pools.longest(cidr)
    if found is None:
        return {}
    length = 128 if is_ipv6(cidr) else 32
    places = [(cidr, block.node), *((f"{one}/{length}", node) for one, node in block.borrowed)]
    routes: dict[str, ClusterRoute] = {}
    for destination, node in places:
        routes.pop(destination, None)
        if route := _route(destination, node, found[1], around):
            routes[destination] = route
            if route.way == "vxlan" and is_ipv6(route.gateway):
                # IPv6's kernel refuses a gateway that a route leads to by another device
                routes[f"{route.gateway}/128"] = ClusterRoute("vxlan")
    return routes


def _route(destination: str, node: str, pool: Pool, around: Neighbourhood) -> ClusterRoute | None:
    kind, mode = _asked(pool)
    if kind is not None and kind not in around.tunnels:
        return None
    if kind is None and not (around.owns_plain and pool.workloads):
        return None
    if node == around.own_name:
        return None if is_single(destination) else BLACKHOLE
    if node not in around.nodes:
        return None
    version = ip_version(destination)
    there = around.nodes[node].end(version)
    own = around.nodes.get(around.own_name, NodePlace()).end(version)
    return _way(destination, there, kind, mode, is_near=_is_near(own, there))


def _way(
    destination: str, there: NodeEnd, kind: TunnelKind | None, mode: Mode, *, is_near: bool
) -> ClusterRoute | None:
    if not there.address:
        return None
    if kind is None or (mode == "CrossSubnet" and is_near):
        return ClusterRoute("plain", there.address)
    if kind == "ipip" and there.ipip_address:
        return ClusterRoute("ipip", there.address)
    if kind != "ipip" and there.vxlan_address:
        itself = address_part(destination) == there.vxlan_address and is_single(destination)
        return ClusterRoute("vxlan", "" if itself else there.vxlan_address)
    return ClusterRoute("plain", there.address) if is_near else None


def _asked(pool: Pool) -> tuple[TunnelKind | None, Mode]:
    """Say which tunnel a pool asks for; VXLAN if it asks for both."""
    if pool.vxlan != "Never":
        return "vxlan6" if is_ipv6(pool.cidr) else "vxlan4", pool.vxlan
    if pool.ipip != "Never":
        return "ipip", pool.ipip
    return None, "Never"


def _is_near(own: NodeEnd, there: NodeEnd) -> bool:
    """Tell whether a node is in this node's subnet: no router is between them."""
    return bool(own.subnet and there.address) and contains(own.subnet, there.address)


class ClusterRoutes:
    """The definition, maintained. None means "it no longer exists"."""

    def __init__(self, own_name: str) -> None:
        self._own_name = own_name
        self._blocks: dict[str, BlockPlace] = {}
        self._by_node: dict[str, set[str]] = {}  # node -> blocks it has something of
        self._around: Neighbourhood | None = None
        self._dirty: set[str] = set()  # blocks
        self._claims: dict[str, dict[str, ClusterRoute]] = {}  # destination -> block -> way
        self._claimed: dict[str, dict[str, ClusterRoute]] = {}  # block -> destination -> way
        self._local: Counter[str] = Counter()  # destinations: addresses of workloads here
        self._touched: set[str] = set()  # destinations
        self._reported: dict[str, ClusterRoute] = {}

    def set_block(self, cidr: str, block: BlockPlace | None) -> None:
        """Cost: nothing if the place is the same, else the addresses that are borrowed."""
        old = self._blocks.pop(cidr, None)
        if old != block:
            self._dirty.add(cidr)
            for node in old.nodes if old else ():
                self._by_node[node].discard(cidr)
                if not self._by_node[node]:
                    del self._by_node[node]
            for node in block.nodes if block else ():
                self._by_node.setdefault(node, set()).add(cidr)
        if block is not None:
            self._blocks[cidr] = block

    def set_local(self, gone: Iterable[str], come: Iterable[str]) -> None:
        """Learn which addresses workloads of this node gave up and took."""
        for address in gone:
            destination = _single(address)
            self._local[destination] -= 1
            if not self._local[destination]:
                del self._local[destination]
            self._touched.add(destination)
        for address in come:
            self._local[_single(address)] += 1
            self._touched.add(_single(address))

    def set_neighbourhood(self, around: Neighbourhood, moved: Iterable[str] | None) -> None:
        """Cost: the blocks of the nodes that moved; None: more than nodes changed, so all."""
        self._around = around
        nodes = set(self._by_node if moved is None else moved)
        if self._own_name in nodes:
            nodes.update(self._by_node)
        for node in nodes:
            self._dirty |= self._by_node.get(node, set())

    def flush(self) -> dict[str, ClusterRoute | None]:
        """Return what changed since the last flush, in key order."""
        for cidr in self._dirty:
            self._claim(cidr)
        self._dirty.clear()
        delta: dict[str, ClusterRoute | None] = {}
        for destination in sorted(self._touched):
            old, new = self._reported.pop(destination, None), self._winner(destination)
            if new is not None:
                self._reported[destination] = new
            if new != old:
                delta[destination] = new
        self._touched.clear()
        return delta

    def _claim(self, cidr: str) -> None:
        block, new = self._blocks.get(cidr), {}
        if block is not None and self._around is not None:
            new = block_routes(cidr, block, self._around)
        for destination in self._claimed.pop(cidr, {}):
            del self._claims[destination][cidr]
            self._touched.add(destination)
        for destination, route in new.items():
            self._claims.setdefault(destination, {})[cidr] = route
            self._touched.add(destination)
        if new:
            self._claimed[cidr] = new

    def _winner(self, destination: str) -> ClusterRoute | None:
        claims = self._claims.get(destination)
        if not claims:
            self._claims.pop(destination, None)
            return None
        return None if destination in self._local else claims[max(claims, key=specificity)]


def _single(address: str) -> str:
    return f"{address}/{128 if is_ipv6(address) else 32}"
