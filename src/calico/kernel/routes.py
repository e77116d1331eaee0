"""One kernel routing table: list what is ours, replace and delete routes.

    read_back --> {RouteKey: Route}, ours only
    apply([Delete, Replace]) --> one batch, an acknowledgement each --> {RouteKey: refusal}

Ours is (felix spec 6.8): whatever carries Calico's own protocol number, wherever it points; and
every route on a workload interface but BIRD's, since nobody else has business there. So an agent
that has just started knows what an earlier one left, the metric-0 route of the original's CNI
plugin included.

A route in a form that we never make (multipath, prohibit ...) reads back as a unicast route to
nowhere: it equals nothing that is intended, and can still be deleted.

Source: rtnetlink(7); felix/routetable/ownershippol; the kernel's fib_semantics.c and route.c.
"""

import errno
import socket
import struct
from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias

from msgspec import Struct

from calico.core.intent.keys import RouteKey
from calico.core.intent.routes import (
    ROUTE_PROTOCOL_BIRD,
    ROUTE_PROTOCOL_BOOT,
    ROUTE_PROTOCOL_CALICO,
    Change,
    Delete,
    Route,
)
from calico.kernel.netlink import (
    NETLINK_ROUTE,
    NLM_F_CREATE,
    NLM_F_REPLACE,
    KernelError,
    Message,
    NetlinkSocket,
    Request,
    attribute,
    attributes,
    nested,
)

Family: TypeAlias = Literal["ipv4", "ipv6"]

# the one refusal that is not a failure: the route waits for its interface
INTERFACE_NOT_UP = "the interface is down or missing"

RTM_NEWROUTE, RTM_DELROUTE, RTM_GETROUTE = 24, 25, 26
TABLE_MAIN = 254

_DESTINATION, _INTERFACE, _GATEWAY, _PRIORITY, _SOURCE, _METRICS = 1, 4, 5, 6, 7, 8
_MULTIPATH, _TABLE, _METRIC_MTU = 9, 15, 2
_UNICAST, _BLACKHOLE = 1, 6
_SCOPE_UNIVERSE, _SCOPE_LINK, _SCOPE_ANY = 0, 253, 255
_ONLINK = 4
_KERNEL = 2  # RTPROT_KERNEL
# what "it is not there" looks like: no such route (or table), or its interface went first
_ABSENT = {errno.ESRCH, errno.ENODEV}
_NOT_UP = {errno.ENODEV, errno.ENETDOWN}

_FAMILIES: dict[Family, int] = {"ipv4": socket.AF_INET, "ipv6": socket.AF_INET6}
_LINK_LOCAL = ("fe80::/64", "ff00::/8")  # the kernel's own, on every interface
_HEADER = struct.Struct("=BBBBBBBBI")  # family, lengths, tos, table, protocol, scope, type, flags
_U32 = struct.Struct("=I")


class Ownership(Struct, frozen=True):
    """Which routes of the main table belong to Calico."""

    workload_prefixes: tuple[str, ...] = ("cali",)
    protocols: frozenset[int] = frozenset({ROUTE_PROTOCOL_CALICO})  # ours wherever they point
    device_protocol: int = ROUTE_PROTOCOL_BOOT  # ours on workload interfaces
    removes_external: bool = True  # RemoveExternalRoutes: on workload interfaces, all are ours
    own_interfaces: tuple[str, ...] = ("vxlan.calico", "vxlan-v6.calico")

    def owns(self, route: Route) -> bool:
        """Tell whether a route that was read back is ours."""
        if route.protocol in self.protocols:
            return True
        if route.protocol == ROUTE_PROTOCOL_BIRD or route.destination in _LINK_LOCAL:
            return False
        if route.interface in self.own_interfaces:
            return route.protocol != _KERNEL  # which it makes of the device's own address
        if not route.interface.startswith(self.workload_prefixes):
            return False
        return self.removes_external or route.protocol == self.device_protocol

    @property
    def asked_for(self) -> Sequence[int]:
        """The protocols to ask the kernel for; (0,) when it takes all of them."""
        return (0,) if self.removes_external else sorted({*self.protocols, self.device_protocol})


