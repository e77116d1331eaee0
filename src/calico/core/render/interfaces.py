"""Routes, neighbours and settings of the workload interfaces of this node.

    {endpoint key: workload endpoint} --> routes      one for each address, to its interface
                                      --> neighbours  IPv4: the workload's MAC for each address
                                      --> settings    under /proc/sys, by interface

`interface_intent` is the definition; `Interfaces` maintains it at a cost set by what changed.

Of several endpoints that claim one interface the smallest key has it, and the others wait, as in
the rule sets. Of several that claim one address, the one whose record was written last has the
route: a record that was forgotten never takes an address from the workload that has it now.

Source: felix spec 6.8, 6.11; felix/dataplane/linux/endpoint_mgr.go.
"""

import re
from collections.abc import Hashable, Iterable, Mapping
from typing import TypeAlias, TypeVar

from msgspec import Struct

from calico.core.intent.endpoints import WorkloadEndpoint
from calico.core.intent.interfaces import NeighbourKey, Setting, Settings
from calico.core.intent.keys import EndpointKey, RouteKey
from calico.core.intent.routes import ROUTE_PROTOCOL_BOOT, Route
from calico.core.render.endpoints import has_interface

Endpoints: TypeAlias = Mapping[EndpointKey, WorkloadEndpoint]
Winner: TypeAlias = tuple[EndpointKey, WorkloadEndpoint]  # who has an interface
Claim: TypeAlias = tuple[int, EndpointKey]  # the greatest has the address: revision, then key

Key = TypeVar("Key")
Value = TypeVar("Value")

_NO_INTERFACES = {"all", "default", ".", ".."}  # under /proc/sys they are something else
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")


class InterfaceSettings(Struct, frozen=True):
    """What of Felix's configuration the interfaces depend on; the defaults are Felix's."""

    ipv6: bool = True
    device_protocol: int = ROUTE_PROTOCOL_BOOT
    ipv4_metric: int = 1024  # IPv4NormalRoutePriority
    ipv6_metric: int = 1024
    ipv4_source: str = ""  # DeviceRouteSourceAddress
    ipv6_source: str = ""
    rp_filter: str = "1"  # the node's default, which each interface gets
    source_spoofing: bool = False  # WorkloadSourceSpoofing is Any


class InterfaceIntent(Struct, frozen=True):
    """All of it at one moment."""

    routes: Mapping[RouteKey, Route] = {}
    neighbours: Mapping[NeighbourKey, str] = {}
    settings: Mapping[str, Settings] = {}


class InterfaceDelta(Struct, frozen=True):
    """What changed; None means "no longer"."""

    routes: Mapping[RouteKey, Route | None] = {}
    neighbours: Mapping[NeighbourKey, str | None] = {}
    settings: Mapping[str, Settings | None] = {}


def interface_intent(endpoints: Endpoints, settings: InterfaceSettings) -> InterfaceIntent:
    """Define the intent, from scratch."""
    owners: dict[str, EndpointKey] = {}
    for key in sorted(endpoints):
        if can_have_interface(endpoints[key]):
            owners.setdefault(endpoints[key].interface, key)
    winners = [(key, endpoints[key]) for key in owners.values()]
    return InterfaceIntent(
        routes={
            route.key: route
            for key, endpoint in sorted(winners, key=lambda one: (one[1].revision, one[0]))
            for route in endpoint_routes(endpoint, settings)
        },
        neighbours={
            neighbour: endpoint_mac(endpoint)
            for _, endpoint in winners
            for neighbour in endpoint_neighbours(endpoint)
        },
        settings={
            endpoint.interface: endpoint_settings(endpoint, settings) for _, endpoint in winners
        },
    )


def can_have_interface(endpoint: WorkloadEndpoint) -> bool:
    """Say whether the interface's name is one, here and as a part of a path."""
    return has_interface(endpoint) and endpoint.interface not in _NO_INTERFACES


def endpoint_routes(endpoint: WorkloadEndpoint, settings: InterfaceSettings) -> list[Route]:
    """Give one endpoint's routes, as the kernel would tell them: IPv6 has no scopes."""
    routes = [
        Route(
            f"{address}/32",
            endpoint.interface,
            scope="link",
            protocol=settings.device_protocol,
            metric=settings.ipv4_metric,
            source=settings.ipv4_source,
        )
        for address in endpoint.ipv4_addresses
    ]
    if settings.ipv6:
        routes += [
            Route(
                f"{address}/128",
                endpoint.interface,
                protocol=settings.device_protocol,
                metric=settings.ipv6_metric,
                source=settings.ipv6_source,
            )
            for address in endpoint.ipv6_addresses
        ]
    return routes


def endpoint_mac(endpoint: WorkloadEndpoint) -> str:
    """Give the MAC as the kernel would tell it, "" if there is none that it could take."""
    mac = endpoint.mac.lower().replace("-", ":")
    return mac if _MAC.fullmatch(mac) else ""


def endpoint_neighbours(endpoint: WorkloadEndpoint) -> list[NeighbourKey]:
    """Name one endpoint's permanent neighbours."""
    if not endpoint_mac(endpoint):
        return []
    return [NeighbourKey(endpoint.interface, address) for address in endpoint.ipv4_addresses]


