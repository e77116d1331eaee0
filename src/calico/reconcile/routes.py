"""Keep one kernel routing table equal to the routes we intend.

    intended (from core) --+
    links, up or not ------+--> plan --> deletions -> (forget connections) -> replacements
    actual (read back)  ---+    pure           `----- RouteTable.apply -----'
    drift (notified) ------'

Cost: what changed since the last `apply`, never the size of the table, save after a read-back.

Ownership: a `RouteTable` lists only routes that are Calico's, so an agent that has just started,
with no memory, can tell its own leftovers from everyone else's. A route that nobody intends on an
interface that appeared less than ten seconds ago is left: whoever makes interfaces may be quicker
than the datastore.

A route to an interface that is not up is held back, and written when a notification says it is.
What is known of an interface is a number, its life: 0 while it is down or missing, another one
each time it came up, since the kernel drops the routes of an interface that goes down.

A route to another node's workloads that nobody intends any more may have been handed over: to
BIRD. It goes once BIRD's own is there, or after a while if none comes.

The connections of an address that leaves a workload are forgotten before anybody else gets the
address, and otherwise once there is nothing better to do: the kernel needs 25 ms to look for them.

Failure: one bad route never holds up the others. What failed is reported by key and left until
its intent changes or the table is read back; the loop queues that resync with backoff.

Source: felix spec 6.8; the header of felix/routetable/route_table.go for what goes wrong.
"""

from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from itertools import islice
from typing import Protocol, TypeVar

from calico.core.intent.keys import RouteKey
from calico.core.intent.routes import Change, Delete, Replace, Route
from calico.kernel.routes import INTERFACE_NOT_UP
from calico.reconcile.outcome import Outcome
from calico.reconcile.route_plan import (
    IPV6_DEFAULT_METRIC,
    Plan,
    Routes,
    address_of,
    as_read_back,
    changes_hands,
    is_between_nodes,
    is_of_one_address,
    plan,
)

Member = TypeVar("Member")

GRACE_SECONDS = 10.0
QUIET_SECONDS = 1.0  # departed addresses are collected for so long
YIELD_SECONDS = 5.0  # how long BIRD may take to route what is handed over to it
YIELD_LOOK_SECONDS = 0.05
LONG_AGO = -GRACE_SECONDS


class RouteTable(Protocol):
    """The kernel as this module needs it: kernel/routes.py for real, kernel/fake.py in tests."""

    def read_back(self) -> Routes:
        """List our routes. Raises KernelError if the table cannot be read."""
        ...

    def apply(self, changes: Sequence[Change]) -> Mapping[RouteKey, str]:
        """Attempt every change, in order; return {key: reason} of those that failed."""
        ...


def _forget_nothing(addresses: Collection[str]) -> None:
    """For tables whose routes are never of single addresses."""


