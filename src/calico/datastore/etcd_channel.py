"""Calls to an etcd cluster: endpoints, TLS, user and password, deadlines, plain words for errors.

    EtcdDatastore --call--> Connection --gRPC--> the endpoint that answered last
                                 `- after a failure: ask them in turn who is well, until one is

A write is sent once: when the connection breaks under it, nobody knows whether it happened, and
Unavailable says just that. What was never sent, and what only reads, is asked again within the
deadline: so a call waits for an etcd that is starting. gRPC looks for a lost endpoint every half
second (its own default made a node blind for 7.6 s, measured).

Source: etcd api v3; shared/spec datastore-etcd 1.3 (client parameters).
"""

import time
from collections.abc import Callable, Sequence
from typing import Any, Generic, NamedTuple, NoReturn, Protocol, TypeVar

import grpc

from calico.datastore.client import Compacted, Refused, Unavailable
from calico.datastore.etcd_endpoints import checked_endpoints, open_channel
from calico.datastore.etcd_errors import advice, may_repeat, short, token_is_stale
from calico.datastore.etcd_rpc import etcd_pb2 as rpc
from calico.datastore.settings import Settings

DEADLINE_SECONDS = 10.0
PROBE_SECONDS = 1.0
PAUSE_SECONDS = 0.05
CLOSED = "the connection to etcd was closed on our side"


class Message(Protocol):
    """A protobuf message, as far as calls are concerned."""

    def SerializeToString(self) -> bytes:  # noqa: N802  # protobuf's name
        """Encode."""
        ...


Reply = TypeVar("Reply")


class Method(NamedTuple, Generic[Reply]):
    """One procedure of etcd."""

    path: str
    decode: Callable[[bytes], Reply]
    is_read: bool = False  # asking twice does no harm


RANGE = Method("/etcdserverpb.KV/Range", rpc.RangeResponse.FromString, is_read=True)
TXN = Method("/etcdserverpb.KV/Txn", rpc.TxnResponse.FromString)
COMPACT = Method("/etcdserverpb.KV/Compact", rpc.CompactionResponse.FromString)
WATCH = Method("/etcdserverpb.Watch/Watch", rpc.WatchResponse.FromString)
LEASE_GRANT = Method("/etcdserverpb.Lease/LeaseGrant", rpc.LeaseGrantResponse.FromString)
AUTHENTICATE = Method("/etcdserverpb.Auth/Authenticate", rpc.AuthenticateResponse.FromString)
STATUS = Method("/etcdserverpb.Maintenance/Status", rpc.StatusResponse.FromString)


