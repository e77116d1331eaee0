"""From settings to channels: URLs, TLS files, and how gRPC shall behave.

    Settings --checked_endpoints--> URLs, each --open_channel--> a channel (lazy: nothing is sent)

A channel to an https endpoint trusts the given authority, or else what this machine trusts.

Source: shared/spec datastore-etcd 1.3 (client parameters), calicoctl 7b.2.
"""

import os
import ssl
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import grpc

from calico.datastore.settings import Settings, SettingsError

DEFAULT_PORT = 2379

_OPTIONS = (
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
    ("grpc.min_reconnect_backoff_ms", 3_000),  # in fact: how long one attempt may take
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.max_pings_without_data", 0),  # no limit: a quiet watch must notice a dead path
    ("grpc.enable_http_proxy", 0),  # a proxy for web pages is none for etcd
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.use_local_subchannel_pool", 1),  # backoff of one client must not delay another
)


def checked_endpoints(settings: Settings) -> tuple[str, ...]:
    """Return the URLs, or raise SettingsError for what contradicts itself."""
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


def open_channel(url: str, settings: Settings) -> Any:  # noqa: ANN401  # grpc ships no types
    """Return a channel to one endpoint. Raises SettingsError."""
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
