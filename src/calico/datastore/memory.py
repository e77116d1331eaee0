"""The datastore's promises kept in memory: the twin of etcd.py, for tests and for dry runs.

    commit --> records {path: Entry} --> get, list
       `-----> history [(revision, path)] --> watches, each from the revision it asked for

Every write that changes something makes one new revision of the whole store, as in etcd. A lease
ends by the clock handed in; expired records go with the next call of anybody.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence

from calico.datastore.changes import check_changes
from calico.datastore.client import (
    Change,
    Compacted,
    Conflict,
    DatastoreError,
    Delete,
    Entry,
    Listing,
    NotFound,
    Put,
    Unavailable,
    Unwritten,
    WatchBatch,
)

FIRST_REVISION = 1  # an empty etcd is at 1


class MemoryDatastore:
    """A `Datastore`, empty at first. `now` gives seconds, for leases."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._records: dict[str, Entry] = {}
        self._history: list[tuple[int, str]] = []  # what changed when; the how is in _records
        self._revision = FIRST_REVISION
        self._compacted = 0
        self._watches: set[MemoryWatch] = set()
        self._leases = 0
        self._expiry: dict[str, float] = {}

    def get(self, path: str) -> Entry:
        """Read one record. Raises NotFound."""
        with self._lock:
            self._expire()
            if path not in self._records:
                raise NotFound(path)
            return self._records[path]

    def list(self, prefix: str) -> Listing:
        """Read everything whose path starts with `prefix`, at one revision."""
        with self._lock:
            self._expire()
            found = sorted(path for path in self._records if path.startswith(prefix))
            return Listing([self._records[path] for path in found], self._revision)

    def watch(self, prefix: str, after_revision: int) -> "MemoryWatch":
        """Follow every change under `prefix` made after `after_revision`."""
        with self._lock:
            self._expire()
            watch = MemoryWatch(prefix, after_revision, self._watches.discard)
            if after_revision + 1 < self._compacted or after_revision > self._revision:
                watch.end(Compacted(f"history after {after_revision} is gone"))
                return watch
            missed = [path for revision, path in self._history if revision > after_revision]
            watch.offer({path: self._records.get(path) for path in missed}, self._revision)
            self._watches.add(watch)
            return watch

    def commit(self, changes: Sequence[Change]) -> int:
        """Make all changes or none; return the store's revision. Raises Conflict for the first."""
        check_changes(changes)
        with self._lock:
            self._expire()
            for change in changes:
                self._check(change)
            self._write(changes)
            return self._revision

    def compact(self, revision: int) -> None:
        """Drop the history before `revision`: watches that need it raise Compacted."""
        with self._lock:
            self._compacted = revision
            self._history = [item for item in self._history if item[0] >= revision]

    def close(self) -> None:
        """Give up nothing: there is no connection."""

    def _check(self, change: Change) -> None:
        if isinstance(change, Unwritten):
            for path in sorted(path for path in self._records if path.startswith(change.prefix)):
                if self._records[path].revision > change.since:
                    raise Conflict(path, self._records[path])
            return
        actual = self._records.get(change.path)
        found = actual.revision if actual is not None else 0
        if change.expected is not None and change.expected != found:
            raise Conflict(change.path, actual)

    def _expire(self) -> None:
        now = self._now()
        gone = [Delete(path) for path, at in self._expiry.items() if at <= now]
        if gone:
            self._write(gone)

    def _write(self, changes: Sequence[Change]) -> None:
        changing: list[Put | Delete] = [
            change
            for change in changes
            if isinstance(change, Put)
            or (isinstance(change, Delete) and change.path in self._records)
        ]
        if not changing:
            return
        self._revision += 1
        for change in changing:
            self._expiry.pop(change.path, None)
            if isinstance(change, Put):
                self._put(change)
            else:
                del self._records[change.path]
            self._history.append((self._revision, change.path))
        now = {change.path: self._records.get(change.path) for change in changing}
        for watch in tuple(self._watches):
            watch.offer(now, self._revision)

    def _put(self, put: Put) -> None:
        lease = 0
        if put.ttl_seconds:
            self._leases += 1
            lease = self._leases
            self._expiry[put.path] = self._now() + put.ttl_seconds
        self._records[put.path] = Entry(put.path, put.value, self._revision, lease)


class MemoryWatch:
    """A `Watch` of a MemoryDatastore, which offers it every write that it makes."""

    def __init__(
        self, prefix: str, after_revision: int, forget: Callable[["MemoryWatch"], None]
    ) -> None:
        self._prefix = prefix
        self._revision = after_revision
        self._forget = forget
        self._arrived = threading.Condition()
        self._updates: dict[str, Entry | None] = {}
        self._ended: DatastoreError | None = None

    def offer(self, updates: Mapping[str, Entry | None], revision: int) -> None:
        """Take what is under our prefix."""
        ours = {path: entry for path, entry in updates.items() if path.startswith(self._prefix)}
        with self._arrived:
            if ours:
                self._updates.update(ours)
                self._revision = revision
                self._arrived.notify_all()

    def end(self, reason: DatastoreError) -> None:
        """Let `next` raise this once it has nothing more to give."""
        with self._arrived:
            self._ended = self._ended or reason
            self._arrived.notify_all()

    def next(self, wait_seconds: float) -> WatchBatch | None:
        """Return what has arrived, or None when nothing came in time."""
        with self._arrived:
            self._arrived.wait_for(lambda: bool(self._updates or self._ended), wait_seconds)
            if self._updates:
                updates, self._updates = self._updates, {}
                return WatchBatch(updates, self._revision)
            if self._ended is not None:
                raise self._ended
            return None

    def close(self) -> None:
        """Stop; a `next` that waits ends as Unavailable."""
        self._forget(self)
        self.end(Unavailable("the watch was closed"))
