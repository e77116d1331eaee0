"""Permanent neighbour (ARP) entries: which MAC answers for an address on an interface.

    read_back --> {NeighbourKey: MAC}, permanent ones on workload interfaces
    apply({NeighbourKey: MAC or None}) --> {NeighbourKey: refusal}

Ours is every permanent entry on a workload interface or a VXLAN of ours. What the kernel learned
by itself is not.

Source: rtnetlink(7), linux/neighbour.h; felix spec 6.8.
"""

import errno
import socket
import struct
from collections.abc import Mapping
from typing import Literal

from calico.core.intent.interfaces import NeighbourKey
from calico.kernel.netlink import (
    NETLINK_ROUTE,
    NLM_F_CREATE,
    NLM_F_REPLACE,
    NetlinkSocket,
    attribute,
    attributes,
)
from calico.kernel.routes import INTERFACE_NOT_UP

RTM_NEWNEIGH, RTM_DELNEIGH, RTM_GETNEIGH = 28, 29, 30

_DESTINATION, _MAC = 1, 2
_PERMANENT = 0x80
_HEADER = struct.Struct("=BxxxiHBB")  # family, index, state, flags, type
_ABSENT = {errno.ENOENT, errno.ENODEV, errno.EINVAL}  # EINVAL: an interface without neighbours
_NOT_UP = {errno.ENODEV, errno.ENETDOWN}


class KernelNeighbourTable:
    """One family's neighbours in the namespace of the thread that makes it."""

    def __init__(
        self, prefixes: tuple[str, ...] = ("cali",), family: Literal["ipv4", "ipv6"] = "ipv4"
    ) -> None:
        """`prefixes` are of the names of the interfaces whose permanent entries are ours."""
        self._prefixes = prefixes
        self._family = socket.AF_INET if family == "ipv4" else socket.AF_INET6
        self._socket = NetlinkSocket(NETLINK_ROUTE)

    def close(self) -> None:
        """Give the socket back."""
        self._socket.close()

    def read_back(self) -> dict[NeighbourKey, str]:
        """List our entries. Raises KernelError."""
        names = dict(socket.if_nameindex())
        found = {}
        header = _HEADER.pack(self._family, 0, 0, 0, 0)
        for answer in self._socket.dump("list neighbours", RTM_GETNEIGH, header):
            _, index, state, _, _ = _HEADER.unpack_from(answer.body)
            interface = names.get(index, "")
            if state & _PERMANENT and interface.startswith(self._prefixes):
                fields = attributes(answer.body, _HEADER.size)
                address = socket.inet_ntop(self._family, fields[_DESTINATION])
                found[NeighbourKey(interface, address)] = fields.get(_MAC, b"").hex(":")
        return found

    def apply(self, changes: Mapping[NeighbourKey, str | None]) -> Mapping[NeighbourKey, str]:
        """Attempt every change; None deletes, and absent is fine. Return {key: refusal}."""
        failures, requests, asked = {}, [], []
        for key, mac in changes.items():
            try:
                index = socket.if_nametoindex(key.interface)
            except OSError:
                if mac is not None:
                    failures[key] = INTERFACE_NOT_UP
                continue
            body = _HEADER.pack(self._family, index, _PERMANENT, 0, 0)
            body += attribute(_DESTINATION, socket.inet_pton(self._family, key.address))
            if mac is None:
                requests.append((RTM_DELNEIGH, 0, body))
            else:
                body += attribute(_MAC, bytes.fromhex(mac.replace(":", "")))
                requests.append((RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, body))
            asked.append(key)
        for place, refusal in self._socket.batch("change neighbours", requests).items():
            key = asked[place]
            if changes[key] is not None:
                waits = refusal.errno in _NOT_UP
                failures[key] = INTERFACE_NOT_UP if waits else refusal.reason
            elif refusal.errno not in _ABSENT:
                failures[key] = refusal.reason
        return failures
