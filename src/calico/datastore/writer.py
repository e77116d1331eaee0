"""Write status: the latest value of each path, from a thread of its own, for as long as it takes.

    the loop --put({path: value or None})--> {path: latest} --commit, in order--> datastore

Who reports never waits, and a datastore that is away costs memory for one value per path. A value
that was replaced before it could be written was never worth writing.

What is refused (too large, say) moves behind the others and is tried again: it holds up nobody.
Status is written without a compare: there is one writer per path (a node's own agent).

Ownership: one thread; it touches nothing but the datastore. Nobody waits for it but `flush`.
Source: shared/spec datastore-etcd 1.7.
"""

import logging
import threading
from collections.abc import Mapping

from msgspec import Struct

from calico.datastore.changes import MAX_CHANGES
from calico.datastore.client import Change, Datastore, DatastoreError, Delete, Put, Refused
from calico.telemetry.log import Repeats

log = logging.getLogger(__name__)

FIRST_RETRY_SECONDS, LAST_RETRY_SECONDS = 0.5, 10.0
MAX_PENDING = 100_000
STOP_SECONDS = 2.0


class Status(Struct, frozen=True):
    """One report; it goes by itself after `ttl_seconds`, if given, unless reported again."""

    value: bytes
    ttl_seconds: int | None = None


class Writer:
    """Writes from `start` to `close`. `max_pending` bounds the paths that wait."""

    def __init__(self, datastore: Datastore, max_pending: int = MAX_PENDING) -> None:
        self._datastore = datastore
        self._max_pending = max_pending
        self._changed = threading.Condition()
        self._pending: dict[str, Status | None] = {}
        self._stopped = threading.Event()
        self._failures = Repeats()
        self._thread = threading.Thread(target=self._run, name="status writer", daemon=True)

    def start(self) -> None:
        """Begin to write what was and will be put."""
        self._thread.start()

    def put(self, statuses: Mapping[str, Status | None]) -> None:
        """Leave reports behind, and return at once; None: delete the record."""
        with self._changed:
            for path, status in statuses.items():
                # A path moves to the end, so that no path is written twice before another once
                self._pending.pop(path, None)
                self._pending[path] = status
            while len(self._pending) > self._max_pending:
                oldest = next(iter(self._pending))
                del self._pending[oldest]
                log.warning("too much status waits, one is lost", extra={"path": oldest})
            self._changed.notify_all()

    def flush(self, wait_seconds: float) -> bool:
        """Wait until everything put so far is written; say whether it was."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._pending, wait_seconds)

    def close(self) -> None:
        """Stop; what is not written yet is lost."""
        with self._changed:
            self._stopped.set()
            self._changed.notify_all()
        if self._thread.ident is not None:
            self._thread.join(STOP_SECONDS)

    def _run(self) -> None:
        retry_seconds = FIRST_RETRY_SECONDS
        while (batch := self._next_batch()) is not None:
            try:
                self._write(batch)
                retry_seconds = FIRST_RETRY_SECONDS
            except DatastoreError as error:
                if count := self._failures.note("write", type(error).__name__):
                    facts = {"reason": str(error), "failures": count, "paths": len(batch)}
                    log.warning("status not written, trying again", extra=facts)
                self._stopped.wait(retry_seconds)
                retry_seconds = min(retry_seconds * 2, LAST_RETRY_SECONDS)

    def _next_batch(self) -> dict[str, Status | None] | None:
        with self._changed:
            self._changed.wait_for(lambda: self._pending or self._stopped.is_set())
            if self._stopped.is_set():
                return None
            return dict(list(self._pending.items())[:MAX_CHANGES])

    def _write(self, batch: Mapping[str, Status | None]) -> None:
        try:
            self._datastore.commit([_change(path, status) for path, status in batch.items()])
        except Refused:
            self._move_back(batch)
            if len(batch) == 1:
                raise
            self._write_singly(batch)
        else:
            self._done(batch)

    def _write_singly(self, batch: Mapping[str, Status | None]) -> None:
        """Write all but what is at fault."""
        refused: Refused | None = None
        for path, status in batch.items():
            try:
                self._write({path: status})
            except Refused as error:
                refused = error
        if refused is not None:
            raise refused

    def _move_back(self, batch: Mapping[str, Status | None]) -> None:
        with self._changed:
            for path in batch:
                self._pending[path] = self._pending.pop(path)

    def _done(self, batch: Mapping[str, Status | None]) -> None:
        with self._changed:
            for path, status in batch.items():
                if self._pending[path] is status:  # else it was put anew while we wrote
                    del self._pending[path]
            self._changed.notify_all()
        if count := self._failures.clear("write"):
            log.info("status is written again", extra={"failures": count})


def _change(path: str, status: Status | None) -> Change:
    if status is None:
        return Delete(path)
    return Put(path, status.value, ttl_seconds=status.ttl_seconds)
