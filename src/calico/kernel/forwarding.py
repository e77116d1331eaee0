"""Forwarding entries of VXLAN devices: behind which node a MAC is.

    read_back --> {NeighbourKey(device, MAC): node's address}, permanent ones on our VXLANs
    apply({NeighbourKey(device, MAC): address or None}) --> {NeighbourKey: refusal}

They are neighbours of the bridge family, and the same reconciler keeps them. A device that learns
nothing by itself (ours) has no others, but one entry that the kernel may hold for unknown MACs.

Source: rtnetlink(7), linux/neighbour.h; felix/vxlanfdb.
"""

import errno
import socket
import struct
from collections.abc import Mapping

from calico.core.intent.interfaces import NeighbourKey
from calico.kernel.neighbours import RTM_DELNEIGH, RTM_GETNEIGH, RTM_NEWNEIGH
from calico.kernel.netlink import (
    NETLINK_ROUTE,
    NLM_F_CREATE,
    NLM_F_REPLACE,
    NetlinkSocket,
    attribute,
    attributes,
)
from calico.kernel.routes import INTERFACE_NOT_UP

_BRIDGE = 7  # AF_BRIDGE, which the socket module lacks
_DESTINATION, _MAC = 1, 2
_PERMANENT, _SELF = 0x80, 0x02
_HEADER = struct.Struct("=BxxxiHBB")  # family, index, state, flags, type
_ABSENT = {errno.ENOENT, errno.ENODEV}
_NO_MAC = bytes(6)  # "any MAC I do not know"


class KernelForwardingTable:
    """The entries of the named devices in the namespace of the thread that makes it."""

    def __init__(self, devices: tuple[str, ...]) -> None:
        self._devices = devices
        self._socket = NetlinkSocket(NETLINK_ROUTE)

    def close(self) -> None:
        """Give the socket back."""
        self._socket.close()

    def read_back(self) -> dict[NeighbourKey, str]:
        """List our entries. Raises KernelError."""
        names = dict(socket.if_nameindex())
        found = {}
        header = _HEADER.pack(_BRIDGE, 0, 0, 0, 0)
        for answer in self._socket.dump("list forwarding entries", RTM_GETNEIGH, header):
            _, index, state, _, _ = _HEADER.unpack_from(answer.body)
            name = names.get(index, "")
            fields = attributes(answer.body, _HEADER.size)
            mac, packed = fields.get(_MAC, _NO_MAC), fields.get(_DESTINATION)
            if name in self._devices and state & _PERMANENT and mac != _NO_MAC and packed:
                family = socket.AF_INET if len(packed) == 4 else socket.AF_INET6
                found[NeighbourKey(name, mac.hex(":"))] = socket.inet_ntop(family, packed)
        return found

    def apply(self, changes: Mapping[NeighbourKey, str | None]) -> Mapping[NeighbourKey, str]:
        """Attempt every change; None deletes, and absent is fine. Return {key: refusal}."""
        failures, requests, asked = {}, [], []
        for key, host in changes.items():
            try:
                index = socket.if_nametoindex(key.interface)
            except OSError:
                if host is not None:
                    failures[key] = INTERFACE_NOT_UP
                continue
            body = _HEADER.pack(_BRIDGE, index, _PERMANENT, _SELF, 0)
            body += attribute(_MAC, bytes.fromhex(key.address.replace(":", "")))
            if host is None:
                requests.append((RTM_DELNEIGH, 0, body))
            else:
                family = socket.AF_INET6 if ":" in host else socket.AF_INET
                body += attribute(_DESTINATION, socket.inet_pton(family, host))
                requests.append((RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, body))
            asked.append(key)
        for place, refusal in self._socket.batch("change forwarding entries", requests).items():
            key = asked[place]
            if changes[key] is not None or refusal.errno not in _ABSENT:
                failures[key] = refusal.reason
        return failures
