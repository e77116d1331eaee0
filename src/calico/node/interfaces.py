"""What detection must know of this machine: its interfaces, and its own address towards a host.

    kernel/links + kernel/addresses --> Interface values, in the kernel's order
    is somebody else behind an address --> a connection to its BGP port
    can-reach=<host> --> a UDP socket "connected" to it, which sends nothing --> local address

Source: shared/spec bgp-confd 5.1 (can-reach uses port 80).
"""

import socket

from calico.core.net.detection import Interface, Method, Version
from calico.kernel.addresses import Addresses
from calico.kernel.links import Links

BGP_PORT = 179
TWIN_SECONDS = 0.5

_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}


def read_interfaces() -> tuple[Interface, ...]:
    """List the interfaces of this namespace with their addresses."""
    with Links() as links, Addresses() as addresses:
        by_index = sorted(links.list().values(), key=lambda link: link.index)
        found: dict[int, list[str]] = {}
        for address in addresses.list():
            found.setdefault(address.index, []).append(address.address)
        return tuple(Interface(link.name, tuple(found.get(link.index, ()))) for link in by_index)


def ask_world(method: Method, version: Version) -> str:
    """Answer can-reach; other methods need a Kubernetes API, which is not there."""
    if method.kind != "can-reach":
        return ""
    try:
        found = socket.getaddrinfo(method.arguments[0], 80, _FAMILIES[version], socket.SOCK_DGRAM)
        with socket.socket(_FAMILIES[version], socket.SOCK_DGRAM) as probe:
            probe.connect(found[0][4])
            return str(probe.getsockname()[0])
    except OSError:
        return ""


def answers_bgp(address: str) -> bool:
    """Whether something listens for BGP at an address, asked for half a second at most."""
    try:
        with socket.create_connection((address, BGP_PORT), timeout=TWIN_SECONDS):
            return True
    except OSError:
        return False
