"""Connections that the kernel tracks: list them, delete those of an address.

    delete(addresses) --dump--> entries of these addresses --one batch of deletions--> kernel

An entry belongs to an address if the address sent its first packet (original source) or answered
it (reply source); other fields of an entry of a workload here cannot hold the address alone.

Every dump costs the kernel a walk through all buckets of its table, 25 ms for the usual 262,144,
before anything is found. It can filter, but by one address in one field. So for few connections
all are dumped and sorted out here, in one walk; for many, the kernel is asked for each address,
twice. Kernels before 5.8 ignore the filter, so what comes is looked at again here anyway.

Source: linux/netfilter/nfnetlink_conntrack.h; felix/conntrack/conntrack.go for which fields.
"""

import errno
import re
import socket
import struct
from collections.abc import Collection, Iterator

from msgspec import Struct

from calico.kernel import sysctl
from calico.kernel.netlink import (
    NETLINK_NETFILTER,
    KernelError,
    NetlinkSocket,
    attribute,
    attributes,
    nested,
)

_GET, _DELETE = 0x0101, 0x0102  # of the subsystem ctnetlink
_ORIGINAL, _REPLY, _ID, _ZONE, _FILTER = 1, 2, 12, 18, 25
_TUPLE_IP, _TUPLE_PROTOCOL = 1, 2
_SOURCE: dict[int, int] = {socket.AF_INET: 1, socket.AF_INET6: 3}
_DESTINATION: dict[int, int] = {socket.AF_INET: 2, socket.AF_INET6: 4}
_PROTOCOL_NUMBER, _SOURCE_PORT, _DESTINATION_PORT = 1, 2, 3
_ANYTHING = re.compile(b"")
_FLAG_IP_SOURCE = struct.pack("=I", 1)
_DUMPED_IN_A_WALK = 3_000  # connections that we read in the time of one walk


class Connection(Struct, frozen=True):
    """One tracked connection; ports are 0 where the protocol has none."""

    protocol: int
    source: str
    destination: str
    source_port: int
    destination_port: int
    reply_source: str


class KernelConnections:
    """The connections in the namespace of the thread that makes it."""

    def __init__(self) -> None:
        self._socket = NetlinkSocket(NETLINK_NETFILTER)

    def close(self) -> None:
        """Give the socket back."""
        self._socket.close()

    def list(self, family: int = socket.AF_INET) -> list[Connection]:
        """Return all connections of one family (AF_INET or AF_INET6)."""
        return [_connection(family, found) for found in self._dump(family, b"")]

    def delete(self, addresses: Collection[str]) -> int:
        """Delete the connections of these addresses; return how many. Raises KernelError."""
        if not (count := _count()):
            return 0
        deleted = 0
        for family, colon in ((socket.AF_INET, False), (socket.AF_INET6, True)):
            packed = {socket.inet_pton(family, a) for a in addresses if (":" in a) == colon}
            if packed:
                deleted += self._delete(family, packed, count)
        return deleted

    def _delete(self, family: int, packed: set[bytes], count: int) -> int:
        source = _SOURCE[family]
        requests = {}
        for found in self._candidates(family, packed, count):
            senders = {_addresses(found[kind]).get(source) for kind in (_ORIGINAL, _REPLY)}
            if senders & packed:
                body = _header(family) + nested(_ORIGINAL, found[_ORIGINAL])
                for kind in (_ID, _ZONE):  # the id, so that a successor is never hit
                    body += attribute(kind, found[kind]) if kind in found else b""
                requests[body] = (_DELETE, 0, body)
        refused = self._socket.batch("delete connections", list(requests.values()))
        for refusal in refused.values():
            if refusal.errno != errno.ENOENT:  # it may have ended by itself
                raise refusal
        return len(requests) - len(refused)

    def _candidates(
        self, family: int, packed: set[bytes], count: int
    ) -> Iterator[dict[int, bytes]]:
        """Find entries with these addresses in them, and maybe others."""
        walks = 2 * len(packed)
        if count < (walks - 1) * _DUMPED_IN_A_WALK:
            yield from self._dump(family, b"", re.compile(b"|".join(map(re.escape, packed))))
            return
        for address in sorted(packed):
            addresses = nested(_TUPLE_IP, attribute(_SOURCE[family], address))
            for kind, flags in ((_ORIGINAL, 1), (_REPLY, 2)):
                asked = nested(_FILTER, attribute(flags, _FLAG_IP_SOURCE))
                yield from self._dump(family, nested(kind, addresses) + asked)

    def _dump(
        self, family: int, asked: bytes, holding: "re.Pattern[bytes]" = _ANYTHING
    ) -> Iterator[dict[int, bytes]]:
        try:
            answers = self._socket.dump("list connections", _GET, _header(family) + asked)
        except KernelError as error:
            if error.errno == errno.EINVAL and asked:
                yield from self._dump(family, b"")  # a kernel that does not know the filter
                return
            raise
        for answer in answers:
            if answer.body[0] == family and holding.search(answer.body):
                yield attributes(answer.body, 4)


def _count() -> int:
    """Return how many connections there are; of both families, in this namespace."""
    try:
        return int(sysctl.read("net/netfilter/nf_conntrack_count"))
    except KernelError:
        return _DUMPED_IN_A_WALK  # not told: some


def _header(family: int) -> bytes:
    return bytes((family, 0, 0, 0))


def _addresses(tuple_: bytes) -> dict[int, bytes]:
    return attributes(attributes(tuple_)[_TUPLE_IP])


def _connection(family: int, found: dict[int, bytes]) -> Connection:
    original = _addresses(found[_ORIGINAL])
    protocol = attributes(attributes(found[_ORIGINAL])[_TUPLE_PROTOCOL])
    reply = _addresses(found[_REPLY])
    return Connection(
        protocol=protocol[_PROTOCOL_NUMBER][0],
        source=socket.inet_ntop(family, original[_SOURCE[family]]),
        destination=socket.inet_ntop(family, original[_DESTINATION[family]]),
        source_port=int.from_bytes(protocol.get(_SOURCE_PORT, b""), "big"),
        destination_port=int.from_bytes(protocol.get(_DESTINATION_PORT, b""), "big"),
        reply_source=socket.inet_ntop(family, reply[_SOURCE[family]]),
    )
