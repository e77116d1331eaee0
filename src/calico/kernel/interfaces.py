"""What address detection must know of this machine, and when to look again.

    links + addresses ----------------> read_interfaces: Interface values, in the kernel's order
    a UDP socket "connected" to a host -> local_address_towards it; nothing is sent
    rtnetlink: addresses ------------> AddressNews: readable when one came or went

Ownership: reads only. Link-local addresses are no news: every pod's interface has one.

Source: shared/spec bgp-confd 5.1 (can-reach uses port 80).
"""

import socket

from calico.core.net.detection import Interface, Version
from calico.kernel.addresses import Addresses, parse_address
from calico.kernel.links import Links
from calico.kernel.netlink import NETLINK_ROUTE, NetlinkOverrun, NetlinkSocket

_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
_GROUP_ADDRESS4, _GROUP_ADDRESS6 = 5, 9


def read_interfaces() -> tuple[Interface, ...]:
    """List the interfaces of this namespace with their addresses."""
    with Links() as links, Addresses() as addresses:
        by_index = sorted(links.list().values(), key=lambda link: link.index)
        found: dict[int, list[str]] = {}
        for address in addresses.list():
            found.setdefault(address.index, []).append(address.address)
        return tuple(Interface(link.name, tuple(found.get(link.index, ()))) for link in by_index)


def local_address_towards(host: str, version: Version) -> str:
    """Return our address on the way to a host; "" if there is no way, or no such host."""
    try:
        found = socket.getaddrinfo(host, 80, _FAMILIES[version], socket.SOCK_DGRAM)
        with socket.socket(_FAMILIES[version], socket.SOCK_DGRAM) as probe:
            probe.connect(found[0][4])
            return str(probe.getsockname()[0])
    except OSError:
        return ""


class AddressNews:
    """A socket that tells that addresses changed, in the namespace of the thread that opens it."""

    def __init__(self) -> None:
        self._socket = NetlinkSocket(NETLINK_ROUTE)
        self._socket.join(_GROUP_ADDRESS4)
        self._socket.join(_GROUP_ADDRESS6)

    def close(self) -> None:
        """Give the socket back."""
        self._socket.close()

    def fileno(self) -> int:
        """For `select`: there is something to `read`."""
        return self._socket.fileno()

    def read(self) -> bool:
        """Read what has come, waiting if nothing has; tell whether it is worth another look."""
        try:
            found = [parse_address(message.body) for message in self._socket.listen()]
        except NetlinkOverrun:
            return True
        return any(address is not None and address.scope != "link" for address in found)