class KernelRouteTable:
    """One family's table in the namespace of the thread that makes it."""

    def __init__(
        self, family: Family, ownership: Ownership | None = None, table: int = TABLE_MAIN
    ) -> None:
        self._family = _FAMILIES[family]
        self._ownership = ownership or Ownership()
        self._table = table
        self._socket = NetlinkSocket(NETLINK_ROUTE)

    @property
    def port_id(self) -> int:
        """What the kernel signs notifications of our own changes with."""
        return self._socket.port_id

    def close(self) -> None:
        """Give the socket back."""
        self._socket.close()

    def read_back(self) -> dict[RouteKey, Route]:
        """List our routes. Cost: 1 us per route of others. Raises KernelError."""
        names = dict(socket.if_nameindex())
        found = {}
        for protocol in self._ownership.asked_for:
            header = _header(self._family, 0, self._table, protocol)
            body = header + attribute(_TABLE, _U32.pack(self._table))
            for answer in self._dump(body):
                if answer.body[5] == ROUTE_PROTOCOL_BIRD:
                    continue  # there may be very many of them
                route = parse_route(answer.body, names)
                if self._ownership.owns(route):
                    found[route.key] = route
        return found

    def destinations_of_bird(self) -> set[str]:
        """List where BIRD's routes lead. Cost: 1 us per route of BIRD's. Raises KernelError."""
        header = _header(self._family, 0, self._table, ROUTE_PROTOCOL_BIRD)
        body = header + attribute(_TABLE, _U32.pack(self._table))
        routes = (parse_route(answer.body, {}) for answer in self._dump(body))
        return {route.destination for route in routes if route.protocol == ROUTE_PROTOCOL_BIRD}

    def apply(self, changes: Sequence[Change]) -> Mapping[RouteKey, str]:
        """Attempt every change, in order; return {key: reason} of those that failed.

        Deleting what is not there is fine.
        """
        failures: dict[RouteKey, str] = {}
        requests, asked = [], []
        for change in changes:
            request = self._request(change)
            if isinstance(request, str):
                failures[change.route.key] = request
            elif request is not None:
                requests.append(request)
                asked.append(change)
        for index, refusal in self._socket.batch("change routes", requests).items():
            change = asked[index]
            if isinstance(change, Delete):
                if refusal.errno not in _ABSENT:
                    failures[change.route.key] = refusal.reason
            else:
                waits = refusal.errno in _NOT_UP
                failures[change.route.key] = INTERFACE_NOT_UP if waits else refusal.reason
        return failures

    def _dump(self, body: bytes) -> list[Message]:
        try:
            return self._socket.dump("list routes", RTM_GETROUTE, body)
        except KernelError as error:
            if error.errno == errno.ENOENT:  # a table that never held a route does not exist
                return []
            raise

    def _request(self, change: Change) -> Request | str | None:
        """Encode one change; a text is a refusal, None is nothing to do."""
        route = change.route
        index = 0
        if route.interface:
            try:
                index = socket.if_nametoindex(route.interface)
            except OSError:
                # the kernel removed the routes together with the interface
                return None if isinstance(change, Delete) else INTERFACE_NOT_UP
        if isinstance(change, Delete):
            return RTM_DELROUTE, 0, self._deletion(route, index)
        flags = NLM_F_CREATE | NLM_F_REPLACE
        return RTM_NEWROUTE, flags, _encoded(self._family, self._table, route, index)

    def _deletion(self, route: Route, index: int) -> bytes:
        """Name a route by key, interface, protocol; IPv4's kernel takes metric 0 for "any"."""
        destination, length = _parts(self._family, route.destination)
        header = _header(self._family, length, self._table, 0, scope=_SCOPE_ANY)
        body = header + _key(destination, self._table, route.metric)
        return body + (attribute(_INTERFACE, _U32.pack(index)) if index else b"")


def parse_route(body: bytes, names: Mapping[int, str]) -> Route:
    """Decode the body of an RTM_NEWROUTE or RTM_DELROUTE message; `names` is by index."""
    family, length, _, _, _, protocol, scope, kind, flags = _HEADER.unpack_from(body)
    found = attributes(body, _HEADER.size)
    packed = found.get(_DESTINATION) or bytes(4 if family == socket.AF_INET else 16)
    destination = f"{socket.inet_ntop(family, packed)}/{length}"
    metric = _number(found.get(_PRIORITY))
    if kind == _BLACKHOLE:
        return Route(destination, kind="blackhole", protocol=protocol, metric=metric)
    if kind != _UNICAST or _MULTIPATH in found:
        return Route(destination, protocol=protocol, metric=metric)
    index = _number(found.get(_INTERFACE))
    metrics = attributes(found.get(_METRICS, b""))
    return Route(
        destination,
        interface=names.get(index, ""),
        gateway=_address(family, found.get(_GATEWAY)),
        scope="link" if scope == _SCOPE_LINK else "universe",
        protocol=protocol,
        metric=metric,
        source=_address(family, found.get(_SOURCE)),
        mtu_bytes=_number(metrics.get(_METRIC_MTU)) or None,
        onlink=bool(flags & _ONLINK),
    )


def _encoded(family: int, table: int, route: Route, index: int) -> bytes:
    destination, length = _parts(family, route.destination)
    kind = _BLACKHOLE if route.kind == "blackhole" else _UNICAST
    scope = _SCOPE_LINK if route.scope == "link" else _SCOPE_UNIVERSE
    flags = _ONLINK if route.onlink else 0
    parts = [
        _HEADER.pack(family, length, 0, 0, _short(table), route.protocol, scope, kind, flags),
        _key(destination, table, route.metric),
    ]
    if index:
        parts.append(attribute(_INTERFACE, _U32.pack(index)))
    if route.gateway:
        parts.append(attribute(_GATEWAY, socket.inet_pton(family, route.gateway)))
    if route.source:
        parts.append(attribute(_SOURCE, socket.inet_pton(family, route.source)))
    if route.mtu_bytes:
        parts.append(nested(_METRICS, attribute(_METRIC_MTU, _U32.pack(route.mtu_bytes))))
    return b"".join(parts)


def _header(family: int, length: int, table: int, protocol: int, scope: int = 0) -> bytes:
    return _HEADER.pack(family, length, 0, 0, _short(table), protocol, scope, 0, 0)


def _short(table: int) -> int:
    return table if table < 256 else 252  # RT_TABLE_COMPAT: see the attribute


def _key(destination: bytes, table: int, metric: int) -> bytes:
    encoded = attribute(_DESTINATION, destination) + attribute(_TABLE, _U32.pack(table))
    return encoded + (attribute(_PRIORITY, _U32.pack(metric)) if metric else b"")


def _parts(family: int, destination: str) -> tuple[bytes, int]:
    address, _, length = destination.partition("/")  # canonical: the general parser costs ten times
    return socket.inet_pton(family, address), int(length)


def _number(payload: bytes | None) -> int:
    return _U32.unpack(payload)[0] if payload else 0


def _address(family: int, packed: bytes | None) -> str:
    return socket.inet_ntop(family, packed) if packed else ""
