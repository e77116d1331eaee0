"""The kernel's side of one container: a pair of interfaces, addresses, routes, settings.

    host namespace                        container's namespace (a descriptor)
    cali1a2b3c4d5e6  ee:ee:ee:ee:ee:ee ===  eth0  <address>/32
                                            169.254.1.1 dev eth0, default via 169.254.1.1

The pair is made in one step, its far end straight inside. The gateway is an address that nobody
has: the host answers for it (proxy ARP), and for IPv6 it is the host end's own link-local address,
which follows from its fixed hardware address.

Ownership: a CNI worker makes and removes the pair, and owns what is inside the container. Routes
and settings of the host's end are the loop's. A worker is inside the namespace only within `with`.

Source: shared/spec cni 4.6.
"""

import errno
import os
import select
import time
from collections.abc import Callable
from functools import partial
from typing import TypeAlias

from msgspec import Struct

from calico.cni.errors import FAILED, OWN_NAMESPACE, CniError
from calico.core.intent.routes import ROUTE_PROTOCOL_BOOT, Replace, Route
from calico.core.net.prefix import ip_version
from calico.kernel import netns, sysctl
from calico.kernel.addresses import Addresses
from calico.kernel.links import RTM_DELLINK, Link, Links, Peer, parse_link
from calico.kernel.netlink import NETLINK_ROUTE, KernelError, NetlinkSocket
from calico.kernel.routes import Family, KernelRouteTable, Ownership

HOST_MAC = "ee:ee:ee:ee:ee:ee"
IPV4_GATEWAY = "169.254.1.1"
IPV6_GATEWAY = "fe80::ecee:eeff:feee:eeee"  # of HOST_MAC
DEFAULT_ROUTES = ("0.0.0.0/0", "::/0")
FAMILIES: tuple[Family, ...] = ("ipv4", "ipv6")

Aside: TypeAlias = Callable[[Callable[[], None]], None]  # lets another thread do something

_LINKS = 1  # the netlink group of what happens to links
_REMOVAL_SECONDS = 10.0


class Pair(Struct, frozen=True):
    """A pair of interfaces, and what the container's end shall have."""

    host: str
    container: str
    mtu_bytes: int = 0
    mac: str = ""  # of the container's end; "" leaves it to the kernel
    addresses: tuple[str, ...] = ()  # without lengths
    routes: tuple[str, ...] = DEFAULT_ROUTES
    forwards: bool = False
    queues: int = 1

    @property
    def has_ipv6(self) -> bool:
        """Tell whether the container has an IPv6 address."""
        return any(ip_version(address) == 6 for address in self.addresses)

    @property
    def has_ipv4(self) -> bool:
        """Tell whether the container has an IPv4 address."""
        return any(ip_version(address) == 4 for address in self.addresses)


def check_foreign(descriptor: int) -> None:
    """Refuse the agent's own namespace. Raises CniError."""
    own = netns.open_own()
    try:
        if os.path.sameopenfile(descriptor, own):
            raise CniError(
                OWN_NAMESPACE, "plugin's netns and netns from CNI_NETNS should not be the same"
            )
    finally:
        os.close(own)


def create_pair(pair: Pair, namespace: int) -> str:
    """Make the pair, in place of one of that name; give the container end's hardware address."""
    with Links() as links:
        links.delete(pair.host)
        peer = Peer(pair.container, namespace, pair.mac, pair.queues)
        links.create_veth(pair.host, peer, pair.mtu_bytes, HOST_MAC, up=True)
    with netns.inside(namespace), Links() as links:
        link = links.get(pair.container)
    if link is None:
        raise CniError(FAILED, f"interface {pair.container} vanished while it was made")
    return link.mac


def configure(pair: Pair, namespace: int) -> None:
    """Bring the container's end up with its addresses, routes and settings. Raises KernelError."""
    if pair.has_ipv6:
        _give_gateway_address(pair.host)
    with netns.inside(namespace):
        if pair.has_ipv6:
            _enable_ipv6(pair.container)
        with Links() as links, Addresses() as addresses:
            links.set_up(pair.container)
            link = links.get(pair.container)
            index = link.index if link else 0
            for address in pair.addresses:
                addresses.add(index, f"{address}/{_host_length(address)}")
        for family in FAMILIES:
            _add_routes(family, pair)
        _set_forwarding(pair)


def remove_pair(container: str, namespace: int, aside: Aside) -> None:
    """Remove the container's end, and with it the host's. Absent is fine. Raises KernelError.

    Both ends are gone from sight within a millisecond, but the kernel lets go of who asked only
    when nobody holds on to them any more, 15 to 30 ms later: that wait is done aside.
    """
    with netns.inside(namespace), Links() as links, NetlinkSocket(NETLINK_ROUTE, _LINKS) as news:
        link = links.get(container)
        if link is not None:
            aside(partial(_delete_link, container, os.dup(namespace)))
            _wait_until_gone(news, link)


