"""The agent's loop: take all that arrived, think, program the kernel, tell who waits.

    Inbox --take--> Records --> Graph --flush--> IntentDelta --> Dataplane --apply--> kernel
                                                     |                |
                                                     `---> InForce <--'  "endpoint E at revision R"

Before the datastore is in sync nothing in the kernel is touched; once in sync, always in sync: a
lost watch is resumed or listed again by the watcher, and the difference is fed.

A whole datastore arrives at once, and takes seconds to read. It is read a part at a time, so that
the loop goes on giving signs of life, and nothing is made of it before all of it is read. A turn
that thought for long leaves rendering and the kernel to the next ones, for the same reason.

What the kernel refuses is reported, left alone, and looked at again at a resync that the loop
queues with backoff. A change of settings, or of anything that the wiring depended on, ends the
loop with `Restart`; the supervisor starts the agent again, traffic undisturbed.

Ownership: this thread owns the graph, the rule sets and every reconciler. Nothing here waits for
anything but the inbox.
"""

import gc
from collections.abc import Callable, Hashable, Mapping
from itertools import islice
from typing import Protocol, TypeGuard

from msgspec import Struct

from calico.core.intent.delta import IntentDelta
from calico.core.intent.keys import EndpointKey, RouteKey
from calico.core.intent.routes import Route
from calico.datastore.client import Entry
from calico.datastore.watcher import WatchState
from calico.felix.in_force import InForce
from calico.felix.inbox import Inbox
from calico.felix.process import tidy
from calico.felix.records import Records
from calico.felix.turns import Turns
from calico.kernel.notifications import Distrusted, LinkChanged, LinkState, RouteChanged
from calico.reconcile.outcome import ClusterWide, Outcome

IDLE_SECONDS = 10.0  # the longest a turn waits; the watchdog wants signs of life
FIRST_RETRY_SECONDS, LAST_RETRY_SECONDS = 0.05, 10.0
READ_AT_ONCE = 4_000  # records, a quarter of a second
LONG_THOUGHT_SECONDS = 0.25
MOST_PUT_OFF = 2


class Restart(Exception):  # it is a request, not an error
    """The agent must start again; the text says why."""


class View(Protocol):
    """core.calc.graph.Graph, as the loop sees it."""

    def flush(self) -> IntentDelta:
        """Return what changed in the intent."""
        ...


class Dataplane(Protocol):
    """felix.dataplane.Dataplane: every reconciler behind one door."""

    def feed(self, delta: IntentDelta) -> None:
        """Accept new intent; touches memory only."""
        ...

    def set_links(self, lives: Mapping[str, int]) -> None:
        """Learn which interfaces are up (a number for that life) or down or gone (0)."""
        ...

    def note_route(self, key: RouteKey, route: Route | None) -> None:
        """Learn what someone else made of one route."""
        ...

    def note_network(self, arrived: Mapping[Hashable, object]) -> None:
        """Learn of the node's own links and addresses, among whatever has arrived."""
        ...

    def queue_resync(self, part: str) -> None:
        """Distrust what is believed of one part of the kernel ("" for all)."""
        ...

    def apply(self) -> Outcome:
        """Close the gap, or a bounded part of it."""
        ...


class Timer(Struct):
    """Something to distrust every so often."""

    part: str
    every_seconds: float
    due: float = 0.0


class Parts(Struct, frozen=True):
    """What the loop works with; felix/wiring.py puts it together."""

    inbox: Inbox[Hashable, object]
    records: Records
    graph: View
    dataplane: Dataplane
    in_force: InForce
    turns: Turns
    timers: tuple[Timer, ...]
    now: Callable[[], float]  # monotonic seconds
    end_turn: Callable[[], None]  # consumers with an output of their own: settings, BIRD


