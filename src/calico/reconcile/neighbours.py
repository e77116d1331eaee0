"""Keep the permanent neighbour entries of workload interfaces equal to the intended ones.

    intended (from core) --+
    links, up or not ------+--> what differs --> NeighbourTable.apply --> kernel
    actual (read back)  ---+

Cost: what changed since the last `apply`, save after a read-back. Ownership: every permanent
entry on a workload interface. An entry whose interface is not up is held back, and written again
each time the interface comes up, since the kernel forgets entries of interfaces that go down.
Links are told as in reconcile/routes.py; failures and their end are as there, too.

Entries of tunnels linger after nobody intends them: routes that lead through the tunnel may go
a little later (see reconcile/routes.py), and until then packets need them.
"""

from collections.abc import Callable, Collection, Hashable, Mapping
from typing import Protocol

from calico.core.intent.interfaces import NeighbourKey
from calico.kernel.routes import INTERFACE_NOT_UP
from calico.reconcile.outcome import Outcome

LINGER_SECONDS = 10.0


def _no_time() -> float:
    """For tables of which nothing lingers."""
    return 0.0


class NeighbourTable(Protocol):
    """The kernel as needed here: kernel/neighbours.py for real, kernel/fake.py in tests."""

    def read_back(self) -> Mapping[NeighbourKey, str]:
        """List our entries. Raises KernelError if they cannot be read."""
        ...

    def apply(self, changes: Mapping[NeighbourKey, str | None]) -> Mapping[NeighbourKey, str]:
        """Attempt every change (None: delete); return {key: reason} of those that failed."""
        ...


class NeighbourReconciler:
    """Owns the permanent entries. The agent's loop is its only caller."""

    def __init__(
        self,
        table: NeighbourTable,
        now: Callable[[], float] = _no_time,
        lingering: Collection[str] = (),
    ) -> None:
        """`lingering` names the interfaces whose entries linger."""
        self._table, self._now, self._lingering = table, now, frozenset(lingering)
        self._leaving: dict[NeighbourKey, float] = {}  # until when
        self._intended: dict[NeighbourKey, str] = {}
        self._by_interface: dict[str, set[NeighbourKey]] = {}
        self._lives: dict[str, int] = {}
        self._actual: dict[NeighbourKey, str] | None = None  # None: unknown, read it back
        self._due: set[NeighbourKey] = set()
        self._failed: dict[Hashable, str] = {}
        self._held: dict[Hashable, str] = {}

    def update(self, delta: Mapping[NeighbourKey, str | None]) -> None:
        """Accept new intent; None means "no such entry". Touches memory only."""
        for key, mac in delta.items():
            self._leaving.pop(key, None)
            if mac is None and key.interface in self._lingering and key in self._intended:
                self._leaving[key] = self._now() + LINGER_SECONDS
            else:
                self._set(key, mac)

    def _set(self, key: NeighbourKey, mac: str | None) -> None:
        self._due.add(key)
        keys = self._by_interface.setdefault(key.interface, set())
        if mac is not None:
            self._intended[key] = mac
            keys.add(key)
            return
        self._intended.pop(key, None)
        keys.discard(key)
        if not keys:
            del self._by_interface[key.interface]
            if self._lives.get(key.interface) == 0:
                del self._lives[key.interface]

    def _let_go(self) -> None:
        """Intend no longer what has lingered long enough."""
        for key, until in list(self._leaving.items()):
            if until <= self._now():
                del self._leaving[key]
                self._set(key, None)

    def set_links(self, lives: Mapping[str, int]) -> None:
        """Learn which interfaces are up (a number for that life) or down or gone (0)."""
        for name, life in lives.items():
            known, keys = self._lives.get(name), self._by_interface.get(name, ())
            if known == life:
                continue
            self._due.update(keys)
            if known is not None and self._actual is not None:
                for key in (*keys, *self._due):  # they went with the interface
                    if key.interface == name:
                        self._actual.pop(key, None)
            self._lives[name] = life
            if not life and not keys:
                del self._lives[name]

    def queue_resync(self) -> None:
        """Distrust what we believe about the kernel."""
        self._actual = None

    def apply(self) -> Outcome:
        """Close the gap. Raises KernelError if the table cannot be read."""
        self._let_go()
        actual, self._actual = self._actual, None  # unknown until this attempt ends well
        if actual is None:
            actual = dict(self._table.read_back())
            self._due.update(self._intended, actual)
            self._failed.clear()  # what still matters is due
        changes: dict[NeighbourKey, str | None] = {}
        for key in sorted(self._due):
            self._failed.pop(key, None)
            self._held.pop(key, None)
            mac = self._intended.get(key)
            if mac is not None and self._lives.get(key.interface) == 0:
                self._held[key] = INTERFACE_NOT_UP
            elif mac != actual.get(key):
                changes[key] = mac
        self._due.clear()
        refused = self._table.apply(changes) if changes else {}
        for key, mac in changes.items():
            actual.pop(key, None)
            if key in refused:
                waits = refused[key] == INTERFACE_NOT_UP
                (self._held if waits else self._failed)[key] = refused[key]
            elif mac is not None:
                actual[key] = mac
        self._actual = actual
        applied = len(changes) - len(refused)
        return Outcome(applied, dict(self._failed), held=dict(self._held))
