r"""Speak with BIRD over its control socket.

    BirdControl(path).ask("show status") --> [(code, text), ...]
                     .configure()        --> done, or BirdRefused with BIRD's reason
                     .status()           --> BirdStatus
                     .protocols()        --> [BirdProtocol]

A reply is lines of a code and text: "1002-..." is followed by more, "0013 ..." is the last, and a
line that begins with a space goes on with the code before it. Every wait has a deadline. After
any failure the connection is of no use; open another one.

    KernelError
     `-- BirdError
          |-- BirdUnavailable   no socket, no answer in time, or an answer that makes no sense
          `-- BirdRefused       BIRD's own words: a configuration or command it does not take

Source: BIRD's doc/reply_codes and user guide, "Remote control".
"""

import errno
import re
import socket
import time
from pathlib import Path
from types import TracebackType
from typing import Self, TypeAlias

from msgspec import Struct

from calico.kernel.netlink import KernelError

Reply: TypeAlias = list[tuple[int, str]]

ANSWER_SECONDS = 5.0
_LINE = re.compile(r"([0-9]{4})([ -])(.*)")
_GREATEST_REPLY_BYTES = 16 << 20
_PROTOCOL_LINE = 1002
_FIRST_ERROR = 8000
_GREETING_VERSION = re.compile(r"BIRD v?(\S+)")
_FACTS = {  # beginnings of the lines of "show status"
    "Router ID is ": "router_id",
    "Last reboot on ": "started",
    "Last reconfiguration on ": "configured",
}


class BirdError(KernelError):
    """Something is wrong between us and BIRD."""

    def __init__(self, operation: str, reason: str) -> None:
        super().__init__(operation, errno.EPROTO)
        self.reason = reason
        self.args = (f"{operation}: {reason}",)


class BirdUnavailable(BirdError):
    """BIRD cannot be spoken to."""


class BirdRefused(BirdError):
    """BIRD says no."""


class BirdStatus(Struct, frozen=True):
    """What "show status" says; times are BIRD's text."""

    version: str = ""
    router_id: str = ""
    started: str = ""
    configured: str = ""
    is_recovering: bool = False  # a graceful restart is in progress
    state: str = ""  # the last line: "Daemon is up and running"


class BirdProtocol(Struct, frozen=True):
    """One line of "show protocols"; `info` of a BGP session is its state, "Established"."""

    name: str
    kind: str
    table: str
    state: str
    since: str
    info: str


def parse_reply(text: str) -> tuple[Reply, bool]:
    """Split what has come so far; tell whether the last line has come. Raises ValueError."""
    lines: Reply = []
    for line in text.split("\n")[:-1]:  # behind the last newline is an unfinished line
        if line.startswith(" "):
            if not lines:
                raise ValueError("a reply begins with a continuation")
            lines.append((lines[-1][0], line[1:]))
            continue
        if line.startswith("+"):
            continue  # an asynchronous message: not part of the reply
        match = _LINE.fullmatch(line)
        if match is None:
            raise ValueError(f"not a reply: {line!r}")
        code, mark, rest = match.groups()
        lines.append((int(code), rest))
        if mark == " ":
            return lines, True
    return lines, False


def parse_status(reply: Reply) -> BirdStatus:
    """Read the reply to "show status"."""
    facts = {}
    recovering = False
    for code, line in reply:
        if code == 1000 and (match := _GREETING_VERSION.match(line)):
            facts["version"] = match[1]
        elif code == 13:
            facts["state"] = line
        recovering = recovering or "raceful restart recovery in progress" in line
        for beginning, name in _FACTS.items():
            if line.startswith(beginning):
                facts[name] = line.removeprefix(beginning)
    return BirdStatus(is_recovering=recovering, **facts)


def parse_protocols(reply: Reply) -> list[BirdProtocol]:
    """Read the reply to "show protocols"."""
    found = []
    for code, line in reply:
        fields = line.split(None, 5)
        if code == _PROTOCOL_LINE and len(fields) >= 5:
            name, kind, table, state, since, *info = fields
            found.append(BirdProtocol(name, kind, table, state, since, " ".join(info).strip()))
    return found


class BirdControl:
    """One connection. Raises BirdUnavailable if there is nobody to speak with."""

    def __init__(self, path: Path, answer_seconds: float = ANSWER_SECONDS) -> None:
        self._answer_seconds = answer_seconds
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(answer_seconds)
        try:
            self._socket.connect(str(path))
            self.greeting = self._read("greet")[-1][1]
        except (OSError, BirdError) as error:
            self._socket.close()
            raise BirdUnavailable(f"connect to {path}", str(error)) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def ask(self, command: str) -> Reply:
        """Give one command and return the reply. Raises BirdRefused or BirdUnavailable."""
        try:
            self._socket.sendall(command.encode() + b"\n")
        except OSError as error:
            raise BirdUnavailable(command, str(error)) from error
        reply = self._read(command)
        code, text = reply[-1]
        if code >= _FIRST_ERROR:
            raise BirdRefused(command, text)
        return reply

    def configure(self) -> str:
        """Have the configuration file read again; return what BIRD says. Raises BirdRefused."""
        return self.ask("configure")[-1][1]

    def status(self) -> BirdStatus:
        """Return how BIRD is."""
        return parse_status(self.ask("show status"))

    def protocols(self) -> list[BirdProtocol]:
        """Return the protocols, BGP sessions among them."""
        return parse_protocols(self.ask("show protocols"))

    def _read(self, operation: str) -> Reply:
        until = time.monotonic() + self._answer_seconds
        received = b""
        while len(received) < _GREATEST_REPLY_BYTES:
            try:
                self._socket.settimeout(max(until - time.monotonic(), 0.001))
                part = self._socket.recv(1 << 16)
            except OSError as error:
                raise BirdUnavailable(operation, str(error) or "no answer in time") from error
            if not part:
                raise BirdUnavailable(operation, "BIRD hung up")
            received += part
            if not received.endswith(b"\n"):
                continue
            try:
                reply, is_whole = parse_reply(received.decode(errors="replace"))
            except ValueError as error:
                raise BirdUnavailable(operation, str(error)) from error
            if is_whole:
                return reply
        raise BirdUnavailable(operation, "an endless reply")
