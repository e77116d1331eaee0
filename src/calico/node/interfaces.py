"""What start-up asks of the world beyond this machine's interfaces.

    is somebody else behind an address --> a connection to its BGP port
    can-reach=<host> --> kernel/interfaces: the local address on the way to it

Source: shared/spec bgp-confd 5.1.
"""

import socket

from calico.core.net.detection import Method, Version
from calico.kernel.interfaces import local_address_towards

BGP_PORT = 179
TWIN_SECONDS = 0.5


def ask_world(method: Method, version: Version) -> str:
    """Answer can-reach; other methods need a Kubernetes API, which is not there."""
    return local_address_towards(method.arguments[0], version) if method.arguments else ""


def answers_bgp(address: str) -> bool:
    """Whether something listens for BGP at an address, asked for half a second at most."""
    try:
        with socket.create_connection((address, BGP_PORT), timeout=TWIN_SECONDS):
            return True
    except OSError:
        return False
