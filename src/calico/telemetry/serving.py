"""Answer GET requests for a few pages, from a thread, whatever happens.

    page: () -> Answer      "/metrics", "/readiness" ... --> HTTP on host:port

A port that is taken is tried again every second: an agent must not die because somebody holds the
door of its metrics. Every request has its own thread and a deadline, so a slow reader holds up
nobody.

Source: shared/spec monitoring 8.1 (a failed listener is restarted).
"""

import logging
import socket
import ssl
import sys
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TypeAlias
from urllib.parse import urlsplit

from msgspec import Struct

from calico.telemetry.log import Repeats

log = logging.getLogger(__name__)

RETRY_SECONDS = 1.0
REQUEST_SECONDS = 10.0


class Answer(Struct, frozen=True):
    """What one request gets."""

    status: int
    body: str
    content_type: str = "text/plain; charset=utf-8"


Pages: TypeAlias = Mapping[str, Callable[[], Answer]]


class TlsFiles(Struct, frozen=True):
    """Paths of what a server needs for https; client_auth is Felix's word for who may ask."""

    key: str
    certificate: str
    authority: str
    client_auth: str = "NoClientCert"


class Serving:
    """One listener: `start`, then pages are served until `close`. Port 0 takes any free one."""

    def __init__(self, host: str, port: int, pages: Pages, tls: TlsFiles | None = None) -> None:
        self._host = host
        self._port = port
        self._pages = pages
        self._tls = tls
        self._stopped = threading.Event()
        self._server: _Server | None = None
        self._bound = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"http :{port}", daemon=True)

    def start(self) -> None:
        """Listen as soon as the port is free."""
        self._thread.start()

    def wait_until_listening(self, wait_seconds: float) -> int:
        """Return the port that is served; 0 if it is not, yet."""
        return self._port if self._bound.wait(wait_seconds) else 0

    def close(self) -> None:
        """Listen no more."""
        self._stopped.set()
        if self._server is not None:
            self._server.shutdown()
        if self._thread.ident is not None:
            self._thread.join(REQUEST_SECONDS)

    def _run(self) -> None:
        failures = Repeats()
        while not self._stopped.is_set():
            try:
                self._serve()
            except OSError as error:  # ssl's errors are among them
                if count := failures.note("listen", str(error)):
                    facts = {"port": self._port, "reason": str(error), "failures": count}
                    log.warning("cannot listen, trying again", extra=facts)
                self._stopped.wait(RETRY_SECONDS)

    def _serve(self) -> None:
        with _Server(_listen(self._host, self._port), self._pages, self._tls) as server:
            self._server = server
            self._port = server.server_address[1]
            self._bound.set()
            if not self._stopped.is_set():
                server.serve_forever(poll_interval=0.1)


def _listen(host: str, port: int) -> socket.socket:
    if not host and socket.has_dualstack_ipv6():
        return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
    found = socket.getaddrinfo(host or "0.0.0.0", port, type=socket.SOCK_STREAM)  # noqa: S104
    found.sort(key=lambda item: item[0] != socket.AF_INET)  # "localhost" is 127.0.0.1 first
    family, address = found[0][0], found[0][4]
    return socket.create_server((str(address[0]), port), family=family)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, listener: socket.socket, pages: Pages, tls: TlsFiles | None) -> None:
        self.pages = pages
        self._context = None if tls is None else _context(tls)
        super().__init__(listener.getsockname()[:2], _Handler, bind_and_activate=False)
        self.socket.close()  # the one that TCPServer made for itself
        self.socket = listener
        self.server_address = listener.getsockname()[:2]

    def get_request(self) -> tuple[socket.socket, object]:
        connection, address = self.socket.accept()
        connection.settimeout(REQUEST_SECONDS)
        if self._context is not None:
            # the handshake waits for the first read, which happens in the request's own thread
            connection = self._context.wrap_socket(
                connection, server_side=True, do_handshake_on_connect=False
            )
        return connection, address

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002
        log.debug("request failed", extra={"client": client_address, "reason": sys.exception()})


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = REQUEST_SECONDS

    def do_GET(self) -> None:
        page = self.server.pages.get(urlsplit(self.path).path)
        answer = Answer(404, "no such page\n") if page is None else page()
        body = answer.body.encode()
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Stay silent: scrapes and probes come every few seconds."""


_CLIENT_AUTH = {
    "noclientcert": ssl.CERT_NONE,
    "verifyclientcertifgiven": ssl.CERT_OPTIONAL,
    "requireandverifyclientcert": ssl.CERT_REQUIRED,
    # Go can demand a certificate without checking it, Python cannot: stricter is the safe side
    "requireanyclientcert": ssl.CERT_REQUIRED,
}


def _context(files: TlsFiles) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(files.certificate, files.key)
    context.load_verify_locations(files.authority)
    context.verify_mode = _CLIENT_AUTH[files.client_auth.lower()]
    return context
