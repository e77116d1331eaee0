"""The kernel's twin for tests: the same promises, in memory.

Each fake keeps what the kernel would keep in plain attributes that a test may change behind the
reconciler's back, and refuses what `refused` names. tests/contract/ holds them to the real ones.
"""

import errno
from collections.abc import Collection, Mapping, Sequence

from calico.core.intent.devices import Device
from calico.core.intent.interfaces import NeighbourKey
from calico.core.intent.keys import RouteKey
from calico.core.intent.routes import ROUTE_PROTOCOL_BIRD, Change, Delete, Route
from calico.kernel.netlink import KernelError
from calico.kernel.routes import INTERFACE_NOT_UP, Ownership


class FakeRouteTable:
    """A routing table; `routes` holds everybody's, `up` names the interfaces that are up."""

    def __init__(self, ownership: Ownership | None = None) -> None:
        self._ownership = ownership or Ownership()
        self.routes: dict[RouteKey, Route] = {}
        self.up: set[str] = set()
        self.refused: set[RouteKey] = set()
        self.written: list[Change] = []  # every change that was attempted
        self.read_backs = 0

    def read_back(self) -> dict[RouteKey, Route]:
        """List the routes that are ours."""
        self.read_backs += 1
        return {key: route for key, route in self.routes.items() if self._ownership.owns(route)}

    def destinations_of_bird(self) -> set[str]:
        """List where BIRD's routes lead."""
        bird = [one for one in self.routes.values() if one.protocol == ROUTE_PROTOCOL_BIRD]
        return {route.destination for route in bird}

    def apply(self, changes: Sequence[Change]) -> Mapping[RouteKey, str]:
        """Attempt every change, in order; return {key: reason} of those that failed."""
        failures = {}
        for change in changes:
            key = change.route.key
            self.written.append(change)
            if key in self.refused:
                failures[key] = "refused"
            elif isinstance(change, Delete):
                self._delete(key)
            elif change.route.interface and change.route.interface not in self.up:
                failures[key] = INTERFACE_NOT_UP
            else:
                self.routes[key] = change.route
        return failures

    def set_down(self, interface: str) -> None:
        """Lower or remove an interface: its routes go with it."""
        self.up.discard(interface)
        for key in [key for key, route in self.routes.items() if route.interface == interface]:
            del self.routes[key]

    def _delete(self, key: RouteKey) -> None:
        if not key.metric and ":" not in key.destination:
            same = [other for other in self.routes if other.destination == key.destination]
            key = min(same, default=key)  # IPv4's kernel takes metric 0 for "any"
        self.routes.pop(key, None)


class FakeNeighbourTable:
    """Permanent neighbours; `up` names the interfaces that are up."""

    def __init__(self) -> None:
        self.entries: dict[NeighbourKey, str] = {}
        self.up: set[str] = set()
        self.refused: set[NeighbourKey] = set()

    def read_back(self) -> dict[NeighbourKey, str]:
        """List the entries."""
        return dict(self.entries)

    def apply(self, changes: Mapping[NeighbourKey, str | None]) -> Mapping[NeighbourKey, str]:
        """Attempt every change; None deletes. Return {key: refusal}."""
        failures = {}
        for key, mac in changes.items():
            if key in self.refused:
                failures[key] = "refused"
            elif mac is None:
                self.entries.pop(key, None)
            elif key.interface not in self.up:
                failures[key] = INTERFACE_NOT_UP
            else:
                self.entries[key] = mac
        return failures

    def set_down(self, interface: str) -> None:
        """Lower or remove an interface: its entries go with it."""
        self.up.discard(interface)
        for key in [key for key in self.entries if key.interface == interface]:
            del self.entries[key]


class FakeTunnels:
    """Tunnel devices; `devices` may be changed by others, and making a name in `refused` fails."""

    def __init__(self) -> None:
        self.devices: dict[str, Device] = {}
        self.refused: set[str] = set()
        self.made: list[str] = []  # names, each time they were made

    def read_back(self) -> dict[str, Device]:
        """Return the devices."""
        return dict(self.devices)

    def create(self, name: str, device: Device) -> None:
        """Make a device. Raises KernelError."""
        if name in self.refused:
            raise KernelError(f"create {name}", errno.EOPNOTSUPP)
        self.made.append(name)
        self.devices[name] = device

    def adjust(self, name: str, device: Device) -> None:
        """Change a device."""
        self.devices[name] = device

    def delete(self, name: str) -> None:
        """Delete a device. Absent is fine."""
        self.devices.pop(name, None)


class FakeSettings:
    """What is under /proc/sys; only names in `values` exist. `refused` cannot be written."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self.values = dict(values)
        self.refused: set[str] = set()
        self.written: list[str] = []

    def read(self, name: str) -> str:
        """Return the value. Raises KernelError."""
        if name not in self.values:
            raise KernelError(f"read sysctl {name}", errno.ENOENT)
        return self.values[name]

    def write(self, name: str, value: str) -> None:
        """Set the value. Raises KernelError."""
        self.read(name)
        if name in self.refused:
            raise KernelError(f"write sysctl {name}", errno.EINVAL)
        self.values[name] = value
        self.written.append(name)


class FakeConnections:
    """Connections as (original source, reply source); `refusals` counts down to success."""

    def __init__(self) -> None:
        self.connections: list[tuple[str, str]] = []
        self.refusals = 0

    def delete(self, addresses: Collection[str]) -> int:
        """Delete the connections of these addresses; return how many. Raises KernelError."""
        if self.refusals:
            self.refusals -= 1
            raise KernelError("delete connections", errno.EBUSY)
        before = len(self.connections)
        self.connections = [pair for pair in self.connections if not {*pair} & {*addresses}]
        return before - len(self.connections)
