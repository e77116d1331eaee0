"""Follow one range of etcd: a stream of events becomes batches of "how each record is now".

    etcd --stream--> reader thread --{path: latest}, revision--> next(wait_seconds) --> WatchBatch

The reader takes responses as they come, so etcd never waits for us, and merges what the consumer
has not fetched yet: memory is bounded by the number of paths, however often they change (etcd
itself sends 20,000 events for 20,000 writes of one key).

The revision of a batch is that of its last event. The one in a response's header may be newer
than its events; only a progress response, which has none, vouches for its header.

Failure: history that is gone is Compacted, also when etcd is *behind* us (restored from a backup):
it would let us wait in silence. Everything else that ends a stream is Unavailable.

Source: etcd api v3 (Watch); shared/spec datastore-etcd 1.3.2.
"""

import threading
from collections.abc import Iterator

import grpc

from calico.datastore.client import Compacted, DatastoreError, Entry, Unavailable, WatchBatch
from calico.datastore.etcd_channel import DEADLINE_SECONDS, WATCH, Connection
from calico.datastore.etcd_rpc import etcd_pb2 as rpc


def range_end(prefix: str) -> bytes:
    """Give the first key after all that start with `prefix`; etcd reads zero as "no end"."""
    key = prefix.encode().rstrip(b"\xff")
    return key[:-1] + bytes([key[-1] + 1]) if key else b"\0"


class EtcdWatch:
    """A `Watch`: see datastore/client.py."""

    def __init__(self, connection: Connection, prefix: str, after_revision: int) -> None:
        self._connection = connection
        self._after = after_revision
        self._arrived = threading.Condition()
        self._created = False
        self._updates: dict[str, Entry | None] = {}
        self._revision = after_revision
        self._fetched = after_revision
        self._ended: DatastoreError | None = None
        self._released = threading.Event()  # lets gRPC's sender of requests go home
        create = rpc.WatchCreateRequest(
            key=prefix.encode() or b"\0",
            range_end=range_end(prefix),
            start_revision=after_revision + 1,
            progress_notify=True,
        )
        self._call = connection.stream(WATCH, self._requests(create))
        threading.Thread(target=self._read, name=f"watch {prefix}", daemon=True).start()
        self._wait_until_created()

    def next(self, wait_seconds: float) -> WatchBatch | None:
        """Return what has arrived, or None when nothing came in time."""
        with self._arrived:
            self._arrived.wait_for(self._has_news, wait_seconds)
            if self._revision > self._fetched:
                updates, self._updates = self._updates, {}
                self._fetched = self._revision
                return WatchBatch(updates, self._revision)
            if self._ended is not None:
                raise self._ended
            return None

    def close(self) -> None:
        """Stop; a `next` that waits ends as Unavailable."""
        self._end(Unavailable("the watch was closed"))
        self._call.cancel()

    def _wait_until_created(self) -> None:
        with self._arrived:
            self._arrived.wait_for(lambda: self._created or self._ended, DEADLINE_SECONDS)
            created, ended = self._created, self._ended
        if not created:
            self.close()
            late = Unavailable(f"etcd did not start the watch within {DEADLINE_SECONDS:g} s")
            raise ended or late

    def _has_news(self) -> bool:
        return self._revision > self._fetched or self._ended is not None

    def _requests(self, create: rpc.WatchCreateRequest) -> Iterator[rpc.WatchRequest]:
        yield rpc.WatchRequest(create_request=create)
        self._released.wait()  # the end of the requests could be taken for the end of the watch

    def _end(self, reason: DatastoreError) -> None:
        self._released.set()
        with self._arrived:
            self._ended = self._ended or reason
            self._arrived.notify_all()

    def _read(self) -> None:
        try:
            for response in self._call:
                self._take(response)
            self._end(Unavailable("etcd ended the watch"))
        except grpc.RpcError as error:
            if self._ended is None:
                self._connection.lost()
                self._end(_explained(self._connection, error))
        except DatastoreError as error:
            self._end(error)
            self._call.cancel()

    def _take(self, response: rpc.WatchResponse) -> None:
        if response.canceled:
            if response.compact_revision or "compacted" in response.cancel_reason:
                raise Compacted(f"history before {response.compact_revision} is gone")
            raise Unavailable(f"etcd cancelled the watch: {response.cancel_reason}")
        if response.created:
            if response.header.revision < self._after:
                raise Compacted("etcd is older than what we have seen: it was restored")
            with self._arrived:
                self._created = True
                self._arrived.notify_all()
            return
        events = response.events
        updates = {e.kv.key.decode(): _entry(e) for e in events}
        revision = events[-1].kv.mod_revision if events else response.header.revision
        with self._arrived:
            self._updates.update(updates)
            self._revision = max(self._revision, revision)
            self._arrived.notify_all()


def _entry(event: rpc.Event) -> Entry | None:
    kv = event.kv
    if event.type == rpc.Event.DELETE:
        return None
    return Entry(kv.key.decode(), kv.value, kv.mod_revision, kv.lease)


def _explained(connection: Connection, error: grpc.RpcError) -> DatastoreError:
    try:
        connection.explain(error)
    except DatastoreError as explained:
        return explained
