"""Talk netlink: a socket, messages, attributes, batches, answers.

    message(kind, flags, body) --> NetlinkSocket.request   one question, its answers
                                 | NetlinkSocket.dump      a whole table
                                 | NetlinkSocket.batch     many changes, {index: what was refused}
                                 ` NetlinkSocket.transaction   nfnetlink: all of them or none
    kernel --> bytes --> attributes(bytes) --> {attribute: bytes}

The kernel works on a message inside our `send`, and its answers stand in the receive buffer when
`send` returns. So a batch is one system call for many messages, and acknowledgements are matched
by sequence number, never by arrival. A socket belongs to the namespace in which it was opened and
to one thread. Keep it open: closing one after deletions waits for the kernel's clean-up (16 ms).

    KernelError    what was asked, the errno, and the kernel's own sentence if it had one
     `-- NetlinkOverrun   answers or notifications were lost: what is known must be read again

Source: netlink(7), linux/netlink.h, and the kernel's nfnetlink.c for transactions.
"""

import os
import socket
import struct
from collections.abc import Iterator, Sequence
from errno import EIO, ENOBUFS, ETIMEDOUT
from types import TracebackType
from typing import NamedTuple, Self, TypeAlias

NETLINK_ROUTE = 0
NETLINK_NETFILTER = 12

NLM_F_REQUEST = 0x001
NLM_F_ACK = 0x004
NLM_F_ECHO = 0x008
NLM_F_DUMP_INTR = 0x010
NLM_F_REPLACE = 0x100  # for changes
NLM_F_EXCL = 0x200
NLM_F_CREATE = 0x400
NLM_F_APPEND = 0x800
NLM_F_DUMP = 0x300  # for questions

NLMSG_ERROR = 2
NLMSG_DONE = 3

NLA_F_NESTED = 0x8000
NLA_TYPE_MASK = 0x3FFF

SOL_NETLINK = 270
NETLINK_ADD_MEMBERSHIP = 1
NETLINK_CAP_ACK = 10
NETLINK_EXT_ACK = 11
NETLINK_GET_STRICT_CHK = 12
SO_SNDBUFFORCE = 32
SO_RCVBUFFORCE = 33

_ACK_CAPPED = 0x100  # flags of an answer: the request is not quoted in full
_ACK_HAS_TLVS = 0x200
_ACK_MESSAGE = 1  # attribute of an answer: the kernel's sentence
_RECEIVE_BUFFER_BYTES = 8 << 20
_RECEIVE_BYTES = 1 << 16  # the kernel never puts more than 32 KB of a dump into one datagram
_ANSWER_SECONDS = 10  # the kernel answers inside `send`; this bounds a bug, not a wait
_ACKS_IN_FLIGHT = 1_000  # each takes about 1 KB of the receive buffer until it is read
_DUMP_ATTEMPTS = 5

_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_INT = struct.Struct("=i")

Request: TypeAlias = tuple[int, int, bytes]  # message type, flags, body


class Message(NamedTuple):
    """One message from the kernel. `port` is the socket whose request caused a notification."""

    kind: int
    flags: int
    sequence: int
    port: int
    body: bytes


class KernelError(Exception):
    """The kernel refused. `errno` is positive; `reason` is readable."""

    def __init__(self, operation: str, errno: int, sentence: str = "") -> None:
        self.operation = operation
        self.errno = errno
        self.reason = os.strerror(errno) + (f": {sentence}" if sentence else "")
        super().__init__(f"{operation}: {self.reason}")


class NetlinkOverrun(KernelError):
    """The receive buffer ran over: messages are lost, and nobody can say which."""


def attribute(kind: int, payload: bytes) -> bytes:
    """Encode one attribute. Raises struct.error above 65,531 bytes."""
    length = len(payload) + 4
    return _ATTRIBUTE.pack(length, kind) + payload + b"\0" * (-length & 3)


def nested(kind: int, *parts: bytes) -> bytes:
    """Encode an attribute that contains attributes."""
    payload = b"".join(parts)
    return _ATTRIBUTE.pack(len(payload) + 4, kind | NLA_F_NESTED) + payload


def text(kind: int, value: str) -> bytes:
    """Encode a text, with the zero byte the kernel wants at its end."""
    return attribute(kind, value.encode() + b"\0")


