"""Ask many addresses at once whether they answer, and how large a packet passes whole.

    {address: bytes} --ping--> those that answered in time
                     --largest--> {address: bytes of the largest packet that came back}

Packets say "do not fragment". One raw socket for each IP version, one deadline for all: a dead
node costs the deadline, a hundred dead ones cost no more.

Source: RFC 792, RFC 4443; IP_MTU_DISCOVER in ip(7) (PROBE: also past what the kernel remembers).
"""

import os
import select
import socket
import struct
import time
from collections.abc import Iterable, Mapping

_IP_MTU_DISCOVER, _IPV6_MTU_DISCOVER, _PROBE = 10, 23, 3
_REQUEST, _REPLY = {4: 8, 6: 128}, {4: 0, 6: 129}
_HEADERS = {4: 28, 6: 48}  # IP and ICMP
_LEAST = {4: 576, 6: 1280}
_ICMP = struct.Struct("!BBHHH")  # type, code, checksum, identifier, sequence
_BUFFER_BYTES = 1 << 17

ANSWER_SECONDS = 1.0
SEARCH_SECONDS = 0.3  # a round of the search: who answers at all has answered by then


def ping(sizes: Mapping[str, int], seconds: float = ANSWER_SECONDS) -> set[str]:
    """Send one packet of so many bytes (IP header included) to each; return who answered."""
    with _open(4) as four, _open(6) as six:
        sockets = {4: four, 6: six}
        identifier = os.getpid() & 0xFFFF
        waiting: dict[tuple[int, int], str] = {}
        for sequence, (address, size) in enumerate(sizes.items()):
            version = 6 if ":" in address else 4
            packet = _packet(version, identifier, sequence, size)
            try:
                sockets[version].sendto(packet, (address, 0))
            except OSError:
                continue  # too large for our own interface, or no way there
            waiting[version, sequence] = address
        return _answers(sockets, identifier, waiting, seconds)


def _answers(
    sockets: Mapping[int, socket.socket],
    identifier: int,
    waiting: dict[tuple[int, int], str],
    seconds: float,
) -> set[str]:
    found: set[str] = set()
    until = time.monotonic() + seconds
    while waiting and (left := until - time.monotonic()) > 0:
        ready, _, _ = select.select(list(sockets.values()), [], [], left)
        for version, opened in sockets.items():
            if opened not in ready:
                continue
            data, sender = opened.recvfrom(_BUFFER_BYTES)
            start = (data[0] & 15) * 4 if version == 4 else 0
            kind, _, _, of, sequence = _ICMP.unpack_from(data, start)
            expected = waiting.get((version, sequence))
            is_ours = kind == _REPLY[version] and of == identifier
            if is_ours and expected == sender[0].partition("%")[0]:
                found.add(waiting.pop((version, sequence)))
    return found


def largest(needed: Mapping[str, int]) -> dict[str, int]:
    """Find how large a packet comes back from each, up to what is needed; 0: none at all."""
    whole = ping(needed)
    found = {address: needed[address] if address in whole else 0 for address in needed}
    narrow = [address for address in needed if address not in whole]
    least = {address: _LEAST[6 if ":" in address else 4] for address in narrow}
    answering = ping(least) if least else set()
    low = {address: least[address] for address in answering}
    high = {address: needed[address] for address in answering}
    while open_ones := [a for a in answering if high[a] - low[a] > 1]:
        middle = {address: (low[address] + high[address]) // 2 for address in open_ones}
        passed = ping(middle, SEARCH_SECONDS)
        for address, size in middle.items():
            (low if address in passed else high)[address] = size
    return found | low


def _packet(version: int, identifier: int, sequence: int, size: int) -> bytes:
    payload = bytes(max(size - _HEADERS[version], 0))
    header = _ICMP.pack(_REQUEST[version], 0, 0, identifier, sequence)
    if version == 6:
        return header + payload  # the kernel fills in the checksum
    total = _checksum(header)  # the payload is all zeros
    return _ICMP.pack(_REQUEST[version], 0, total, identifier, sequence) + payload


def _checksum(header: bytes) -> int:
    total: int = sum(struct.unpack(f"!{len(header) // 2}H", header))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF


def _open(version: int) -> socket.socket:
    if version == 4:
        opened = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        opened.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _PROBE)
    else:
        opened = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
        opened.setsockopt(socket.IPPROTO_IPV6, _IPV6_MTU_DISCOVER, _PROBE)
    opened.setblocking(False)
    return opened


def connect(
    places: Iterable[tuple[str, int, str]], seconds: float = ANSWER_SECONDS
) -> dict[str, str]:
    """Open TCP to each (address, port, our address); say how each went, in one deadline."""
    found: dict[str, str] = {}
    opened: dict[socket.socket, str] = {}
    for address, port, own in places:
        one = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
        one.setblocking(False)
        try:
            if own:
                one.bind((own, 0))
            one.connect((address, port))
        except BlockingIOError:
            pass
        except OSError as error:
            found[address] = error.strerror or str(error)
            one.close()
            continue
        opened[one] = address
    until = time.monotonic() + seconds
    while opened and (left := until - time.monotonic()) > 0:
        _, ready, _ = select.select([], list(opened), [], left)
        for one in ready:
            number = one.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            found[opened.pop(one)] = _outcome(number)
            one.close()
    for one, address in opened.items():
        found[address] = "no answer"
        one.close()
    return found


def _outcome(number: int) -> str:
    if number == 0:
        return "connected"
    text = os.strerror(number)
    return "refused" if "refused" in text else text