class RouteReconciler:
    """Owns one routing table. The agent's loop is its only caller, so it needs no locks."""

    def __init__(
        self,
        table: RouteTable,
        now: Callable[[], float],
        forget: Callable[[Collection[str]], None] = _forget_nothing,
        workload_prefixes: tuple[str, ...] = ("cali",),
        heirs: Callable[[], Collection[str]] | None = None,
    ) -> None:
        """`forget` removes the connections of addresses; see reconcile/connections.py.

        `heirs` lists the destinations that BIRD routes; None: nothing is handed over.
        """
        self._table, self._now, self._forget = table, now, forget
        self._prefixes, self._heirs = workload_prefixes, heirs
        self._intended: dict[RouteKey, Route] = {}
        self._metrics: dict[str, set[int]] = {}  # destination -> metrics intended for it
        self._by_interface: dict[str, set[RouteKey]] = {}  # of those intended
        self._lives: dict[str, int] = {}
        self._first_seen: dict[str, float] = {}
        self._actual: dict[RouteKey, Route] | None = None  # None: unknown, read it back
        self._due: dict[RouteKey, None] = {}  # where the two may differ, oldest first
        self._spared: dict[RouteKey, tuple[str, float]] = {}  # interface, left until when
        self._yielding: dict[RouteKey, float] = {}  # left until when, or until BIRD has it
        self._holders: dict[str, Route] = {}  # by destination: who last had an address
        self._departed: dict[str, float] = {}  # since when; their connections are still there
        self._failed: dict[Hashable, str] = {}
        self._held: dict[Hashable, str] = {}
        self.repairs = 0  # routes of ours that others changed, as notifications told

    def update(self, delta: Mapping[RouteKey, Route | None]) -> None:
        """Accept new intent; None means "no such route". Touches memory only."""
        for given, route in delta.items():
            key = given
            if ":" in given.destination and not given.metric:
                key = RouteKey(given.destination, IPV6_DEFAULT_METRIC)
            self._due[key] = None
            if old := self._intended.pop(key, None):
                _discard(self._metrics, key.destination, key.metric)
                _discard(self._by_interface, old.interface, key)
                self._forget_interface(old.interface)
            if route is not None:
                self._intended[key] = as_read_back(route)
                self._metrics.setdefault(key.destination, set()).add(key.metric)
                self._by_interface.setdefault(route.interface, set()).add(key)
                self._first_seen[route.interface] = LONG_AGO

    def set_links(self, lives: Mapping[str, int]) -> None:
        """Learn which interfaces are up (a number for that life) or down or gone (0)."""
        for name, life in lives.items():
            known, keys = self._lives.get(name), self._by_interface.get(name, ())
            if known == life:
                continue
            self._due |= dict.fromkeys(keys)
            if known is not None:
                self._drop_beliefs(name)
            self._lives[name] = life
            self._first_seen.setdefault(name, self._now())
            self._forget_interface(name)

    def _drop_beliefs(self, interface: str) -> None:
        """Believe no longer in the routes of an interface that is or was down."""
        actual = self._actual or {}
        keys = self._by_interface.get(interface, ())
        for key in (*keys, *self._due, *self._spared):
            if (route := actual.get(key)) and route.interface == interface:
                del actual[key]

    def note(self, key: RouteKey, route: Route | None) -> None:
        """Learn from a notification what someone else made of one route; None: not ours now."""
        if self._actual is None:
            return
        if self._intended.get(key) not in {route, None} and key not in self._due:
            self.repairs += 1
        self._due[key] = None
        self._actual.pop(key, None)
        if route is not None:
            self._actual[key] = route

    def queue_resync(self) -> None:
        """Distrust what we believe about the kernel: on a timer, after a failure, on drift."""
        self._actual = None

    def apply(self, at_most: int = 4_000) -> Outcome:
        """Close the gap at this many keys. Raises KernelError if unreadable."""
        actual, self._actual = self._actual, None  # unknown until this attempt ends well
        if actual is None:
            actual = dict(self._table.read_back())
            self._due = dict.fromkeys((*self._due, *self._intended, *actual))
            self._holders = {**_of_one_address(actual.values()), **self._holders}
            self._failed.clear()  # what still matters is due
        self._recall_spared()
        self._yield(actual)
        batch = list(islice(self._due, at_most))
        self._due = dict.fromkeys(islice(self._due, at_most, None))
        for key in batch:
            self._failed.pop(key, None)
            self._held.pop(key, None)
        self._note_departures(batch)
        if not batch:
            self._forget_departed()
        wanted = {key: self._intended[key] for key in batch if self._is_possible(key)}
        spared = {key for key in batch if self._is_spared(key, actual)}
        spared |= {key for key in batch if self._is_yielding(key, actual)}
        planned = plan(wanted, actual, [key for key in batch if key not in spared])
        applied = self._carry_out(planned, actual)
        self._actual = actual
        return Outcome(
            applied,
            dict(self._failed),
            left=len(self._due),
            held=dict(self._held),
            again_seconds=YIELD_LOOK_SECONDS if self._yielding else None,
        )

    def _carry_out(self, planned: Plan, actual: dict[RouteKey, Route]) -> int:
        """Make the changes, believing in each only once the kernel has taken it."""
        replacements = [*planned.replacements, *self._siblings(planned, actual)]
        kept = self._table.apply(planned.deletions) if planned.deletions else {}
        self._believe(planned.deletions, kept, actual)
        self._forget_before(replacements)
        refused = self._table.apply(replacements) if replacements else {}
        self._believe(replacements, refused, actual)
        self._holders |= _of_one_address(
            change.route for change in replacements if change.route.key not in refused
        )
        changed = {change.route.key for change in (*planned.deletions, *replacements)}
        return len(changed - kept.keys() - refused.keys())

    def _believe(
        self,
        changes: Iterable[Change],
        refused: Mapping[RouteKey, str],
        actual: dict[RouteKey, Route],
    ) -> None:
        """Note what the kernel did; what it refused has left things as they were."""
        for change in changes:
            key, route = change.route.key, change.route
            if key not in refused and isinstance(change, Delete):
                actual.pop(key, None)
            elif key not in refused:
                actual[key] = route
            elif refused[key] == INTERFACE_NOT_UP:
                self._held[key] = INTERFACE_NOT_UP
                self._lives[route.interface] = 0  # as we shall hear, or have not yet been told
                if key in actual:
                    self._due[key] = None  # what stands there goes, at the next turn
            else:
                self._failed[key] = refused[key]

    def _note_departures(self, batch: Iterable[RouteKey]) -> None:
        """Find the addresses that their holders lose, whatever became of the routes."""
        for destination in {key.destination for key in batch} & self._holders.keys():
            metrics = self._metrics.get(destination)
            if not metrics:
                heirs: list[Route | None] = [None]
            else:
                heirs = [self._intended[RouteKey(destination, metric)] for metric in metrics]
            holder = self._holders[destination]
            leaves = all(changes_hands(holder, heir) for heir in heirs)
            if leaves:
                self._departed[destination] = self._now()
            if leaves or not metrics:
                del self._holders[destination]

    def _forget_before(self, replacements: Iterable[Change]) -> None:
        """Forget the connections of departed addresses that somebody gets now."""
        if not self._departed:
            return
        coming = {change.route.destination for change in replacements}
        if returning := sorted(coming & self._departed.keys()):
            self._forget([address_of(destination) for destination in returning])
            for destination in returning:
                del self._departed[destination]

    def _forget_departed(self) -> None:
        """Forget the connections of all departed addresses, in a quiet moment."""
        if self._departed and self._now() >= min(self._departed.values()) + QUIET_SECONDS:
            self._forget([address_of(destination) for destination in self._departed])
            self._departed.clear()

    def _is_possible(self, key: RouteKey) -> bool:
        """Tell whether a route is intended, and hold it back if its interface is not up."""
        route = self._intended.get(key)
        if route is None:
            return False
        if route.interface and self._lives.get(route.interface) == 0:
            self._held[key] = INTERFACE_NOT_UP
            return False
        return True

    def _is_spared(self, key: RouteKey, actual: Routes) -> bool:
        """Spare what nobody intends on a new interface: we may be about to hear of it."""
        route = actual.get(key)
        if route is None or key in self._intended or self._by_interface.get(route.interface):
            return False
        if not route.interface.startswith(self._prefixes):
            return False
        now = self._now()
        until = self._first_seen.setdefault(route.interface, now) + GRACE_SECONDS
        if now < until:
            self._spared[key] = route.interface, until
        return now < until

    def _recall_spared(self) -> None:
        now = self._now()
        for key, (interface, until) in list(self._spared.items()):
            if until <= now or interface in self._by_interface:
                del self._spared[key]
                self._due[key] = None

    def _is_yielding(self, key: RouteKey, actual: Routes) -> bool:
        """Leave a route that may be handed over; `_yield` says when it is."""
        route = actual.get(key)
        if self._heirs is None or route is None or key in self._intended:
            return False
        if not is_between_nodes(route):
            return False
        return self._now() < self._yielding.setdefault(key, self._now() + YIELD_SECONDS)

    def _yield(self, actual: Routes) -> None:
        """Let go of the routes that BIRD has by now, or has not taken in time."""
        if not self._yielding or self._heirs is None:
            return
        has, now = self._heirs(), self._now()
        for key, until in list(self._yielding.items()):
            if key in self._intended or key not in actual:
                del self._yielding[key]
            elif until <= now or key.destination in has:
                self._yielding[key] = now  # over: see `_is_yielding`
                self._due[key] = None

    def _forget_interface(self, name: str) -> None:
        """Keep nothing of an interface that is gone and wanted by none: new names keep coming."""
        if name not in self._by_interface and not self._lives.get(name, 1):
            del self._lives[name]
            self._first_seen.pop(name, None)

    def _siblings(self, planned: Plan, actual: Routes) -> list[Change]:
        """Write again what a deletion may have hit: IPv4's kernel takes metric 0 for "any"."""
        changed = {change.route.key for change in (*planned.deletions, *planned.replacements)}
        keys = (
            RouteKey(change.route.destination, metric)
            for change in planned.deletions
            if not change.route.metric
            for metric in sorted(self._metrics.get(change.route.destination, ()))
        )
        return [Replace(actual[key]) for key in keys if key in actual and key not in changed]


def _of_one_address(routes: Iterable[Route]) -> dict[str, Route]:
    return {route.destination: route for route in routes if is_of_one_address(route)}


def _discard(index: dict[str, set[Member]], where: str, member: Member) -> None:
    """Take a member out of an index that keeps no empty sets."""
    index[where].discard(member)
    if not index[where]:
        del index[where]