def attributes(buffer: bytes, offset: int = 0) -> dict[int, bytes]:
    """Decode a row of attributes; of several of one type the last counts."""
    found = {}
    end, unpack = len(buffer) - 3, _ATTRIBUTE.unpack_from
    while offset < end:
        length, kind = unpack(buffer, offset)
        found[kind & NLA_TYPE_MASK] = buffer[offset + 4 : offset + length]
        offset += (length + 3) & ~3 or 4
    return found


def list_items(buffer: bytes) -> list[bytes]:
    """Decode a row of attributes of one type, in their order."""
    found = []
    offset, end, unpack = 0, len(buffer) - 3, _ATTRIBUTE.unpack_from
    while offset < end:
        length, _ = unpack(buffer, offset)
        found.append(buffer[offset + 4 : offset + length])
        offset += (length + 3) & ~3 or 4
    return found


def messages(datagram: bytes) -> Iterator[Message]:
    """Split what one `recv` returned."""
    offset = 0
    while offset + 16 <= len(datagram):
        length, kind, flags, sequence, port = _HEADER.unpack_from(datagram, offset)
        yield Message(kind, flags, sequence, port, datagram[offset + 16 : offset + length])
        offset += (length + 3) & ~3 or 16


class NetlinkSocket:
    """One socket of one netlink family, in the namespace of the thread that opens it."""

    def __init__(self, protocol: int, groups: int = 0) -> None:
        """Open it; `groups` is a bit mask of the first 32 multicast groups, see also `join`."""
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol)
        self._sequence = 0
        self._send_buffer_bytes = 1 << 16
        set_option = self._socket.setsockopt
        set_option(socket.SOL_SOCKET, SO_RCVBUFFORCE, _RECEIVE_BUFFER_BYTES)
        for option in (NETLINK_CAP_ACK, NETLINK_EXT_ACK, NETLINK_GET_STRICT_CHK):
            set_option(SOL_NETLINK, option, 1)
        self._socket.bind((0, groups))
        self.port_id: int = self._socket.getsockname()[0]
        self._socket.settimeout(_ANSWER_SECONDS)

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
        """Give the socket back."""
        self._socket.close()

    def fileno(self) -> int:
        """For `select` and for socket filters."""
        return self._socket.fileno()

    def join(self, group: int) -> None:
        """Receive a multicast group, by its number."""
        self._socket.setsockopt(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, group)

    def request(self, operation: str, kind: int, flags: int, body: bytes) -> list[Message]:
        """Ask or change one thing; return the answers. Raises KernelError if refused."""
        sequence = self._send(operation, [(kind, flags | NLM_F_ACK, body)])
        answers = []
        for message in self._receive(operation):
            if message.sequence != sequence:
                continue  # an answer to a question that was given up
            if message.kind != NLMSG_ERROR:
                answers.append(message)
            elif error := _refusal(operation, message):
                raise error
            else:
                break
        return answers

    def dump(self, operation: str, kind: int, body: bytes) -> list[Message]:
        """List a table; repeated when it changed meanwhile. Raises KernelError if refused."""
        answers, consistent = self._dump_once(operation, kind, body)
        attempts = 1
        while not consistent and attempts < _DUMP_ATTEMPTS:
            answers, consistent = self._dump_once(operation, kind, body)
            attempts += 1
        return answers  # of a table that never rests, the last look is the best there is

    def batch(self, operation: str, requests: Sequence[Request]) -> dict[int, KernelError]:
        """Attempt every request by itself; return those refused, by index."""
        refused: dict[int, KernelError] = {}
        for start in range(0, len(requests), _ACKS_IN_FLIGHT):
            chunk = requests[start : start + _ACKS_IN_FLIGHT]
            acknowledged = [(kind, flags | NLM_F_ACK, body) for kind, flags, body in chunk]
            first = self._send(operation, acknowledged)
            waiting = len(chunk)
            for message in self._receive(operation):
                index = message.sequence - first
                if message.kind != NLMSG_ERROR or not 0 <= index < len(chunk):
                    continue
                if error := _refusal(operation, message):
                    refused[start + index] = error
                waiting -= 1
                if not waiting:
                    break
        return refused

    def transaction(
        self, operation: str, begin: Request, requests: Sequence[Request], end: Request
    ) -> tuple[dict[int, KernelError], dict[int, Message]]:
        """Make all changes or none (nfnetlink); return what was refused, and echoes, by index.

        Index -1 means the transaction as a whole. Only the last request is acknowledged; errors
        come for every request that has one. Echoes come for requests with NLM_F_ECHO: what the
        kernel made of them, its handle included.
        """
        refused: dict[int, KernelError] = {}
        echoes: dict[int, Message] = {}
        if not requests:
            return refused, echoes
        kind, flags, body = requests[-1]
        last = len(requests) - 1
        acknowledged = [*requests[:-1], (kind, flags | NLM_F_ACK, body)]
        first = 1 + self._send(operation, [begin, *acknowledged, end])
        for message in self._receive(operation):
            index = message.sequence - first
            if not -1 <= index <= last:
                continue
            if message.kind != NLMSG_ERROR:
                # The new generation is announced under the number of the last request.
                if index >= 0 and message.kind == requests[index][0]:
                    echoes[index] = message
                continue
            if error := _refusal(operation, message):
                refused.setdefault(index, error)
            if index in {-1, last}:  # the kernel answers in order; -1 comes alone, at the end
                break
        return refused, echoes

    def listen(self) -> list[Message]:
        """Wait for notifications, however long. Raises NetlinkOverrun when some were lost."""
        self._socket.settimeout(None)
        return list(messages(self._read("listen")))

    def _dump_once(self, operation: str, kind: int, body: bytes) -> tuple[list[Message], bool]:
        sequence = self._send(operation, [(kind, NLM_F_DUMP, body)])
        answers, consistent = [], True
        for message in self._receive(operation):
            if message.sequence != sequence:
                continue
            if message.flags & NLM_F_DUMP_INTR:
                consistent = False
            if message.kind in {NLMSG_DONE, NLMSG_ERROR}:
                if error := _refusal(operation, message):
                    raise error
                break
            answers.append(message)
        return answers, consistent

    def _send(self, operation: str, requests: Sequence[Request]) -> int:
        """Send in one system call; return the sequence number of the first request."""
        first = self._sequence + 1
        parts = []
        for sequence, (kind, flags, body) in enumerate(requests, first):
            length = len(body) + 16
            parts.append(_HEADER.pack(length, kind, flags | NLM_F_REQUEST, sequence, 0))
            parts.append(body)
            if length & 3:
                parts.append(b"\0" * (-length & 3))
        self._sequence += len(requests)
        if self._sequence > 1 << 30:
            self._sequence = 0  # so that one batch never wraps around 32 bits
        datagram = b"".join(parts)
        try:
            if len(datagram) > self._send_buffer_bytes:
                self._socket.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, 2 * len(datagram))
                self._send_buffer_bytes = 2 * len(datagram)
            self._socket.send(datagram)
        except OSError as error:
            raise KernelError(operation, error.errno or EIO) from error
        return first

    def _receive(self, operation: str) -> Iterator[Message]:
        while True:
            yield from messages(self._read(operation))

    def _read(self, operation: str) -> bytes:
        try:
            return self._socket.recv(_RECEIVE_BYTES)
        except TimeoutError as error:
            raise KernelError(operation, ETIMEDOUT, "no answer") from error
        except OSError as error:
            if error.errno == ENOBUFS:
                raise NetlinkOverrun(operation, ENOBUFS) from error
            raise


def _refusal(operation: str, message: Message) -> KernelError | None:
    """Read an acknowledgement (or the end of a dump); None: it went well."""
    body = message.body
    errno = -_INT.unpack_from(body)[0] if len(body) >= 4 else 0
    if errno <= 0:
        return None
    sentence = b""
    if message.flags & _ACK_HAS_TLVS:
        quoted = 16
        if message.kind == NLMSG_DONE:
            quoted = 0
        elif not message.flags & _ACK_CAPPED:
            quoted = (_HEADER.unpack_from(body, 4)[0] + 3) & ~3
        sentence = attributes(body, 4 + quoted).get(_ACK_MESSAGE, b"").rstrip(b"\0")
    return KernelError(operation, errno, sentence.decode(errors="replace"))
