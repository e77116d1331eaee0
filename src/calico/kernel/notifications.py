"""Tell the loop what changed in the kernel behind its back.

    rtnetlink: links, addresses ---> parsed ----+
    rtnetlink: routes of the main table --------+--> put({what changed: how it is now})
    nfnetlink: a new nftables generation -------+
    overruns ---------------> listed again, or "read that back"

One thread, one socket for each of the two netlink families. The sockets carry filters, since
unfiltered a bulk load of our own would overrun them: of routes pass only those that are neither
BIRD's nor the kernel's, of nftables only the generation message (one for each transaction), and
neither if one of our own sockets made the change.

An interface is told with its life: a number that is another one each time it came up, 0 while it
is down. The receiver keeps only the latest word on a key, and by that number it still sees that
an interface was down in between, taking its routes along.

Ownership: this thread owns its sockets and what it remembers of links; it writes nothing.

Source: rtnetlink(7), linux/filter.h; what overran was measured (shared measurements, "Threads").
"""

import os
import select
import threading
from collections.abc import Callable, Collection, Hashable, Mapping
from contextlib import suppress
from itertools import count
from typing import Literal, NamedTuple, TypeAlias

from msgspec import Struct

from calico.core.intent.keys import RouteKey
from calico.kernel.addresses import RTM_DELADDR, RTM_NEWADDR, Addresses, parse_address
from calico.kernel.links import RTM_DELLINK, RTM_NEWLINK, Link, Links, parse_link
from calico.kernel.netlink import (
    NETLINK_NETFILTER,
    NETLINK_ROUTE,
    Message,
    NetlinkOverrun,
    NetlinkSocket,
)
from calico.kernel.routes import RTM_DELROUTE, RTM_NEWROUTE, Ownership, parse_route
from calico.kernel.socket_filters import attach, nftables_filter, route_filter

_GROUP_LINK, _GROUP_ADDRESS4, _GROUP_ROUTE4, _GROUP_ADDRESS6, _GROUP_ROUTE6 = 1, 5, 7, 9, 11
_GROUP_NFTABLES = 7
_AT_ONCE = 1_000  # datagrams handed over together


class LinkChanged(NamedTuple):
    """Key of a LinkState, or None once the interface is gone."""

    name: str


class AddressChanged(NamedTuple):
    """Key of an Address, or None once it is gone."""

    interface_index: int
    address: str  # "10.0.0.1/24"


class RouteChanged(NamedTuple):
    """Key of a Route of ours as someone else left it, or None: there is none of ours now."""

    key: RouteKey


class Distrusted(NamedTuple):
    """Key of True: someone else changed this part, or we have missed what they did."""

    part: Literal["routes", "nftables"]


class LinkState(Struct, frozen=True):
    """An interface and its present life, 0 while it is down."""

    link: Link
    life: int


Updates: TypeAlias = dict[Hashable, object]


class KnownLinks:
    """The interfaces by name, from the messages about them."""

    def __init__(self) -> None:
        self.states: dict[str, LinkState] = {}
        self.names: dict[int, str] = {}
        self._lives = count(1)

    def set(self, link: Link) -> Updates:
        """Take an interface as it is now."""
        updates: Updates = {}
        former = self.names.get(link.index, link.name)
        if former != link.name:
            updates |= self.remove(link.index)
        known = self.states.get(link.name)
        life = 0
        if link.is_up:
            goes_on = known is not None and known.life and known.link.index == link.index
            life = known.life if known is not None and goes_on else next(self._lives)
        state = LinkState(link, life)
        self.names[link.index] = link.name
        if state != known:
            self.states[link.name] = state
            updates[LinkChanged(link.name)] = state
        return updates

    def remove(self, index: int) -> Updates:
        """Take an interface as gone."""
        name = self.names.pop(index, None)
        if name is None or self.states[name].link.index != index:
            return {}  # the name belongs to a successor by now
        del self.states[name]
        return {LinkChanged(name): None}

    def replace(self, links: Mapping[str, Link]) -> Updates:
        """Take a whole listing, after messages were lost: any of them may have been down."""
        updates: Updates = {LinkChanged(name): None for name in self.states}
        self.states, self.names = {}, {}
        for link in links.values():
            updates |= self.set(link)
        return updates


