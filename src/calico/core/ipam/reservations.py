"""The addresses that are never handed out by themselves (IPReservation).

    reservedCIDRs of all objects --> Reserved --> whole block? any of it? this address?

Texts that are neither a CIDR nor an address are left out. What remains is merged, so that a block
covered by two halves counts as covered.

Source: shared/spec datastore-etcd 1.9.12.
"""

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    collapse_addresses,
    ip_network,
)
from typing import TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network


@lru_cache(maxsize=4_096)
def network_of(cidr: str) -> Network:
    """Read a block's CIDR; the same few come back with every request. Raises ValueError."""
    return ip_network(cidr)


class Reserved:
    """The union of all reservations, as disjoint networks."""

    def __init__(self, cidrs: Iterable[str] = ()) -> None:
        networks = [network for text in cidrs if (network := _parsed(text.strip()))]
        self.networks: tuple[Network, ...] = (
            *collapse_addresses(n for n in networks if isinstance(n, IPv4Network)),
            *collapse_addresses(n for n in networks if isinstance(n, IPv6Network)),
        )

    def overlaps(self, network: Network) -> bool:
        """Tell whether any address of `network` is reserved."""
        return any(n.overlaps(network) for n in self._of(network.version))

    def covering(self, network: Network) -> Network | None:
        """Give the reserved span that holds all of `network`, if one does."""
        for reserved in self._of(network.version):
            if reserved.supernet_of(network):  # type: ignore[arg-type]  # versions are equal
                return reserved
        return None

    def holds(self, address: Address) -> bool:
        """Tell whether `address` is reserved."""
        return any(address in n for n in self._of(address.version))

    def count_within(self, network: Network) -> int:
        """Count the reserved addresses of `network`."""
        if self.covering(network):
            return network.num_addresses
        inside = (n for n in self._of(network.version) if n.overlaps(network))
        return sum(n.num_addresses for n in inside)

    def _of(self, version: int) -> Iterable[Network]:
        return (n for n in self.networks if n.version == version)


def _parsed(text: str) -> Network | None:
    try:
        return ip_network(text, strict=False)
    except ValueError:
        return None
