"""Every reconciler of this node behind one door.

    IntentDelta --feed--> RuleSets ----TableDelta---> nftables reconcilers (ip, ip6, arp)
                     |--> Interfaces --routes, ...--> settings, neighbours, routes (IPv4, IPv6)
                     `--> Cluster -----routes, ...--> tunnels, forwarding entries, the same
    links, addresses, drift --------------------------^

    apply: reconcile/order.py says in which order, and adds the outcomes up by endpoint

Ownership: the loop is its only caller. What "ours" means in the kernel is each adapter's.
"""

from collections.abc import Callable, Hashable, Iterator, Mapping

from msgspec import Struct

from calico.core.intent.delta import IntentDelta
from calico.core.intent.interfaces import NeighbourKey
from calico.core.intent.keys import EndpointKey, RouteKey
from calico.core.intent.routes import Route
from calico.core.intent.tunnels import DEVICES
from calico.core.nftables.changes import Subject
from calico.core.nftables.vocabulary import Family
from calico.core.render.cluster import Cluster
from calico.core.render.interfaces import Interfaces
from calico.core.render.names import owner_interface
from calico.core.render.ruleset import RuleSets
from calico.felix.host_network import HostNetwork
from calico.felix.statistics import NodeCounts
from calico.reconcile.neighbours import NeighbourReconciler
from calico.reconcile.nftables import NftablesReconciler
from calico.reconcile.order import Reconciler, in_order, take
from calico.reconcile.outcome import ClusterWide, Outcome
from calico.reconcile.routes import RouteReconciler
from calico.reconcile.sysctls import SysctlReconciler
from calico.reconcile.tunnels import Retirement, TunnelReconciler


class Reconcilers(Struct, frozen=True):
    """All of them, by what they keep. IPv6 routes and neighbours: absent where IPv6 is off."""

    tables: Mapping[Family, NftablesReconciler]
    settings: SysctlReconciler
    neighbours: NeighbourReconciler
    routes: RouteReconciler
    routes6: RouteReconciler | None
    tunnels: TunnelReconciler
    neighbours6: NeighbourReconciler | None
    forwarding: NeighbourReconciler


class Renderers(Struct, frozen=True):
    """What turns the intent into what the kernel should hold."""

    rule_sets: RuleSets
    interfaces: Interfaces
    cluster: Cluster
    network: HostNetwork