class Connection:
    """Channels to every endpoint of one cluster. Safe for several threads."""

    def __init__(self, settings: Settings, deadline_seconds: float = DEADLINE_SECONDS) -> None:
        self.endpoints = checked_endpoints(settings)
        self._settings = settings
        self._deadline_seconds = deadline_seconds
        self._channels = [open_channel(url, settings) for url in self.endpoints]
        self._current = 0
        self._suspect = False  # ask who is well before the next call
        self._token = ""

    def call(self, method: Method[Reply], request: Message) -> Reply:
        """Ask, and wait for the answer. Raises Unavailable, Refused or Compacted."""
        until = time.monotonic() + self._deadline_seconds
        try:
            return self._call_until(method, request, until)
        except grpc.RpcError as error:
            self.lost()
            self.explain(error)
        except ValueError as error:  # grpc's word for a channel that was closed
            raise Unavailable(CLOSED) from error

    def stream(self, method: Method[Reply], requests: Any) -> Any:  # noqa: ANN401  # a grpc call
        """Open a stream; it breaks at once if its endpoint is not there. Raises Unavailable."""
        until = time.monotonic() + PROBE_SECONDS
        try:
            if self._suspect:
                self._choose_endpoint(until)
            if self._settings.etcd_username and not self._token:
                self._authenticate(until)
            channel = self._channels[self._current]
            stream = channel.stream_stream(method.path, _encode, method.decode)
            # Without a leader a member knows of no changes: it shall say so, and not be silent.
            return stream(requests, metadata=(*self._metadata(), ("hasleader", "true")))
        except grpc.RpcError as error:
            self.lost()
            self.explain(error)
        except ValueError as error:
            raise Unavailable(CLOSED) from error

    def lost(self) -> None:
        """Hear that something broke: the next call looks for a member that is well."""
        self._suspect = True

    def close(self) -> None:
        """Give up all channels; calls under way end as Unavailable."""
        for channel in self._channels:
            channel.close()

    def explain(self, error: Any) -> NoReturn:  # noqa: ANN401  # grpc ships no types
        """Raise our error for gRPC's, saying where and what to check."""
        code, details = error.code(), str(error.details() or "")
        if code == grpc.StatusCode.OUT_OF_RANGE:
            raise Compacted(details) from error
        if what_to_do := advice(code, details):
            raise Refused(f"etcd refused: {details}. {what_to_do}") from error
        waited = code == grpc.StatusCode.DEADLINE_EXCEEDED
        raise Unavailable(self._why_unavailable(details, waited=waited)) from error

    def _call_until(self, method: Method[Reply], request: Message, until: float) -> Reply:
        while True:
            if self._suspect:
                self._choose_endpoint(until)
            try:
                return self._authenticated(method, request, until)
            except grpc.RpcError as error:
                self.lost()
                if not may_repeat(error, is_read=method.is_read) or time.monotonic() >= until:
                    raise
            time.sleep(PAUSE_SECONDS)

    def _call_once(self, method: Method[Reply], request: Message, until: float) -> Reply:
        call = self._channels[self._current].unary_unary(method.path, _encode, method.decode)
        left = max(until - time.monotonic(), 0.001)
        answer: Reply = call(request, timeout=left, metadata=self._metadata())
        return answer

    def _authenticated(self, method: Method[Reply], request: Message, until: float) -> Reply:
        if not self._settings.etcd_username:
            return self._call_once(method, request, until)
        if not self._token:
            self._authenticate(until)
        try:
            return self._call_once(method, request, until)
        except grpc.RpcError as error:
            if not token_is_stale(error):
                raise
        # A restarted etcd forgets tokens. It refused before doing anything: ask again.
        self._authenticate(until)
        return self._call_once(method, request, until)

    def _authenticate(self, until: float) -> None:
        self._token = ""
        request = rpc.AuthenticateRequest(
            name=self._settings.etcd_username, password=self._settings.etcd_password
        )
        self._token = self._call_once(AUTHENTICATE, request, until).token

    def _metadata(self) -> Sequence[tuple[str, str]]:
        return (("token", self._token),) if self._token else ()

    def _choose_endpoint(self, until: float) -> None:
        """Wait until a member is well, and use it. Raises Unavailable."""
        count = len(self.endpoints)
        while True:
            for number in [(self._current + step) % count for step in range(count)]:
                if (left := until - time.monotonic()) <= 0:
                    raise Unavailable(self._why_unavailable("no answer", waited=True))
                slice_seconds = left if count == 1 else min(left, PROBE_SECONDS / count)
                if not self._probe(number, slice_seconds, patient=True):
                    self._current, self._suspect = number, False
                    return
            time.sleep(PAUSE_SECONDS)  # a member without a leader answers at once

    def _probe(self, number: int, seconds: float, *, patient: bool = False) -> str:
        """Say what is wrong with an endpoint; nothing if it is well.

        If `patient`, a connection that is refused is tried again until the time is over.
        """
        call = self._channels[number].unary_unary(STATUS.path, _encode, STATUS.decode)
        try:
            status = call(rpc.StatusRequest(), timeout=seconds, wait_for_ready=patient)
        except grpc.RpcError as error:
            return short(error)
        except ValueError as error:  # grpc's word for a channel that was closed
            raise Unavailable(CLOSED) from error
        return "" if status.leader else "it has no leader: most members of its cluster are missing"

    def _why_unavailable(self, details: str, *, waited: bool) -> str:
        reasons = [
            f"{url}: {self._probe(number, PROBE_SECONDS) or details}"
            for number, url in enumerate(self.endpoints)
        ]
        within = f" within {self._deadline_seconds:g} s" if waited else ""
        secure = any(url.startswith("https:") for url in self.endpoints)
        files = ", ETCD_CA_CERT_FILE, ETCD_CERT_FILE and ETCD_KEY_FILE" if secure else ""
        return (
            f"no answer from etcd{within} ({'; '.join(reasons)}). Check that etcd runs there, that "
            f"this machine can reach it, and ETCD_ENDPOINTS{files}"
        )


def _encode(message: Message) -> bytes:
    return message.SerializeToString()