class Loop:
    """One per agent. `run` returns when `is_stopped` says so, or raises Restart."""

    def __init__(self, parts: Parts, ranges: frozenset[str]) -> None:
        self._parts = parts
        self._out_of_sync = set(ranges)
        self._unread: dict[str, Entry | None] = {}
        self._listed: set[str] = set()  # ranges in sync once all of this is read
        self._applied_once = False
        self._waiting: dict[EndpointKey, int | None] = {}  # not yet told; None: to be gone
        self._retry_seconds = FIRST_RETRY_SECONDS
        self._retry_at: float | None = None
        self._left = 0
        self._again_at: float | None = None
        self._thoughts: list[IntentDelta] = []  # not yet fed to the dataplane
        self._put_off = 0  # how often in a row the rest of a turn was left to the next

    @property
    def is_in_sync(self) -> bool:
        """Whether every watched range has been read once."""
        return not self._out_of_sync

    def run(self, is_stopped: Callable[[], bool]) -> None:
        """Turn until stopped. Collection of garbage happens only while there is nothing to do."""
        gc.disable()
        while not is_stopped():
            self.turn(self._wait_seconds())

    def turn(self, wait_seconds: float) -> None:
        """One turn, in full."""
        parts = self._parts
        arrived = parts.inbox.take(wait_seconds)
        started = parts.now()
        is_idle = not (arrived or self._unread or self._left)
        self._unread |= _taken_records(arrived)
        self._note(arrived)
        self._read()
        if self.is_in_sync and not self._unread:
            self._program(started)
            parts.end_turn()
        parts.turns.alive(self.is_in_sync, self._applied_once)
        if is_idle:
            tidy()

    def _read(self) -> None:
        """Read what has arrived, or the next part of it."""
        unread = self._unread
        if len(unread) > READ_AT_ONCE:
            # What is read is let go of, so that what comes of it takes its place in memory.
            part = {path: unread.pop(path) for path in list(islice(unread, READ_AT_ONCE))}
            self._parts.records.feed(part)
            self._parts.turns.reading(len(unread))
            return
        self._unread = {}
        self._parts.records.feed(unread)
        self._out_of_sync -= self._listed
        self._listed.clear()

    def _note(self, arrived: Mapping[Hashable, object]) -> None:
        """Pass on what listeners said besides records."""
        dataplane = self._parts.dataplane
        links = {key.name: _life(value) for key, value in arrived.items() if _is_link(key)}
        if links:
            dataplane.set_links(links)
        dataplane.note_network(arrived)
        for key, value in arrived.items():
            if isinstance(value, WatchState):
                self._note_watch(value)
            elif isinstance(key, Distrusted):
                dataplane.queue_resync(key.part)
            elif isinstance(key, RouteChanged):
                dataplane.note_route(key.key, value if isinstance(value, Route) else None)

    def _note_watch(self, state: WatchState) -> None:
        if state.is_in_sync:
            self._listed.add(state.prefix)
        self._parts.turns.watch_changed(state)

    def _program(self, started: float) -> None:
        parts = self._parts
        delta = parts.graph.flush()
        parts.turns.thought(delta, parts.now() - started)
        self._thoughts.append(delta)
        if self._puts_off(started):
            return
        self._feed()
        self._queue_due_resyncs(started)
        if self._puts_off(started):
            return
        self._put_off = 0
        outcome = parts.dataplane.apply()
        self._left = outcome.left
        self._again_at = None
        if outcome.again_seconds is not None:
            self._again_at = parts.now() + outcome.again_seconds
        if not outcome.left:
            self._report(outcome)
        parts.turns.applied(outcome, parts.now() - started)

    def _puts_off(self, started: float) -> bool:
        """Whether the rest is for the next turn: after a long thought, twice in a row at most."""
        taken = self._parts.now() - started
        if taken <= LONG_THOUGHT_SECONDS or self._put_off == MOST_PUT_OFF:
            return False
        self._parts.turns.put_off(taken)
        self._put_off += 1
        self._left = 1
        return True

    def _feed(self) -> None:
        for delta in self._thoughts:
            self._parts.dataplane.feed(delta)
            for key, endpoint in delta.endpoints.items():
                self._waiting[key] = None if endpoint is None else endpoint.revision
        self._thoughts.clear()

    def _queue_due_resyncs(self, now: float) -> None:
        for timer in self._parts.timers:
            if timer.every_seconds and now >= timer.due:
                if timer.due:
                    self._parts.dataplane.queue_resync(timer.part)
                timer.due = now + timer.every_seconds
        if self._retry_at is not None and now >= self._retry_at:
            self._retry_at = None
            self._parts.dataplane.queue_resync("")

    def _report(self, outcome: Outcome) -> None:
        """Tell who waits: an endpoint is held back by its own failures and by shared ones."""
        self._plan_retry(outcome)
        shared = [f"{k}: {why}" for k, why in outcome.failures.items() if is_shared(k)]
        troubles = {**outcome.held, **outcome.failures}
        refused = {key: why for key, why in troubles.items() if is_endpoint(key)}
        if shared:
            refused |= dict.fromkeys(self._waiting, "; ".join(shared[:3]))
        done = {key: rev for key, rev in self._waiting.items() if rev is None or key not in refused}
        self._waiting = {key: rev for key, rev in self._waiting.items() if key not in done}
        in_force = {key: rev for key, rev in done.items() if rev is not None}
        gone = [key for key, rev in done.items() if rev is None]
        if in_force or gone or not self._applied_once:
            self._parts.in_force.set_applied(in_force, gone)
        if refused:
            self._parts.in_force.set_refused(refused)
        if not self._applied_once and not shared:
            self._applied_once = True
            self._parts.in_force.set_blocked("")
            self._parts.turns.first_applied()
            tidy()
            gc.freeze()  # what is here now mostly stays: not to be looked through again

    def _plan_retry(self, outcome: Outcome) -> None:
        if not outcome.failures:
            self._retry_seconds, self._retry_at = FIRST_RETRY_SECONDS, None
        elif self._retry_at is None:
            self._retry_at = self._parts.now() + self._retry_seconds
            self._retry_seconds = min(self._retry_seconds * 2, LAST_RETRY_SECONDS)

    def _wait_seconds(self) -> float:
        if self._left or self._unread:
            return 0.0
        now = self._parts.now()
        due = [timer.due for timer in self._parts.timers if timer.due]
        due += [at for at in (self._retry_at, self._again_at) if at is not None]
        return max(0.0, min([IDLE_SECONDS, *(at - now for at in due)]))


def is_endpoint(key: Hashable) -> TypeGuard[EndpointKey]:
    """Whether a failure's key names one endpoint."""
    return isinstance(key, EndpointKey)


def is_shared(key: Hashable) -> bool:
    """Whether a failure holds up every endpoint."""
    return not isinstance(key, EndpointKey | ClusterWide)


def _is_link(key: Hashable) -> TypeGuard[LinkChanged]:
    return isinstance(key, LinkChanged)


def _life(value: object) -> int:
    return value.life if isinstance(value, LinkState) else 0


def _taken_records(arrived: dict[Hashable, object]) -> dict[str, Entry | None]:
    """Take the records out of all that arrived."""
    records: dict[str, Entry | None] = {}
    for key in [key for key in arrived if isinstance(key, str)]:
        value = arrived.pop(key)
        if value is None or isinstance(value, Entry):
            records[key] = value
    return records