class Dataplane:
    """See the module. `note_repairs(part, count)` is told what others had changed."""

    def __init__(
        self,
        renderers: Renderers,
        reconcilers: Reconcilers,
        note_repairs: Callable[[str, int], None],
        counts: NodeCounts,
    ) -> None:
        self._rule_sets, self._interfaces = renderers.rule_sets, renderers.interfaces
        self._cluster, self._network = renderers.cluster, renderers.network
        self._of = reconcilers
        self._note_repairs = note_repairs
        self._counts = counts
        self._repairs: dict[str, int] = {}
        self._by_interface: dict[str, EndpointKey] = {}
        self._by_address: dict[str, EndpointKey] = {}
        others: list[tuple[str, Reconciler | None]] = [
            ("settings", reconcilers.settings),
            ("tunnels", reconcilers.tunnels),
            ("neighbours", reconcilers.neighbours),
            ("IPv6 neighbours", reconcilers.neighbours6),
            ("forwarding entries", reconcilers.forwarding),
            ("routes", reconcilers.routes),
            ("IPv6 routes", reconcilers.routes6),
            ("old tunnels", Retirement(reconcilers.tunnels)),
        ]
        rules = [(f"{family} rules", table) for family, table in reconcilers.tables.items()]
        self._steps = in_order(rules, [(name, one) for name, one in others if one is not None])

    def feed(self, delta: IntentDelta) -> None:
        """Accept new intent; touches memory only."""
        self._counts.note_intent(delta)
        self._rule_sets.feed(delta)
        for key, endpoint in delta.endpoints.items():
            self._interfaces.set_endpoint(key, endpoint)
            if endpoint is not None:
                addresses = (*endpoint.ipv4_addresses, *endpoint.ipv6_addresses)
                self._by_interface[endpoint.interface] = key
                self._by_address |= dict.fromkeys(addresses, key)
        for family, table_delta in self._rule_sets.flush().items():
            self._of.tables[family].update(table_delta)
            self._counts.note_table(family, table_delta)
        self._cluster.feed(delta)
        self._feed_others()

    def _feed_others(self) -> None:
        here, beyond = self._interfaces.flush(), self._cluster.flush()
        self._of.settings.update(here.settings)
        for name, device in beyond.devices.items():
            wanted = None if device is None else self._cluster.device_settings(name)
            self._of.settings.update({name: wanted})
        self._of.tunnels.update(beyond.devices)
        self._feed_neighbours({**here.neighbours, **beyond.neighbours})
        self._of.forwarding.update(beyond.forwarding)
        # What goes comes first: IPv6 has one key for a route here and one to another node.
        changed = [*here.routes.items(), *beyond.routes.items()]
        self._feed_routes({key: route for key, route in changed if route is None})
        self._feed_routes({key: route for key, route in changed if route is not None})

    def _feed_neighbours(self, changed: Mapping[NeighbourKey, str | None]) -> None:
        ipv4 = {key: mac for key, mac in changed.items() if ":" not in key.address}
        self._of.neighbours.update(ipv4)
        if self._of.neighbours6 is not None and len(ipv4) < len(changed):
            rest = {key: mac for key, mac in changed.items() if key not in ipv4}
            self._of.neighbours6.update(rest)

    def _feed_routes(self, changed: Mapping[RouteKey, Route | None]) -> None:
        ipv4 = {key: route for key, route in changed.items() if ":" not in key.destination}
        self._of.routes.update(ipv4)
        if self._of.routes6 is not None and len(ipv4) < len(changed):
            rest = {key: route for key, route in changed.items() if key not in ipv4}
            self._of.routes6.update(rest)

    @property
    def pod_mtu_bytes(self) -> int:
        """The MTU for new workload interfaces."""
        return self._cluster.pod_mtu_bytes

    def note_network(self, arrived: Mapping[Hashable, object]) -> None:
        """Learn of the node's own links and addresses, among whatever has arrived."""
        if self._network.note(arrived):
            self._cluster.note_wires()
            self._of.tunnels.queue_resync()

    def set_links(self, lives: Mapping[str, int]) -> None:
        """Learn which interfaces are up (a number for that life) or down or gone (0)."""
        self._of.settings.set_links(lives)
        for neighbours in self._neighbour_tables():
            neighbours.set_links(lives)
        for routes in self._route_tables():
            routes.set_links(lives)

    def note_route(self, key: RouteKey, route: Route | None) -> None:
        """Learn what someone else made of one route."""
        if ":" not in key.destination:
            self._of.routes.note(key, route)
        elif self._of.routes6 is not None:
            self._of.routes6.note(key, route)

    def queue_resync(self, part: str) -> None:
        """Distrust what is believed of "nftables", "routes", or "" for everything."""
        if part in {"", "nftables"}:
            for table in self._of.tables.values():
                table.queue_resync()
        if part in {"", "routes"}:
            for routes in self._route_tables():
                routes.queue_resync()
        if part in {"", "interfaces"}:
            self._of.settings.queue_resync()
            for neighbours in self._neighbour_tables():
                neighbours.queue_resync()
        if part in {"", "tunnels"}:
            self._of.tunnels.queue_resync()

    def apply(self) -> Outcome:
        """Close the gap, or a bounded part of it; failures by endpoint where they have one."""
        outcome = take(self._steps, self._owner)
        for part, repairs in self._repaired():
            if repairs > self._repairs.get(part, 0):
                self._note_repairs(part, repairs - self._repairs.get(part, 0))
                self._repairs[part] = repairs
        return outcome

    def _repaired(self) -> Iterator[tuple[str, int]]:
        for family, table in self._of.tables.items():
            yield f"{family} rules", table.repairs
        for name, routes in (("routes", self._of.routes), ("IPv6 routes", self._of.routes6)):
            if routes is not None:
                yield name, routes.repairs

    def _route_tables(self) -> list[RouteReconciler]:
        return (
            [self._of.routes] if self._of.routes6 is None else [self._of.routes, self._of.routes6]
        )

    def _neighbour_tables(self) -> list[NeighbourReconciler]:
        tables = (self._of.neighbours, self._of.neighbours6, self._of.forwarding)
        return [table for table in tables if table is not None]

    def _owner(self, key: Hashable) -> EndpointKey | ClusterWide | None:
        """Say which endpoint a reconciler's key belongs to; None for what all of them share."""
        if self._is_cluster_wide(key):
            return ClusterWide(key)
        match key:
            case RouteKey(destination, _):
                return self._by_address.get(destination.partition("/")[0])
            case NeighbourKey(interface, _):
                return self._by_interface.get(interface)
            case Subject("chain", name, _):
                return self._by_interface.get(owner_interface(name))
            case str():
                return self._by_interface.get(key)
            case _:
                return None

    def _is_cluster_wide(self, key: Hashable) -> bool:
        if isinstance(key, RouteKey):
            return self._cluster.has(key)
        interface = key.interface if isinstance(key, NeighbourKey) else key
        return interface in DEVICES.values()
