"""Keep the tunnel devices as intended: there, of the right make, with their address, up.

    intended (from core) --+
                           +--> plan --> create, adjust, delete --> TunnelDevices --> kernel
    actual (read back)  ---+

A device whose make differs (network, port, own address, parent, MAC) is made anew; everything
else is adjusted while packets flow. A device that is no longer intended stays for a while, since
other nodes learn of it a moment later and go on sending until then: `retire` deletes it, after
the routes that lead elsewhere are in.

Ownership: the names `vxlan.calico`, `vxlan-v6.calico` and `tunl0`. An IPIP device is the kernel's
own: it is never deleted, only emptied.

Cost: nothing while nothing changed. Devices are read back when intent changes, and by a timer.
Failure: by name of the device, until its intent changes or a resync.
Source: felix spec 6.9.
"""

from collections.abc import Callable, Hashable, Mapping
from typing import Protocol

from calico.core.intent.devices import Device
from calico.kernel.netlink import KernelError
from calico.reconcile.outcome import Outcome

LINGER_SECONDS = 15.0


class TunnelDevices(Protocol):
    """The kernel as needed here: kernel/tunnels.py for real, kernel/fake.py in tests."""

    def read_back(self) -> Mapping[str, Device]:
        """Return the devices of our names that are up; others read as they can be."""
        ...

    def create(self, name: str, device: Device) -> None:
        """Make a device, with its address, up. Raises KernelError."""
        ...

    def adjust(self, name: str, device: Device) -> None:
        """Set MTU and address, raise it. Raises KernelError."""
        ...

    def delete(self, name: str) -> None:
        """Delete a device, or empty it if it is the kernel's. Absent is fine."""
        ...


def make(device: Device) -> tuple[object, ...]:
    """Say what cannot be changed of a device."""
    return device.kind, device.local, device.parent, device.mac, device.vni, device.port


class TunnelReconciler:
    """Owns the tunnel devices. The agent's loop is its only caller."""

    def __init__(self, table: TunnelDevices, now: Callable[[], float]) -> None:
        self._table, self._now = table, now
        self._intended: dict[str, Device] = {}
        self._unwanted_since: dict[str, float] = {}
        self._is_due = True
        self._failed: dict[Hashable, str] = {}

    def update(self, delta: Mapping[str, Device | None]) -> None:
        """Accept new intent; None means "no such device". Touches memory only."""
        for name, device in delta.items():
            self._is_due = True
            self._intended.pop(name, None)
            self._unwanted_since.pop(name, None)
            if device is not None:
                self._intended[name] = device

    def queue_resync(self) -> None:
        """Look at the devices again: on a timer, after a failure, on drift."""
        self._is_due = True

    def apply(self) -> Outcome:
        """Make what is missing, mend what is wrong. Raises KernelError if unreadable."""
        if not self._is_due:
            return Outcome(0, dict(self._failed))
        actual = self._table.read_back()
        self._is_due = False
        self._failed.clear()
        applied = 0
        for name, device in sorted(self._intended.items()):
            if actual.get(name) != device:
                applied += self._mend(name, device, actual.get(name))
        for name in actual.keys() - self._intended.keys():
            self._unwanted_since.setdefault(name, self._now())
        return Outcome(applied, dict(self._failed))

    def retire(self) -> Outcome:
        """Delete what has not been wanted for long enough."""
        applied = 0
        for name, since in list(self._unwanted_since.items()):
            if self._now() < since + LINGER_SECONDS:
                continue
            try:
                self._table.delete(name)
            except KernelError as error:
                self._failed[name] = str(error)
                continue
            del self._unwanted_since[name]
            applied += 1
        return Outcome(applied, dict(self._failed))

    def _mend(self, name: str, device: Device, actual: Device | None) -> bool:
        try:
            if actual is not None and make(actual) == make(device):
                self._table.adjust(name, device)
            else:
                if actual is not None:
                    self._table.delete(name)
                self._table.create(name, device)
        except KernelError as error:
            self._failed[name] = str(error)
            return False
        return True


class Retirement:
    """The tunnels' second step: see `TunnelReconciler.retire`."""

    def __init__(self, tunnels: TunnelReconciler) -> None:
        self.apply = tunnels.retire
