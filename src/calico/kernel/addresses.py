"""The addresses of interfaces: list, add, delete.

    Addresses() --list--> [Address]
                --add, delete--> kernel

An address is text with its prefix length, "10.0.0.1/24". IPv6 addresses can be added without
duplicate detection, so that they can be used at once.

Source: rtnetlink(7), linux/if_addr.h.
"""

import errno
import socket
import struct
from ipaddress import ip_interface
from types import TracebackType
from typing import Literal, Self

from msgspec import Struct

from calico.kernel.netlink import (
    NETLINK_ROUTE,
    NLM_F_CREATE,
    NLM_F_EXCL,
    KernelError,
    NetlinkSocket,
    attribute,
    attributes,
)

RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR = 20, 21, 22

Scope = Literal["universe", "link", "host"]

_ADDRESS, _LOCAL, _FLAGS = 1, 2, 8
_NO_DUPLICATE_DETECTION, _TENTATIVE = 0x02, 0x40
_SCOPES: dict[Scope, int] = {"universe": 0, "link": 253, "host": 254}
_SCOPE_NAMES: dict[int, Scope] = {number: name for name, number in _SCOPES.items()}
_HEADER = struct.Struct("=BBBBi")  # family, prefix length, flags, scope, index


class Address(Struct, frozen=True):
    """One address of one interface; `is_tentative` while duplicates are looked for."""

    index: int
    address: str  # "10.0.0.1/24"
    scope: Scope = "universe"
    is_tentative: bool = False


def parse_address(body: bytes) -> Address | None:
    """Decode the body of an RTM_NEWADDR or RTM_DELADDR message; None if it is not IP."""
    family, length, flags, scope, index = _HEADER.unpack_from(body)
    found = attributes(body, _HEADER.size)
    packed = found.get(_LOCAL, found.get(_ADDRESS))  # point-to-point: the own end
    if family not in {socket.AF_INET, socket.AF_INET6} or packed is None:
        return None
    if _FLAGS in found:
        flags = struct.unpack("=I", found[_FLAGS])[0]
    return Address(
        index=index,
        address=f"{socket.inet_ntop(family, packed)}/{length}",
        scope=_SCOPE_NAMES.get(scope, "universe"),
        is_tentative=bool(flags & _TENTATIVE),
    )


class Addresses:
    """The addresses of one namespace."""

    def __init__(self) -> None:
        self._socket = NetlinkSocket(NETLINK_ROUTE)

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

    def list(self, index: int = 0) -> list[Address]:
        """Return the addresses of one link, or of all."""
        body = _HEADER.pack(0, 0, 0, 0, index)  # the kernel itself looks at one link only
        answers = self._socket.dump("list addresses", RTM_GETADDR, body)
        found = (parse_address(answer.body) for answer in answers)
        return [address for address in found if address is not None]

    def add(self, index: int, address: str, scope: Scope = "universe") -> None:
        """Add an address, IPv6 usable at once. Being there already is fine."""
        body = _request(index, address, scope)
        flags = NLM_F_CREATE | NLM_F_EXCL
        try:
            self._socket.request(f"add address {address}", RTM_NEWADDR, flags, body)
        except KernelError as error:
            if error.errno != errno.EEXIST:
                raise

    def delete(self, index: int, address: str) -> None:
        """Delete an address. Absent is fine."""
        body = _request(index, address, "universe")
        try:
            self._socket.request(f"delete address {address}", RTM_DELADDR, 0, body)
        except KernelError as error:
            if error.errno != errno.EADDRNOTAVAIL:
                raise


def _request(index: int, address: str, scope: Scope) -> bytes:
    parsed = ip_interface(address)
    family = socket.AF_INET if parsed.version == 4 else socket.AF_INET6
    header = _HEADER.pack(family, parsed.network.prefixlen, 0, _SCOPES[scope], index)
    packed = parsed.ip.packed
    body = header + attribute(_LOCAL, packed) + attribute(_ADDRESS, packed)
    if parsed.version == 6:
        body += attribute(_FLAGS, struct.pack("=I", _NO_DUPLICATE_DETECTION))
    return body
