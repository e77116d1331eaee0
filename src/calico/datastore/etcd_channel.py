"""Calls to an etcd cluster: endpoints, TLS, user and password, deadlines, plain words for errors.

    EtcdDatastore --call--> Connection --gRPC--> the endpoint that answered last
                                 `- after a failure: ask each endpoint who is well, take the first

A write is sent once: when the connection breaks under it, nobody knows whether it happened, and
Unavailable says just that. Waiting for a connection costs nothing of that kind, so a call waits
within its deadline for an etcd that is starting. gRPC looks for a lost endpoint every half second
(its own default of two minutes made a node blind for 7.6 s, measured).

Source: etcd api v3; shared/spec datastore-etcd 1.3 (client parameters).
"""

import os
import ssl
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Generic, NamedTuple, NoReturn, Protocol, TypeVar
from urllib.parse import urlsplit

import grpc

from calico.datastore.client import Compacted, Refused, Unavailable
from calico.datastore.etcd_rpc import etcd_pb2 as rpc
from calico.datastore.settings import Settings, SettingsError

DEADLINE_SECONDS = 10.0
PROBE_SECONDS = 1.0
DEFAULT_PORT = 2379

_OPTIONS = (
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
    ("grpc.min_reconnect_backoff_ms", 3_000),  # in fact: how long one attempt may take
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.enable_http_proxy", 0),  # a proxy for web pages is none for etcd
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.use_local_subchannel_pool", 1),  # backoff of one client must not delay another
)


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


RANGE = Method("/etcdserverpb.KV/Range", rpc.RangeResponse.FromString)
TXN = Method("/etcdserverpb.KV/Txn", rpc.TxnResponse.FromString)
COMPACT = Method("/etcdserverpb.KV/Compact", rpc.CompactionResponse.FromString)
WATCH = Method("/etcdserverpb.Watch/Watch", rpc.WatchResponse.FromString)
LEASE_GRANT = Method("/etcdserverpb.Lease/LeaseGrant", rpc.LeaseGrantResponse.FromString)
AUTHENTICATE = Method("/etcdserverpb.Auth/Authenticate", rpc.AuthenticateResponse.FromString)
STATUS = Method("/etcdserverpb.Maintenance/Status", rpc.StatusResponse.FromString)


