"""What a node knows of its own network: by which link other nodes are reached, and how wide it is.

    links, addresses (from the kernel) --> Underlay --> parent_of("192.0.2.1") == "eth0"
                                                   `--> mtu_bytes == 1500

The parent of an address is the link that has it. The MTU of the node is the smallest of its links
that are up and whose names say that they lead out.

Source: felix spec 6.9; MTUIfacePattern of FelixConfiguration.
"""

import re

from msgspec import Struct

DEFAULT_PATTERN = r"^((en|wl|ww|sl|ib)[Pcopsvx].*|(eth|wlan|wwan).*)"
UNKNOWN_MTU_BYTES = 1460


class HostLink(Struct, frozen=True):
    """A link of the node."""

    index: int
    mtu_bytes: int
    is_up: bool


class Underlay:
    """The node's links and addresses, as notifications tell of them."""

    def __init__(self, pattern: str = DEFAULT_PATTERN) -> None:
        self._pattern = re.compile(pattern)
        self._links: dict[str, HostLink] = {}
        self._holders: dict[str, set[int]] = {}  # address -> indices of links that have it

    def set_link(self, name: str, link: HostLink | None) -> None:
        """Learn of a link; None means "no longer"."""
        self._links.pop(name, None)
        if link is not None:
            self._links[name] = link

    def set_address(self, index: int, address: str, *, is_there: bool) -> None:
        """Learn of an address, given without a length."""
        holders = self._holders.setdefault(address, set())
        (holders.add if is_there else holders.discard)(index)
        if not holders:
            del self._holders[address]

    def parent_of(self, address: str) -> str:
        """Return the name of the link that has an address; "" if none has."""
        holders = self._holders.get(address, set())
        return min(
            (name for name, link in self._links.items() if link.index in holders), default=""
        )

    @property
    def mtu_bytes(self) -> int:
        """The smallest MTU of the links that lead out."""
        return min(
            (
                link.mtu_bytes
                for name, link in self._links.items()
                if link.is_up and self._pattern.match(name)
            ),
            default=UNKNOWN_MTU_BYTES,
        )
