"""Network interfaces: list, create, change, delete.

    Links() --list--> {name: Link}
            --create_veth, create_bridge, create_vxlan, change, move, delete--> kernel

One `Links` is one socket in the namespace of the thread that made it; to work in another
namespace, make one inside it. A veth pair is created in one message, its far end straight inside
the other namespace with its final name, so that it is never seen half-made.

Links are addressed by name. Nothing here decides which links are ours; callers know.

Source: rtnetlink(7), linux/if_link.h.
"""

import errno
import socket
import struct
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
    nested,
    text,
)

RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK, RTM_SETLINK = 16, 17, 18, 19
IFF_UP, IFF_RUNNING = 0x1, 0x40

_ADDRESS, _NAME, _MTU, _PARENT, _MASTER, _LINKINFO = 1, 3, 4, 5, 10, 18
_NAMESPACE, _EXT_MASK, _TX_QUEUES, _RX_QUEUES = 28, 29, 31, 32
_INFO_KIND, _INFO_DATA, _VETH_PEER = 1, 2, 1
_VXLAN_ID, _VXLAN_LINK, _VXLAN_LOCAL, _VXLAN_LEARNING = 1, 3, 4, 7
_VXLAN_PORT, _VXLAN_LOCAL6 = 15, 17
_SKIP_STATISTICS = 8  # they are most of a link's message, and nobody here reads them

_LINK = struct.Struct("=BxHiII")  # family, type, index, flags, flags to change
_U32 = struct.Struct("=I")


class Vxlan(Struct, frozen=True):
    """What makes a VXLAN device. `parent` is the index of the link its packets leave by."""

    vni: int
    port: int
    local: str = ""
    parent: int = 0
    mac: str = ""
    learning: bool = False


class Link(Struct, frozen=True):
    """One interface. `is_up` is what was set; `is_running` is whether packets can pass."""

    index: int
    name: str
    kind: str = ""  # "veth", "bridge", "vxlan" ...; "" for hardware and loopback
    is_up: bool = False
    is_running: bool = False
    mtu_bytes: int = 0
    mac: str = ""
    master: int = 0  # index of the bridge it belongs to
    parent: int = 0  # index of the link below it, or of a veth's other end
    vxlan: Vxlan | None = None  # what makes it one


class Peer(Struct, frozen=True):
    """The far end of a veth pair; `namespace` is a descriptor, None for the same namespace.

    `queues` is for both ends; 0 leaves it to the kernel, which makes one for each CPU.
    """

    name: str
    namespace: int | None = None
    mac: str = ""  # "" leaves it to the kernel
    queues: int = 0


def parse_link(body: bytes) -> Link:
    """Decode the body of an RTM_NEWLINK or RTM_DELLINK message."""
    _, _, index, flags, _ = _LINK.unpack_from(body)
    found = attributes(body, _LINK.size)
    described = attributes(found.get(_LINKINFO, b""))
    kind, mac = _text(described.get(_INFO_KIND, b"")), found.get(_ADDRESS, b"").hex(":")
    return Link(
        index=index,
        name=_text(found.get(_NAME, b"")),
        kind=kind,
        is_up=bool(flags & IFF_UP),
        is_running=bool(flags & IFF_RUNNING),
        mtu_bytes=_number(found.get(_MTU)),
        mac=mac,
        master=_number(found.get(_MASTER)),
        parent=_number(found.get(_PARENT)),
        vxlan=_vxlan(described.get(_INFO_DATA, b""), mac) if kind == "vxlan" else None,
    )


def _vxlan(data: bytes, mac: str) -> Vxlan:
    found = attributes(data)
    local = ""
    for place, family in ((_VXLAN_LOCAL, socket.AF_INET), (_VXLAN_LOCAL6, socket.AF_INET6)):
        if found.get(place, b"").strip(b"\0"):
            local = socket.inet_ntop(family, found[place])
    return Vxlan(
        vni=_number(found.get(_VXLAN_ID)),
        port=int.from_bytes(found.get(_VXLAN_PORT, b""), "big"),
        local=local,
        parent=_number(found.get(_VXLAN_LINK)),
        mac=mac,
        learning=bool(found.get(_VXLAN_LEARNING, b"\0")[0]),
    )