class Connection:
    """Channels to every endpoint of one cluster. Safe for several threads."""

    def __init__(self, settings: Settings, deadline_seconds: float = DEADLINE_SECONDS) -> None:
        self.endpoints = _checked_endpoints(settings)
        self._settings = settings
        self._deadline_seconds = deadline_seconds
        self._channels = [_open_channel(url, settings) for url in self.endpoints]
        self._current = 0
        self._suspect = len(self.endpoints) > 1  # ask who is well before the next call
        self._token = ""

    def call(self, method: Method[Reply], request: Message) -> Reply:
        """Ask, and wait for the answer. Raises Unavailable, Refused or Compacted."""
        if self._suspect:
            self._choose_endpoint()
        try:
            return self._authenticated(method, request)
        except grpc.RpcError as error:
            self._suspect = len(self.endpoints) > 1
            self.explain(error)
        except ValueError as error:  # grpc's word for a channel that was closed
            raise Unavailable("the connection to etcd was closed on our side") from error

    def stream(self, method: Method[Reply], requests: Any) -> Any:  # noqa: ANN401  # a grpc call
        """Open a stream that fails at once if the endpoint is not there."""
        if self._suspect:
            self._choose_endpoint()
        try:
            if self._settings.etcd_username and not self._token:
                self._authenticate()
            channel = self._channels[self._current]
            stream = channel.stream_stream(method.path, _encode, method.decode)
            # Without a leader a member knows of no changes: it shall say so, and not be silent.
            return stream(requests, metadata=(*self._metadata(), ("hasleader", "true")))
        except grpc.RpcError as error:
            self.lost()
            self.explain(error)
        except ValueError as error:
            raise Unavailable("the connection to etcd was closed on our side") from error

    def lost(self) -> None:
        """Hear that a stream broke: the next call looks for a member that is well."""
        self._suspect = len(self.endpoints) > 1
        self._token = ""

    def close(self) -> None:
        """Give up all channels; calls under way end as Unavailable."""
        for channel in self._channels:
            channel.close()

    def explain(self, error: Any) -> NoReturn:  # noqa: ANN401  # grpc ships no types
        """Raise our error for gRPC's, saying where and what to check."""
        code, details = error.code(), str(error.details() or "")
        if code == grpc.StatusCode.OUT_OF_RANGE:
            raise Compacted(details) from error
        if advice := _advice(code, details):
            raise Refused(f"etcd refused: {details}. {advice}") from error
        raise Unavailable(self._why_unavailable(code, details)) from error

    def _call_once(self, method: Method[Reply], request: Message) -> Reply:
        call = self._channels[self._current].unary_unary(method.path, _encode, method.decode)
        answer: Reply = call(
            request,
            timeout=self._deadline_seconds,
            metadata=self._metadata(),
            wait_for_ready=True,
        )
        return answer

    def _authenticated(self, method: Method[Reply], request: Message) -> Reply:
        if not self._settings.etcd_username:
            return self._call_once(method, request)
        if not self._token:
            self._authenticate()
        try:
            return self._call_once(method, request)
        except grpc.RpcError as error:
            if not _token_is_stale(error):
                raise
        # A restarted etcd forgets tokens. It refused before doing anything: ask again.
        self._authenticate()
        return self._call_once(method, request)

    def _authenticate(self) -> None:
        self._token = ""
        request = rpc.AuthenticateRequest(
            name=self._settings.etcd_username, password=self._settings.etcd_password
        )
        self._token = self._call_once(AUTHENTICATE, request).token

    def _metadata(self) -> Sequence[tuple[str, str]]:
        return (("token", self._token),) if self._token else ()

    def _choose_endpoint(self) -> None:
        count = len(self.endpoints)
        for number in [(self._current + step) % count for step in range(count)]:
            if not self._probe(number):
                self._current, self._suspect, self._token = number, False, ""
                return

    def _probe(self, number: int) -> str:
        """Say what is wrong with an endpoint; nothing if it is well."""
        call = self._channels[number].unary_unary(STATUS.path, _encode, STATUS.decode)
        try:
            status = call(rpc.StatusRequest(), timeout=PROBE_SECONDS)
        except grpc.RpcError as error:
            return _short(error)
        except ValueError:
            return "the connection was closed on our side"
        return "" if status.leader else "it has no leader: most members of its cluster are missing"

    def _why_unavailable(self, code: Any, details: str) -> str:  # noqa: ANN401
        reasons = [f"{url}: {self._probe(i) or details}" for i, url in enumerate(self.endpoints)]
        waited = code == grpc.StatusCode.DEADLINE_EXCEEDED
        within = f" within {self._deadline_seconds:g} s" if waited else ""
        return (
            f"no answer from etcd{within} ({'; '.join(reasons)}). Check that etcd runs there, that "
            f"this machine can reach it, and ETCD_ENDPOINTS"
            + (
                ", ETCD_CA_CERT_FILE, ETCD_CERT_FILE and ETCD_KEY_FILE"
                if any(url.startswith("https:") for url in self.endpoints)
                else ""
            )
        )


def _encode(message: Message) -> bytes:
    return message.SerializeToString()


def _token_is_stale(error: Any) -> bool:  # noqa: ANN401  # grpc ships no types
    code, details = error.code(), str(error.details())
    return bool(
        code == grpc.StatusCode.UNAUTHENTICATED or "auth: revision in header is old" in details
    )


