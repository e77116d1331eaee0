"""The datastore in a real etcd, by gRPC.

    get, list --> Range (pages of 1,000 at the revision of the first)
    commit    --> Txn: IF every expected revision holds THEN puts and deletes ELSE read them
    watch     --> etcd_watch.py, one stream each

The ELSE branch reads what stands in the way in the same transaction, so a Conflict carries the
record exactly as it was when it refused us.

Source: shared/spec datastore-etcd 1.3.
"""

from collections.abc import Iterator, Sequence

from calico.datastore.changes import check_changes
from calico.datastore.client import (
    Change,
    Compacted,
    Conflict,
    Delete,
    Entry,
    Listing,
    NotFound,
    Put,
    Unwritten,
)
from calico.datastore.etcd_channel import (
    COMPACT,
    DEADLINE_SECONDS,
    LEASE_GRANT,
    RANGE,
    TXN,
    Connection,
)
from calico.datastore.etcd_rpc import etcd_pb2 as rpc
from calico.datastore.etcd_watch import EtcdWatch, range_end
from calico.datastore.settings import Settings

PAGE = 1_000
LIST_ATTEMPTS = 3


class EtcdDatastore:
    """A `Datastore`. Connecting happens with the first call. Raises SettingsError."""

    def __init__(self, settings: Settings, deadline_seconds: float = DEADLINE_SECONDS) -> None:
        self._connection = Connection(settings, deadline_seconds)

    def get(self, path: str) -> Entry:
        """Read one record. Raises NotFound."""
        found = self._connection.call(RANGE, rpc.RangeRequest(key=path.encode())).kvs
        if not found:
            raise NotFound(path)
        return _entry(found[0])

    def list(self, prefix: str) -> Listing:
        """Read everything whose path starts with `prefix`, at one revision."""
        for attempt in range(1, LIST_ATTEMPTS + 1):
            try:
                return self._list_once(prefix)
            except Compacted:  # history went while we paged; the next try has a newer revision
                if attempt == LIST_ATTEMPTS:
                    raise
        raise AssertionError("unreachable")

    def watch(self, prefix: str, after_revision: int) -> EtcdWatch:
        """Follow every change under `prefix` made after `after_revision`."""
        return EtcdWatch(self._connection, prefix, after_revision)

    def commit(self, changes: Sequence[Change]) -> int:
        """Make all changes or none; return the store's revision. Raises Conflict for the first."""
        check_changes(changes)
        guarded = [c for c in changes if isinstance(c, Unwritten) or c.expected is not None]
        request = rpc.TxnRequest(
            compare=[_compare(change) for change in guarded],
            success=[self._operation(c) for c in changes if isinstance(c, Put | Delete)],
            failure=[_read(change) for change in guarded],
        )
        answer = self._connection.call(TXN, request)
        if answer.succeeded:
            return answer.header.revision
        for change, response in zip(guarded, answer.responses, strict=True):
            found = response.response_range.kvs
            if isinstance(change, Unwritten):
                if found:
                    raise Conflict(found[0].key.decode(), _entry(found[0]))
            elif (found[0].mod_revision if found else 0) != change.expected:
                raise Conflict(change.path, _entry(found[0]) if found else None)
        raise AssertionError("etcd refused a transaction whose every condition holds")

    def compact(self, revision: int) -> None:
        """Drop the history before `revision`."""
        self._connection.call(COMPACT, rpc.CompactionRequest(revision=revision, physical=True))

    def close(self) -> None:
        """Give up the connection."""
        self._connection.close()

    def _list_once(self, prefix: str) -> Listing:
        entries: list[Entry] = []
        revision = 0
        for page in self._pages(prefix):
            revision = revision or page.header.revision
            entries.extend(map(_entry, page.kvs))
        return Listing(entries, revision)

    def _pages(self, prefix: str) -> Iterator[rpc.RangeResponse]:
        end = range_end(prefix)
        request = rpc.RangeRequest(key=prefix.encode() or b"\0", range_end=end, limit=PAGE)
        page = self._connection.call(RANGE, request)
        yield page
        revision = page.header.revision
        while page.more:
            after = page.kvs[-1].key + b"\0"
            request = rpc.RangeRequest(key=after, range_end=end, limit=PAGE, revision=revision)
            page = self._connection.call(RANGE, request)
            yield page

    def _operation(self, change: Put | Delete) -> rpc.RequestOp:
        key = change.path.encode()
        if isinstance(change, Delete):
            return rpc.RequestOp(request_delete_range=rpc.DeleteRangeRequest(key=key))
        lease = self._lease(change.ttl_seconds) if change.ttl_seconds else 0
        put = rpc.PutRequest(key=key, value=change.value, lease=lease)
        return rpc.RequestOp(request_put=put)

    def _lease(self, seconds: int) -> int:
        # A new lease for every write, as Calico does; the old one ends by itself.
        return self._connection.call(LEASE_GRANT, rpc.LeaseGrantRequest(TTL=seconds)).ID


def _entry(kv: rpc.KeyValue) -> Entry:
    return Entry(kv.key.decode(), kv.value, kv.mod_revision, kv.lease)


def _compare(change: Change) -> rpc.Compare:
    if isinstance(change, Unwritten):
        return rpc.Compare(
            result=rpc.Compare.LESS,
            target=rpc.Compare.MOD,
            key=change.prefix.encode(),
            range_end=range_end(change.prefix),
            mod_revision=change.since + 1,
        )
    # A record that does not exist has mod_revision 0, so absence needs no case of its own.
    return rpc.Compare(
        result=rpc.Compare.EQUAL,
        target=rpc.Compare.MOD,
        key=change.path.encode(),
        mod_revision=change.expected,
    )


def _read(change: Change) -> rpc.RequestOp:
    """Read what a guard is about: the record, or the first one that was written since."""
    if isinstance(change, Unwritten):
        request = rpc.RangeRequest(
            key=change.prefix.encode(),
            range_end=range_end(change.prefix),
            limit=1,
            min_mod_revision=change.since + 1,
        )
    else:
        request = rpc.RangeRequest(key=change.path.encode())
    return rpc.RequestOp(request_range=request)