class Notifications:
    """The listening thread, and the sockets it listens on."""

    def __init__(
        self,
        put: Callable[[Mapping[Hashable, object]], None],
        own_ports: Collection[int] = (),
        ownership: Ownership | None = None,
    ) -> None:
        """Open the sockets in this namespace; `own_ports` are of the sockets we write with."""
        self._put = put
        self._ownership = ownership or Ownership()
        self._links = KnownLinks()
        self._addresses: set[AddressChanged] = set()
        self._wake = os.eventfd(0)
        self._route = NetlinkSocket(NETLINK_ROUTE)
        attach(self._route, route_filter(own_ports))
        self._nftables = NetlinkSocket(NETLINK_NETFILTER)
        attach(self._nftables, nftables_filter(own_ports))
        self._nftables.join(_GROUP_NFTABLES)
        for group in (
            *(_GROUP_LINK, _GROUP_ADDRESS4, _GROUP_ADDRESS6),
            *(_GROUP_ROUTE4, _GROUP_ROUTE6),
        ):
            self._route.join(group)
        self._listing = Links(), Addresses()
        self._thread = threading.Thread(target=self._run, name="kernel-notifications", daemon=True)

    def start(self) -> None:
        """Tell of every interface and address there is, then of every change."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread and close the sockets."""
        os.eventfd_write(self._wake, 1)
        if self._thread.ident is not None:
            self._thread.join()
        for opened in (self._route, self._nftables, *self._listing):
            opened.close()
        os.close(self._wake)

    def _run(self) -> None:
        self._put(self._listed())
        poll = select.poll()
        for descriptor in (self._wake, self._route.fileno(), self._nftables.fileno()):
            poll.register(descriptor, select.POLLIN)
        while True:
            updates: Updates = {}
            ready = poll.poll()
            for _ in range(_AT_ONCE):
                descriptors = {descriptor for descriptor, _ in ready}
                if self._wake in descriptors:
                    return
                updates |= self._read(descriptors)
                ready = poll.poll(0)
                if not ready:
                    break
            if updates:
                self._put(updates)

    def _read(self, descriptors: Collection[int]) -> Updates:
        updates: Updates = {}
        if self._route.fileno() in descriptors:
            try:
                for message in self._route.listen():
                    updates |= self._parsed(message)
            except NetlinkOverrun:
                updates |= {Distrusted("routes"): True} | self._listed()
        if self._nftables.fileno() in descriptors:
            with suppress(NetlinkOverrun):  # a generation that came, or was lost: all the same
                self._nftables.listen()
            updates[Distrusted("nftables")] = True
        return updates

    def _parsed(self, message: Message) -> Updates:
        kind = message.kind
        if kind == RTM_NEWLINK:
            return self._links.set(parse_link(message.body))
        if kind == RTM_DELLINK:
            return self._links.remove(parse_link(message.body).index)
        if kind in {RTM_NEWADDR, RTM_DELADDR}:
            return self._parsed_address(message)
        if kind in {RTM_NEWROUTE, RTM_DELROUTE}:
            route = parse_route(message.body, self._links.names)
            is_ours = kind == RTM_NEWROUTE and self._ownership.owns(route)
            return {RouteChanged(route.key): route if is_ours else None}
        return {}

    def _parsed_address(self, message: Message) -> Updates:
        address = parse_address(message.body)
        if address is None:
            return {}
        key = AddressChanged(address.index, address.address)
        if message.kind == RTM_DELADDR:
            self._addresses.discard(key)
            return {key: None}
        self._addresses.add(key)
        return {key: address}

    def _listed(self) -> Updates:
        links, addresses = self._listing
        updates = self._links.replace(links.list())
        updates |= dict.fromkeys(self._addresses, None)
        found = {AddressChanged(one.index, one.address): one for one in addresses.list()}
        self._addresses = set(found)
        return updates | found
