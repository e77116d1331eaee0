"""Keep the kernel settings of workload interfaces, and of the node, as intended.

    {interface: settings} --+
    links, up or not -------+--> read, write what differs --> /proc/sys

Settings belong to an interface and are written together, under its name as the key; "" is the
node itself. An interface starts each life with the kernel's defaults, so its settings are written
whenever it comes up. Nothing is undone: they go with the interface, and the node's stay, as they
do with the original. Links are told as in reconcile/routes.py.

Failure: a setting that is not required may be missing. One that is required fails its interface,
which stands until a resync; before the interface is up it is held back.

Source: felix spec 6.11.
"""

import errno
from collections.abc import Hashable, Mapping
from typing import Protocol

from calico.core.intent.interfaces import Setting, Settings
from calico.kernel.netlink import KernelError
from calico.kernel.routes import INTERFACE_NOT_UP
from calico.reconcile.outcome import Outcome

NODE = ""  # the key of settings that belong to no interface


class SettingTable(Protocol):
    """The kernel as this module needs it: kernel/sysctl.py for real, kernel/fake.py in tests."""

    def read(self, name: str) -> str:
        """Return a value. Raises KernelError."""
        ...

    def write(self, name: str, value: str) -> None:
        """Set a value. Raises KernelError, ENOENT if there is no such setting."""
        ...


class SysctlReconciler:
    """Owns the settings of workload interfaces. The agent's loop is its only caller."""

    def __init__(self, table: SettingTable) -> None:
        self._table = table
        self._intended: dict[str, Settings] = {}
        self._lives: dict[str, int] = {}
        self._due: set[str] = set()
        self._failed: dict[Hashable, str] = {}
        self._held: dict[Hashable, str] = {}

    def update(self, delta: Mapping[str, Settings | None]) -> None:
        """Accept new intent; None means "no settings any more". Touches memory only."""
        for interface, settings in delta.items():
            self._intended.pop(interface, None)
            self._due.add(interface)
            if settings is not None:
                self._intended[interface] = settings
            elif self._lives.get(interface) == 0:
                del self._lives[interface]

    def set_links(self, lives: Mapping[str, int]) -> None:
        """Learn which interfaces are up (a number for that life) or down or gone (0)."""
        for name, life in lives.items():
            if self._lives.get(name) == life:
                continue
            self._lives[name] = life
            if name in self._intended:
                self._due.add(name)
            elif not life:
                del self._lives[name]

    def queue_resync(self) -> None:
        """Distrust all of them."""
        self._due.update(self._intended)

    def apply(self) -> Outcome:
        """Write what differs, on the interfaces that are due."""
        applied = 0
        for interface in sorted(self._due):
            self._failed.pop(interface, None)
            self._held.pop(interface, None)
            if interface and self._lives.get(interface) == 0:
                if interface in self._intended:
                    self._held[interface] = INTERFACE_NOT_UP
                continue
            for setting in self._intended.get(interface, ()):
                applied += self._set(interface, setting)
        self._due.clear()
        return Outcome(applied, dict(self._failed), held=dict(self._held))

    def _set(self, interface: str, setting: Setting) -> bool:
        """Write one setting if it differs; return whether it was written."""
        try:
            if self._table.read(setting.name) == setting.value:
                return False
            self._table.write(setting.name, setting.value)
        except KernelError as error:
            if setting.is_required and interface and error.errno == errno.ENOENT:
                self._held[interface] = INTERFACE_NOT_UP
            elif setting.is_required:
                self._failed[interface] = str(error)
            return False
        return True