class Links:
    """The interfaces of one namespace."""

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

    def list(self) -> dict[str, Link]:
        """Return every link by name."""
        body = _LINK.pack(0, 0, 0, 0, 0) + attribute(_EXT_MASK, _U32.pack(_SKIP_STATISTICS))
        answers = self._socket.dump("list links", RTM_GETLINK, body)
        links = (parse_link(answer.body) for answer in answers)
        return {link.name: link for link in links}

    def get(self, name: str) -> Link | None:
        """Return one link, None if there is none of that name."""
        body = _LINK.pack(0, 0, 0, 0, 0) + text(_NAME, name)
        body += attribute(_EXT_MASK, _U32.pack(_SKIP_STATISTICS))
        try:
            answers = self._socket.request(f"look at link {name}", RTM_GETLINK, 0, body)
        except KernelError as error:
            if error.errno == errno.ENODEV:
                return None
            raise
        return parse_link(answers[0].body)

    def create(self, kind: str, name: str) -> None:
        """Create a link of a kind that needs no parameters, down. Raises KernelError."""
        self._create(kind, name, b"", b"")

    def create_veth(
        self, name: str, peer: Peer, mtu_bytes: int = 0, mac: str = "", *, up: bool = False
    ) -> None:
        """Create a pair; the MTU is for both ends, `up` for this one. Raises KernelError.

        The far end is down: the kernel refuses to raise it before the pair is joined.
        """
        queues = _queues(peer.queues)
        far = _header() + text(_NAME, peer.name) + _looks(peer.mac, mtu_bytes) + queues
        if peer.namespace is not None:
            far += attribute(_NAMESPACE, _U32.pack(peer.namespace))
        self._create(
            "veth", name, attribute(_VETH_PEER, far), _looks(mac, mtu_bytes) + queues, up=up
        )

    def create_bridge(self, name: str, mtu_bytes: int = 0, mac: str = "") -> None:
        """Create a bridge, down. Raises KernelError."""
        self._create("bridge", name, b"", _looks(mac, mtu_bytes))

    def create_vxlan(self, name: str, vxlan: Vxlan, mtu_bytes: int = 0) -> None:
        """Create a VXLAN device, down. Raises KernelError."""
        parameters = attribute(_VXLAN_ID, _U32.pack(vxlan.vni))
        parameters += attribute(_VXLAN_PORT, vxlan.port.to_bytes(2, "big"))
        parameters += attribute(_VXLAN_LEARNING, bytes([vxlan.learning]))
        if vxlan.parent:
            parameters += attribute(_VXLAN_LINK, _U32.pack(vxlan.parent))
        if vxlan.local:
            six = ":" in vxlan.local
            packed = socket.inet_pton(socket.AF_INET6 if six else socket.AF_INET, vxlan.local)
            parameters += attribute(_VXLAN_LOCAL6 if six else _VXLAN_LOCAL, packed)
        self._create("vxlan", name, parameters, _looks(vxlan.mac, mtu_bytes))

    def delete(self, name: str) -> None:
        """Delete a link (of a veth pair, both ends). Absent is fine."""
        body = _LINK.pack(0, 0, 0, 0, 0) + text(_NAME, name)
        try:
            self._socket.request(f"delete link {name}", RTM_DELLINK, 0, body)
        except KernelError as error:
            if error.errno != errno.ENODEV:
                raise

    def set_up(self, name: str, state: Literal["up", "down"] = "up") -> None:
        """Raise or lower a link. Raises KernelError."""
        flags = IFF_UP if state == "up" else 0
        body = _LINK.pack(0, 0, 0, flags, IFF_UP) + text(_NAME, name)
        self._socket.request(f"set link {name} {state}", RTM_NEWLINK, 0, body)

    def change(
        self, name: str, *, mac: str = "", mtu_bytes: int = 0, master: int | None = None
    ) -> None:
        """Change what is given; master 0 takes the link out of its bridge. Raises KernelError."""
        body = _header() + text(_NAME, name) + _looks(mac, mtu_bytes)
        if master is not None:
            body += attribute(_MASTER, _U32.pack(master))
        self._socket.request(f"change link {name}", RTM_NEWLINK, 0, body)

    def move(self, name: str, namespace: int, new_name: str = "") -> None:
        """Move a link into another namespace (a descriptor); it is down there."""
        link = self.get(name)
        if link is None:
            raise KernelError(f"move link {name}", errno.ENODEV)
        body = _LINK.pack(0, 0, link.index, 0, 0) + text(_NAME, new_name or name)
        body += attribute(_NAMESPACE, _U32.pack(namespace))
        self._socket.request(f"move link {name}", RTM_NEWLINK, 0, body)

    def _create(
        self, kind: str, name: str, parameters: bytes, looks: bytes, *, up: bool = False
    ) -> None:
        described = text(_INFO_KIND, kind)
        if parameters:
            described += nested(_INFO_DATA, parameters)
        body = _header(up=up) + text(_NAME, name) + looks + nested(_LINKINFO, described)
        flags = NLM_F_CREATE | NLM_F_EXCL
        self._socket.request(f"create {kind} {name}", RTM_NEWLINK, flags, body)


def _header(*, up: bool = False) -> bytes:
    flags = IFF_UP if up else 0
    return _LINK.pack(0, 0, 0, flags, flags)


def _looks(mac: str, mtu_bytes: int) -> bytes:
    encoded = attribute(_ADDRESS, bytes.fromhex(mac.replace(":", ""))) if mac else b""
    return encoded + (attribute(_MTU, _U32.pack(mtu_bytes)) if mtu_bytes else b"")


def _queues(count: int) -> bytes:
    number = _U32.pack(count)
    return attribute(_TX_QUEUES, number) + attribute(_RX_QUEUES, number) if count else b""


def _text(payload: bytes) -> str:
    return payload.rstrip(b"\0").decode(errors="replace")


def _number(payload: bytes | None) -> int:
    return _U32.unpack(payload)[0] if payload else 0