def endpoint_settings(endpoint: WorkloadEndpoint, settings: InterfaceSettings) -> Settings:
    """Give what /proc/sys should say of one endpoint's interface.

    The workload's gateway is an address that nobody has, so the node answers for it (proxy_arp,
    at once: proxy_delay); router advertisements of a workload would change the node's routes.
    """
    name = endpoint.interface
    spoofs = settings.source_spoofing and endpoint.allowed_source_prefixes
    ipv4, ipv6 = f"net/ipv4/conf/{name}", f"net/ipv6/conf/{name}"
    wanted = [
        Setting(f"{ipv6}/accept_ra", "0", is_required=False),
        Setting(f"{ipv4}/route_localnet", "1"),
        Setting(f"net/ipv4/neigh/{name}/proxy_delay", "0", is_required=False),
        Setting(f"{ipv4}/proxy_arp", "1"),
        Setting(f"{ipv4}/forwarding", "1"),
        Setting(f"{ipv4}/rp_filter", "0" if spoofs else settings.rp_filter),
    ]
    if settings.ipv6:
        wanted += [Setting(f"{ipv6}/proxy_ndp", "1"), Setting(f"{ipv6}/forwarding", "1")]
    return tuple(wanted)


class Interfaces:
    """The definition, maintained."""

    def __init__(self, settings: InterfaceSettings) -> None:
        self._settings = settings
        self._endpoints: dict[EndpointKey, WorkloadEndpoint] = {}
        self._claims: dict[str, set[EndpointKey]] = {}  # interface -> who names it
        self._dirty: dict[str, None] = {}  # interfaces
        self._winners: dict[str, Winner] = {}  # as reported
        self._routes: dict[RouteKey, dict[Claim, Route]] = {}  # of the winners
        self._reported: dict[RouteKey, Route] = {}

    def set_endpoint(self, key: EndpointKey, endpoint: WorkloadEndpoint | None) -> None:
        """Cost: one endpoint."""
        if old := self._endpoints.pop(key, None):
            self._claims[old.interface].discard(key)
            self._dirty[old.interface] = None
        if endpoint is not None and can_have_interface(endpoint):
            self._endpoints[key] = endpoint
            self._claims.setdefault(endpoint.interface, set()).add(key)
            self._dirty[endpoint.interface] = None

    def owner(self, key: Hashable) -> EndpointKey | None:
        """Say whose a route, a neighbour or an interface is, as last flushed; None: nobody's."""
        if isinstance(key, RouteKey):
            claims = self._routes.get(key)
            return max(claims)[1] if claims else None
        interface = key.interface if isinstance(key, NeighbourKey) else key
        winner = self._winners.get(interface) if isinstance(interface, str) else None
        return winner[0] if winner else None

    def flush(self) -> InterfaceDelta:
        """Return what changed since the last flush, in key order."""
        dirty = sorted(self._dirty)
        self._dirty.clear()
        before = {interface: self._winners.pop(interface, None) for interface in dirty}
        after = {interface: self._winner(interface) for interface in dirty}
        changed = [interface for interface in dirty if before[interface] != after[interface]]
        neighbours: dict[NeighbourKey, str | None] = {}
        settings: dict[str, Settings | None] = {}
        touched: set[RouteKey] = set()
        for interface in changed:  # all of them first: one endpoint may have moved
            touched.update(self._drop_routes(before[interface]))
        for interface in changed:
            touched.update(self._add_routes(after[interface]))
            old, new = _endpoint(before[interface]), _endpoint(after[interface])
            neighbours |= _difference(_neighbours(old), _neighbours(new))
            settings |= _difference(self._settings_of(old), self._settings_of(new))
        return InterfaceDelta(self._changed_routes(touched), neighbours, settings)

    def _winner(self, interface: str) -> Winner | None:
        claims = self._claims.get(interface)
        if not claims:
            self._claims.pop(interface, None)
            return None
        key = min(claims)
        self._winners[interface] = key, self._endpoints[key]
        return self._winners[interface]

    def _add_routes(self, winner: Winner | None) -> Iterable[RouteKey]:
        for claim, route in self._claimed(winner):
            self._routes.setdefault(route.key, {})[claim] = route
            yield route.key

    def _drop_routes(self, winner: Winner | None) -> Iterable[RouteKey]:
        for claim, route in self._claimed(winner):
            self._routes[route.key].pop(claim, None)
            yield route.key

    def _claimed(self, winner: Winner | None) -> Iterable[tuple[Claim, Route]]:
        if winner is not None:
            key, endpoint = winner
            for route in endpoint_routes(endpoint, self._settings):
                yield (endpoint.revision, key), route

    def _changed_routes(self, touched: set[RouteKey]) -> dict[RouteKey, Route | None]:
        delta: dict[RouteKey, Route | None] = {}
        for key in sorted(touched):
            claims = self._routes[key]
            old = self._reported.pop(key, None)
            new = claims[max(claims)] if claims else None
            if new is not None:
                self._reported[key] = new
            else:
                del self._routes[key]
            if new != old:
                delta[key] = new
        return delta

    def _settings_of(self, endpoint: WorkloadEndpoint | None) -> dict[str, Settings]:
        if endpoint is None:
            return {}
        return {endpoint.interface: endpoint_settings(endpoint, self._settings)}


def _endpoint(winner: Winner | None) -> WorkloadEndpoint | None:
    return winner[1] if winner else None


def _neighbours(endpoint: WorkloadEndpoint | None) -> dict[NeighbourKey, str]:
    if endpoint is None:
        return {}
    return dict.fromkeys(endpoint_neighbours(endpoint), endpoint_mac(endpoint))


def _difference(old: Mapping[Key, Value], new: Mapping[Key, Value]) -> dict[Key, Value | None]:
    """Say how to get from one to the other."""
    delta: dict[Key, Value | None] = {key: None for key in old if key not in new}
    return delta | {key: value for key, value in new.items() if old.get(key) != value}