def _short(error: Any) -> str:  # noqa: ANN401  # grpc ships no types
    details = str(error.details() or error.code().name)
    if error.code() == grpc.StatusCode.DEADLINE_EXCEEDED:
        return f"no answer within {PROBE_SECONDS:g} s"
    # gRPC: "failed to connect to all addresses; last error: " and then what we want to know
    return details.rpartition("last error: ")[2]


def _advice(code: Any, details: str) -> str:  # noqa: ANN401  # grpc ships no types
    """Say what to do about a refusal; nothing when it was no refusal."""
    codes = grpc.StatusCode
    if "database space exceeded" in details:
        return (
            "Its quota is used up (alarm NOSPACE): compact and defragment it, or raise "
            "--quota-backend-bytes; then `etcdctl alarm disarm`"
        )
    if code in {codes.UNAUTHENTICATED, codes.PERMISSION_DENIED} or "auth" in details:
        return "Check ETCD_USERNAME, ETCD_PASSWORD and the roles of that user"
    if "user name is empty" in details:
        return "It asks for a user: set ETCD_USERNAME and ETCD_PASSWORD"
    if code in {codes.INVALID_ARGUMENT, codes.FAILED_PRECONDITION, codes.UNIMPLEMENTED}:
        return "The request itself was at fault"
    return ""


def _checked_endpoints(settings: Settings) -> tuple[str, ...]:
    if settings.etcd_endpoints and settings.etcd_discovery_srv:
        raise SettingsError(
            "multiple discovery or bootstrap options specified, "
            'use either "etcdEndpoints" or "etcdDiscoverySrv"'
        )
    if settings.etcd_discovery_srv:
        raise SettingsError("etcdDiscoverySrv is not supported yet: list them in etcdEndpoints")
    if not settings.endpoints:
        raise SettingsError("no etcd endpoints specified")
    files = (settings.etcd_key_file, settings.etcd_cert_file, settings.etcd_ca_cert_file)
    inline = (settings.etcd_key, settings.etcd_cert, settings.etcd_ca_cert)
    if any(files) and any(inline):
        raise SettingsError("Cannot mix inline certificate-key and certificate / key files")
    return settings.endpoints


def _open_channel(url: str, settings: Settings) -> Any:  # noqa: ANN401  # grpc ships no types
    parts = urlsplit(url if "://" in url else f"http://{url}")
    try:
        host, port = parts.hostname, parts.port or DEFAULT_PORT
    except ValueError as error:
        raise SettingsError(f"etcd endpoint {url!r}: {error}") from error
    if parts.scheme == "unix" and parts.path.startswith("/"):  # as etcd's own clients write it
        return grpc.insecure_channel(f"unix:{parts.path}", options=_OPTIONS)
    if parts.scheme not in {"http", "https"} or not host:
        raise SettingsError(f"etcd endpoint {url!r} must look like http://192.0.2.1:2379")
    target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    if parts.scheme == "http":
        return grpc.insecure_channel(target, options=_OPTIONS)
    return grpc.secure_channel(target, _credentials(settings), options=_OPTIONS)


def _credentials(settings: Settings) -> Any:  # noqa: ANN401  # grpc ships no types
    key = settings.etcd_key.encode() or _read(settings.etcd_key_file)
    certificate = settings.etcd_cert.encode() or _read(settings.etcd_cert_file)
    authority = settings.etcd_ca_cert.encode() or _read(settings.etcd_ca_cert_file)
    if bool(key) != bool(certificate):
        raise SettingsError("a key for etcd needs its certificate, and the certificate its key")
    trusted = ssl.get_default_verify_paths().cafile
    if authority is None and trusted and os.access(trusted, os.R_OK):
        authority = _read(trusted)  # what this machine trusts, not the list that grpcio carries
    return grpc.ssl_channel_credentials(authority, key, certificate)


def _read(name: str) -> bytes | None:
    if not name:
        return None
    try:
        return Path(name).read_bytes()
    except OSError as error:
        raise SettingsError(f"could not initialize etcdv3 client: {error}") from error
