"""One round of questions on the wire: the sockets that ask, and the answers that count.

    ask(question)  connect, datagram or echo request --> collect --> the questions answered

An answer counts when it names the party that was asked (TCP, UDP: its responder's name; ICMP:
its address and our identifier). A refusal is no answer: whoever refused may have been a rule.
"""

import errno
import select
import socket
import struct
from time import monotonic

from calico.core.analysis.matrix import Question

LONGEST = 2_048

_GREETING = b"who is there?"
_ECHO = struct.Struct("!BBHHH")  # type, code, checksum, identifier, sequence
_ECHO_TYPES = {4: (8, 0), 6: (128, 129)}

# A packet that cannot even be sent is one that nobody answers; EADDRNOTAVAIL: our link is down.
_SILENCE = frozenset(
    {errno.EPERM, errno.EACCES, errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ECONNREFUSED,
     errno.EADDRNOTAVAIL}
)  # fmt: skip


class Answers:
    """The open sockets of one round, and the questions that were answered on them."""

    def __init__(self) -> None:
        self._poll = select.epoll()
        self._streams: dict[int, tuple[socket.socket, Question]] = {}
        self._shared: dict[tuple[str, str, int], socket.socket] = {}  # one per way to ask
        self._by_number: dict[int, socket.socket] = {}
        self._waiting: dict[tuple[int, str], Question] = {}  # (socket, who shall answer)
        self.answered: set[Question] = set()

    def ask(self, question: Question, source: str, address: str, port: int) -> None:
        """Send the first packet of one question, from the namespace we are in."""
        try:
            if question.protocol == "tcp":
                self._connect(question, source, address)
            elif question.protocol == "udp":
                shared = self._datagrams(question, source, port)
                shared.sendto(_GREETING, (address, question.port))
                self._expect(shared, f"{address} {question.port}", question)
            else:
                shared = self._echoes(question, source)
                shared.sendto(_echo_request(question.version, port), (address, 0))
                self._expect(shared, f"{address} {port}", question)
        except OSError as error:
            if error.errno not in _SILENCE:
                raise

    def collect(self, deadline: float) -> set[Question]:
        """Wait until all have answered, or until the deadline."""
        while (self._streams or self._waiting) and (left := deadline - monotonic()) > 0:
            for number, _ in self._poll.poll(left):
                if number in self._streams:
                    self._read_stream(number)
                else:
                    self._read_datagrams(number)
        return self.answered

    def close(self) -> None:
        """Close every socket; connections are reset, so that nothing of them lingers."""
        for one, _ in self._streams.values():
            _reset(one)
        for one in self._shared.values():
            one.close()
        self._poll.close()

    def _connect(self, question: Question, source: str, address: str) -> None:
        one = _open(question.version, (socket.SOCK_STREAM, 0), (source, 0))
        self._streams[one.fileno()] = (one, question)
        try:
            one.connect((address, question.port))
        except BlockingIOError:
            self._poll.register(one.fileno(), select.EPOLLIN)
        except OSError:
            del self._streams[one.fileno()]
            one.close()
            raise

    def _read_stream(self, number: int) -> None:
        one, question = self._streams.pop(number)
        self._poll.unregister(number)
        try:
            said = one.recv(LONGEST)
        except OSError:
            said = b""
        if said == question.destination.encode() + b"\n":
            self.answered.add(question)
        _reset(one)

    def _datagrams(self, question: Question, source: str, port: int) -> socket.socket:
        return self._share(question, source, (socket.SOCK_DGRAM, 0), port)

    def _echoes(self, question: Question, source: str) -> socket.socket:
        number = socket.IPPROTO_ICMP if question.version == 4 else socket.IPPROTO_ICMPV6
        return self._share(question, source, (socket.SOCK_RAW, number), 0)

    def _share(
        self, question: Question, source: str, kind: tuple[int, int], port: int
    ) -> socket.socket:
        key = (question.source, question.protocol, question.version)
        if key not in self._shared:
            one = _open(question.version, kind, (source, port))
            self._shared[key] = self._by_number[one.fileno()] = one
            self._poll.register(one.fileno(), select.EPOLLIN)
        return self._shared[key]

    def _expect(self, shared: socket.socket, who: str, question: Question) -> None:
        self._waiting[shared.fileno(), who] = question

    def _read_datagrams(self, number: int) -> None:
        try:
            data, sender = self._by_number[number].recvfrom(LONGEST)
        except OSError:  # an ICMP error for one of them says nothing about the others
            return
        address = str(sender[0]).partition("%")[0]
        raw = self._by_number[number].type == socket.SOCK_RAW
        who = f"{address} {_echo_identifier(data, address) if raw else sender[1]}"
        question = self._waiting.get((number, who))
        if question is not None and (raw or data == _answer_of(question)):
            del self._waiting[number, who]
            self.answered.add(question)


def _answer_of(question: Question) -> bytes:
    return question.destination.encode() + b" " + _GREETING


def _family(version: int) -> socket.AddressFamily:
    return socket.AF_INET if version == 4 else socket.AF_INET6


def _open(version: int, kind: tuple[int, int], source: tuple[str, int]) -> socket.socket:
    one = socket.socket(_family(version), *kind)
    try:
        one.setblocking(False)
        one.bind(source)
    except OSError:
        one.close()
        raise
    return one


def _reset(one: socket.socket) -> None:
    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    one.close()


def _echo_request(version: int, identifier: int) -> bytes:
    kind = _ECHO_TYPES[version][0]
    plain = _ECHO.pack(kind, 0, 0, identifier, 1)
    # For IPv6 the kernel fills the checksum in, since it covers the addresses.
    return plain if version == 6 else _ECHO.pack(kind, 0, _checksum(plain), identifier, 1)


def _checksum(message: bytes) -> int:
    total = sum(int(word) for word in struct.unpack(f"!{len(message) // 2}H", message))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF


def _echo_identifier(packet: bytes, address: str) -> int:
    """Read the identifier of an echo reply; 0 if it is something else."""
    version = 6 if ":" in address else 4
    start = 0 if version == 6 else (packet[0] & 0xF) * 4  # IPv4 raw sockets see the header
    if len(packet) < start + _ECHO.size:
        return 0
    kind, _, _, identifier, _ = _ECHO.unpack_from(packet, start)
    return int(identifier) if kind == _ECHO_TYPES[version][1] else 0
