"""The datastore as everything else needs it: records with revisions, under path names.

    programs --> Datastore (this protocol) --> etcd.py: real etcd, by gRPC
                                           `-> memory.py: the same promises, for tests

Paths are etcd keys ("/calico/resources/v3/projectcalico.org/nodes/n1"), values the JSON bytes
stored under them. core/model/codec.py turns them into typed resources and back.

    DatastoreError
     |-- NotFound      no such record
     |-- Conflict      a record is not at the revision that was expected
     |-- Compacted     the revision to watch from is too old: list again
     |-- Refused       it understood and said no (permission, quota, size): nothing was written
     `-- Unavailable   no answer in time; nothing is known about what happened

Source: shared/spec datastore-etcd 1.3.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol, TypeAlias

from msgspec import Struct

MUST_NOT_EXIST = 0


class DatastoreError(Exception):
    """What the datastore refused or could not do."""


class NotFound(DatastoreError):
    """There is no record under this path."""


class Compacted(DatastoreError):
    """The history since the wanted revision is gone; list, then watch again."""


class Refused(DatastoreError):
    """The datastore understood and said no: permission, quota, size. Nothing was written."""


class Unavailable(DatastoreError):
    """No answer within the deadline. A write may or may not have happened."""


class Entry(Struct, frozen=True):
    """One record. `revision` is etcd's mod_revision of the record, never 0."""

    path: str
    value: bytes
    revision: int
    lease: int = 0


class Conflict(DatastoreError):
    """The record under `path` is `actual` (None: absent), not what the writer expected."""

    def __init__(self, path: str, actual: Entry | None) -> None:
        super().__init__(f"{path} has changed")
        self.path = path
        self.actual = actual


class Put(Struct, frozen=True, tag=True):
    """Write `value`. `expected`: the revision it must be at, 0 = must not exist, None = any.

    `ttl_seconds`: the record goes by itself unless written again in time.
    """

    path: str
    value: bytes
    expected: int | None = None
    ttl_seconds: int | None = None


class Delete(Struct, frozen=True, tag=True):
    """Delete the record, if it is at revision `expected` (None: whatever is there, or nothing)."""

    path: str
    expected: int | None = None


class Expect(Struct, frozen=True, tag=True):
    """Write nothing, but let the commit fail unless the record is at `expected` (0: absent)."""

    path: str
    expected: int


class Unwritten(Struct, frozen=True, tag=True):
    """Write nothing, but let the commit fail if anything under `prefix` was written after `since`.

    What was deleted since then is not seen: expect the records themselves. With both, a listing
    made at revision `since` is known to be true still, without listing again.
    """

    prefix: str
    since: int


Change: TypeAlias = Put | Delete | Expect | Unwritten


class Listing(Struct, frozen=True):
    """All records under a prefix, in path order, at one revision of the whole store."""

    entries: Sequence[Entry]
    revision: int


class WatchBatch(Struct, frozen=True):
    """The records that changed, each as it is after `revision`; None: deleted."""

    updates: Mapping[str, Entry | None]
    revision: int


class Watch(Protocol):
    """A running watch; not shared between threads."""

    def next(self, wait_seconds: float) -> WatchBatch | None:
        """Return what has arrived, or None when nothing came in time.

        Raises Compacted when history is gone, Unavailable when the connection is.
        """
        ...

    def close(self) -> None:
        """Stop. Safe to call twice, and from another thread."""
        ...


class Datastore(Protocol):
    """Safe for use by several threads. Every call ends by its own deadline (10 s)."""

    def get(self, path: str) -> Entry:
        """Read one record. Raises NotFound."""
        ...

    def list(self, prefix: str) -> Listing:
        """Read everything whose path starts with `prefix`, at one revision."""
        ...

    def watch(self, prefix: str, after_revision: int) -> Watch:
        """Follow every change under `prefix` made after `after_revision`.

        Raises Compacted, here or from `next`, when history is gone, Unavailable.
        """
        ...

    def commit(self, changes: Sequence[Change]) -> int:
        """Make all changes or none; return the store's revision. Raises Conflict for the first.

        At most 128 changes, each path once.
        """
        ...

    def close(self) -> None:
        """Give up the connection."""
        ...