def remove_host_end(host: str) -> None:
    """Remove the host's end, and with it the container's. Absent is fine. Raises KernelError."""
    with Links() as links:
        links.delete(host)


def what_is_missing(pair: Pair, namespace: int) -> list[str]:
    """Compare a container with what it should have; list what is not so."""
    missing = []
    with Links() as links:
        host = links.get(pair.host)
    if host is None:
        missing.append(f"the host's interface {pair.host} does not exist")
    elif not host.is_up:
        missing.append(f"the host's interface {pair.host} is down")
    with netns.inside(namespace), Links() as links, Addresses() as table:
        link = links.get(pair.container)
        if link is None:
            return [*missing, f"interface {pair.container} does not exist in the container"]
        if not link.is_up:
            missing.append(f"interface {pair.container} is down")
        present = {address.address.partition("/")[0] for address in table.list(link.index)}
        missing += [
            f"address {address} is not on interface {pair.container}"
            for address in pair.addresses
            if address not in present
        ]
        for family in FAMILIES:
            missing += _missing_routes(family, pair)
    return missing


def container_routes(family: Family, pair: Pair) -> list[Route]:
    """List the container's routes of one family, the way to the gateway first."""
    version = 4 if family == "ipv4" else 6
    if not (pair.has_ipv4 if version == 4 else pair.has_ipv6):
        return []
    gateway = IPV4_GATEWAY if version == 4 else IPV6_GATEWAY
    routes = []
    if version == 4:
        routes.append(Route(f"{IPV4_GATEWAY}/32", pair.container, scope="link"))
    for destination in pair.routes:
        if ip_version(destination) == version:
            protocol = ROUTE_PROTOCOL_BOOT
            routes.append(Route(destination, pair.container, gateway, protocol=protocol))
    return routes


def _delete_link(name: str, namespace: int) -> None:
    try:
        with netns.inside(namespace), Links() as links:
            links.delete(name)
    finally:
        os.close(namespace)


def _wait_until_gone(news: NetlinkSocket, link: Link) -> None:
    deadline = time.monotonic() + _REMOVAL_SECONDS
    while (left := deadline - time.monotonic()) > 0:
        if not select.select([news], [], [], left)[0]:
            break
        for message in news.listen():
            if message.kind == RTM_DELLINK and parse_link(message.body).index == link.index:
                return
    raise KernelError(f"remove link {link.name}", errno.ETIMEDOUT)


def _add_routes(family: Family, pair: Pair) -> None:
    routes = container_routes(family, pair)
    if not routes:
        return
    table = KernelRouteTable(family)
    try:
        failures = table.apply([Replace(route) for route in routes])
    finally:
        table.close()
    for key, reason in failures.items():
        raise CniError(FAILED, f"cannot add the container's route to {key.destination}", reason)


def _missing_routes(family: Family, pair: Pair) -> list[str]:
    wanted = container_routes(family, pair)
    if not wanted:
        return []
    table = KernelRouteTable(family, Ownership(workload_prefixes=(pair.container,)))
    try:
        present = {key.destination for key in table.read_back()}
    finally:
        table.close()
    return [
        f"the container has no route to {route.destination}"
        for route in wanted
        if route.destination not in present
    ]


def _give_gateway_address(host: str) -> None:
    """Make the host end answer for the containers' IPv6 gateway at once.

    The kernel would derive the same address, after a second of looking for duplicates.
    """
    sysctl.write(f"net/ipv6/conf/{host}/disable_ipv6", "0")
    sysctl.write(f"net/ipv6/conf/{host}/accept_dad", "0")
    with Links() as links, Addresses() as addresses:
        link = links.get(host)
        if link is None:
            raise CniError(FAILED, f"interface {host} vanished while it was set up")
        addresses.add(link.index, f"{IPV6_GATEWAY}/64", "link")


def _enable_ipv6(interface: str) -> None:
    for name in ("all", "default", "lo", interface):
        sysctl.write(f"net/ipv6/conf/{name}/disable_ipv6", "0")
    sysctl.write(f"net/ipv6/conf/{interface}/accept_dad", "0")


def _set_forwarding(pair: Pair) -> None:
    value = "1" if pair.forwards else "0"
    if pair.has_ipv4:
        sysctl.write("net/ipv4/ip_forward", value)
    if pair.has_ipv6:
        sysctl.write("net/ipv6/conf/all/forwarding", value)


def _host_length(address: str) -> int:
    return 32 if ip_version(address) == 4 else 128
