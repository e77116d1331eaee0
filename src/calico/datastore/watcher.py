"""Follow one range of the datastore for ever: list, then watch, over every loss.

    list --> every record --+
                            +--> put({path: Entry or None, ..., WatchKey: WatchState}) --> Inbox
    watch --> what changed -+

    connection lost ----> watch again from the revision reached: nothing is missed
    history compacted --> list again, and put the difference to what was put before,
                          deletions included

Each `put` carries the state that belongs to its records, so whoever takes them together knows up
to which revision of the store they are complete. In sync once, in sync always: a lost connection
is told as `disconnected_since`, and takes nothing back.

Ownership: one thread each; it touches the datastore and `put`, nothing else.

Invariant: the records put so far, each at its latest, are the range as it was at `revision`.
"""

import logging
import threading
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from calico.datastore.client import Compacted, Datastore, DatastoreError, Entry, Watch
from calico.telemetry.log import Repeats

log = logging.getLogger(__name__)

FIRST_RETRY_SECONDS, LAST_RETRY_SECONDS = 0.05, 0.5
WAIT_SECONDS = 60.0
STOP_SECONDS = 2.0


class WatchKey(NamedTuple):
    """Under which a watcher puts its state, beside paths."""

    prefix: str


class WatchState(Struct, frozen=True):
    """How far one range has been followed.

    `disconnected_since`: monotonic seconds, None while connected; `reason` says what happened.
    `is_in_sync`: everything was put at least once.
    """

    prefix: str
    revision: int = 0
    is_in_sync: bool = False
    disconnected_since: float | None = None
    reason: str = ""


Updates: TypeAlias = Mapping[Hashable, object]  # path -> Entry or None; WatchKey -> WatchState


class Watcher:
    """Follows `prefix` from `start` to `close`."""

    def __init__(
        self,
        datastore: Datastore,
        prefix: str,
        put: Callable[[Updates], None],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._datastore = datastore
        self._prefix = prefix
        self._put = put
        self._now = now
        self._state = WatchState(prefix)
        self._revisions: dict[str, int] = {}  # what was put and exists, by path after the prefix
        self._must_list = True
        self._failures = Repeats()
        self._stopping = threading.Event()
        self._watch: Watch | None = None
        self._thread = threading.Thread(target=self._run, name=f"watcher {prefix}", daemon=True)

    def start(self) -> None:
        """Begin; the first `put` comes with everything there is."""
        self._thread.start()

    def close(self) -> None:
        """Stop. Nothing is put afterwards."""
        self._stopping.set()
        if watch := self._watch:
            watch.close()
        self._thread.join(STOP_SECONDS)  # a call under way may last to its own deadline

    def _run(self) -> None:
        retry_seconds = FIRST_RETRY_SECONDS
        while not self._stopping.is_set():
            reached = self._state.revision
            try:
                self._follow()
            except Compacted as error:
                log.info("history is gone, listing again", extra=self._facts(error))
                self._must_list = True
                continue
            except DatastoreError as error:
                self._note_lost(error)
            progressed = self._state.revision > reached
            retry_seconds = (
                FIRST_RETRY_SECONDS if progressed else min(retry_seconds * 2, LAST_RETRY_SECONDS)
            )
            self._stopping.wait(retry_seconds)

    def _follow(self) -> None:
        """List if need be, then pass on what the watch says, until something breaks."""
        if self._must_list:
            self._list()
            self._must_list = False
        self._watch = watch = self._datastore.watch(self._prefix, self._state.revision)
        self._note_connected()
        try:
            while not self._stopping.is_set():
                batch = watch.next(WAIT_SECONDS)
                if batch is not None:
                    self._deliver(batch.updates, batch.revision)
        finally:
            watch.close()

    def _list(self) -> None:
        """Put everything that differs; nothing of the listing is kept for as long as we watch."""
        listing = self._datastore.list(self._prefix)
        self._deliver(self._difference(listing.entries, listing.revision), listing.revision)

    def _deliver(self, updates: Mapping[str, Entry | None], revision: int) -> None:
        if self._stopping.is_set():
            return
        common = len(self._prefix)
        for path, entry in updates.items():
            if entry is None:
                self._revisions.pop(path[common:], None)
            else:
                self._revisions[path[common:]] = entry.revision
        state = replace(self._state, revision=revision, is_in_sync=True)
        self._put_state(state, updates)

    def _put_state(self, state: WatchState, updates: Mapping[str, Entry | None]) -> None:
        self._state = state
        news: dict[Hashable, object] = dict(updates.items())
        news[WatchKey(self._prefix)] = state
        self._put(news)

    def _difference(self, entries: Sequence[Entry], revision: int) -> dict[str, Entry | None]:
        """Say what a listing changes in what was put before."""
        # A store that went back in time was restored: equal revisions no longer mean equal records
        restored = revision < self._state.revision
        listed = {entry.path for entry in entries}
        known = {self._prefix + rest: revision for rest, revision in self._revisions.items()}
        gone: dict[str, Entry | None] = {path: None for path in known if path not in listed}
        return gone | {
            entry.path: entry
            for entry in entries
            if restored or known.get(entry.path) != entry.revision
        }

    def _note_lost(self, error: DatastoreError) -> None:
        if self._stopping.is_set():
            return
        if count := self._failures.note(self._prefix):
            log.warning("datastore lost, trying again", extra=self._facts(error, failures=count))
        since = self._state.disconnected_since
        since = self._now() if since is None else since
        state = replace(self._state, disconnected_since=since, reason=str(error))
        if state != self._state:
            self._put_state(state, {})

    def _note_connected(self) -> None:
        if self._state.disconnected_since is None:
            return
        away = self._now() - self._state.disconnected_since
        log.info("datastore is back", extra=self._facts(seconds=round(away, 1)))
        self._failures.clear(self._prefix)
        self._put_state(replace(self._state, disconnected_since=None, reason=""), {})

    def _facts(self, error: DatastoreError | None = None, **facts: object) -> dict[str, object]:
        reason = {} if error is None else {"reason": str(error)}
        return {"prefix": self._prefix, "revision": self._state.revision, **facts, **reason}
