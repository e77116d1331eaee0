"""Routes as the kernel should hold them, and the changes that bring it there."""

from typing import Literal, TypeAlias

from msgspec import Struct

from calico.core.intent.keys import RouteKey

ROUTE_PROTOCOL_BOOT = 3  # Calico's DeviceRouteProtocol default
ROUTE_PROTOCOL_CALICO = 80  # blackholes and cluster routes (felix spec 6.8)
ROUTE_PROTOCOL_BIRD = 12


class Route(Struct, frozen=True):
    """One route of the main table. `interface` is a name; the adapter finds its index."""

    destination: str  # canonical CIDR
    interface: str = ""  # "" for blackholes
    gateway: str = ""
    kind: Literal["unicast", "blackhole"] = "unicast"
    scope: Literal["link", "universe"] = "universe"
    protocol: int = ROUTE_PROTOCOL_BOOT
    metric: int = 0
    source: str = ""  # preferred source address
    mtu_bytes: int | None = None
    onlink: bool = False

    @property
    def key(self) -> RouteKey:
        """What the kernel tells it apart by."""
        return RouteKey(self.destination, self.metric)


class Replace(Struct, frozen=True, tag=True):
    """Make this route be there, whatever stood at its key."""

    route: Route


class Delete(Struct, frozen=True, tag=True):
    """Make this route be gone."""

    route: Route


Change: TypeAlias = Replace | Delete
