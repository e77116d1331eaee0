"""Every reconciler of this node behind one door.

    IntentDelta --feed--> RuleSets ----TableDelta---> nftables reconcilers (ip, ip6, arp)
                     `--> Interfaces --routes, ...--> settings, neighbours, routes (IPv4, IPv6)
    links, drift -------------------------------------^

    apply: reconcile/order.py says in which order, and adds the outcomes up by endpoint

Ownership: the loop is its only caller. What "ours" means in the kernel is each adapter's.
"""

from collections.abc import Callable, Hashable, Iterator, Mapping

from msgspec import Struct

from calico.core.intent.delta import IntentDelta
from calico.core.intent.interfaces import NeighbourKey
from calico.core.intent.keys import EndpointKey, RouteKey
from calico.core.intent.routes import Route
from calico.core.nftables.changes import Subject
from calico.core.nftables.vocabulary import Family
from calico.core.render.interfaces import Interfaces
from calico.core.render.names import owner_interface
from calico.core.render.ruleset import RuleSets
from calico.felix.statistics import NodeCounts
from calico.reconcile.neighbours import NeighbourReconciler
from calico.reconcile.nftables import NftablesReconciler
from calico.reconcile.order import Reconciler, in_order, take
from calico.reconcile.outcome import Outcome
from calico.reconcile.routes import RouteReconciler
from calico.reconcile.sysctls import SysctlReconciler


class Reconcilers(Struct, frozen=True):
    """All of them, by what they keep. IPv6 routes are absent where IPv6 is off."""

    tables: Mapping[Family, NftablesReconciler]
    settings: SysctlReconciler
    neighbours: NeighbourReconciler
    routes: RouteReconciler
    routes6: RouteReconciler | None


class Dataplane:
    """See the module. `note_repairs(part, count)` is told what others had changed."""

    def __init__(
        self,
        rule_sets: RuleSets,
        interfaces: Interfaces,
        reconcilers: Reconcilers,
        note_repairs: Callable[[str, int], None],
        counts: NodeCounts,
    ) -> None:
        self._rule_sets = rule_sets
        self._interfaces = interfaces
        self._of = reconcilers
        self._note_repairs = note_repairs
        self._counts = counts
        self._repairs: dict[str, int] = {}
        self._by_interface: dict[str, EndpointKey] = {}
        self._by_address: dict[str, EndpointKey] = {}
        others: list[tuple[str, Reconciler]] = [
            ("settings", reconcilers.settings),
            ("neighbours", reconcilers.neighbours),
            ("routes", reconcilers.routes),
        ]
        if reconcilers.routes6 is not None:
            others.append(("IPv6 routes", reconcilers.routes6))
        rules = [(f"{family} rules", table) for family, table in reconcilers.tables.items()]
        self._steps = in_order(rules, others)

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
        if delta.endpoints:
            self._feed_interfaces()

    def _feed_interfaces(self) -> None:
        changed = self._interfaces.flush()
        self._of.settings.update(changed.settings)
        self._of.neighbours.update(changed.neighbours)
        ipv4 = {key: route for key, route in changed.routes.items() if ":" not in key.destination}
        self._of.routes.update(ipv4)
        if self._of.routes6 is not None and len(ipv4) < len(changed.routes):
            rest = {key: route for key, route in changed.routes.items() if key not in ipv4}
            self._of.routes6.update(rest)

    def set_links(self, lives: Mapping[str, int]) -> None:
        """Learn which interfaces are up (a number for that life) or down or gone (0)."""
        self._of.settings.set_links(lives)
        self._of.neighbours.set_links(lives)
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
            self._of.neighbours.queue_resync()

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

    def _owner(self, key: Hashable) -> EndpointKey | None:
        """Say which endpoint a reconciler's key belongs to; None for what is shared."""
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
