"""Filters that the kernel runs on a netlink socket's messages before they cost us anything.

    route_filter    links and addresses; routes of the main table by others than BIRD, the
                    kernel and ourselves
    nftables_filter the generation message of transactions by others than ourselves

A filter is a row of instructions of the classic packet filter: load from the message, compare,
jump, return. What it loads it takes for big-endian, while a netlink header is in the machine's
own order; so what is compared is swapped.

Source: linux/filter.h, linux/netlink.h; bpf(4).
"""

import ctypes
import os
import socket
import struct
import sys
from collections.abc import Collection
from typing import Protocol, TypeAlias

from calico.core.intent.routes import ROUTE_PROTOCOL_BIRD
from calico.kernel.links import RTM_DELLINK, RTM_NEWLINK
from calico.kernel.routes import RTM_DELROUTE, RTM_NEWROUTE, TABLE_MAIN

_LOAD_BYTE, _LOAD_HALF, _LOAD_WORD = 0x30, 0x28, 0x20
_JUMP_EQUAL, _RETURN = 0x15, 0x06
_DROP, _PASS = 0, 0xFFFF_FFFF

_SO_ATTACH_FILTER = 26

_TYPE, _PORT, _BODY = 4, 12, 16  # offsets in a message
_ROUTE_TABLE, _ROUTE_PROTOCOL = _BODY + 4, _BODY + 5
_ROUTE_PROTOCOL_KERNEL = 2
_NEW_GENERATION = 10 << 8 | 15  # NFNL_SUBSYS_NFTABLES, NFT_MSG_NEWGEN

Instruction: TypeAlias = tuple[int, int, int, int]  # code, jump if true, jump if false, value


class _Descriptor(Protocol):
    def fileno(self) -> int: ...


def route_filter(own_ports: Collection[int]) -> list[Instruction]:
    """Of an rtnetlink socket: see the module."""
    ports = _refuse_ports(own_ports)
    routes: list[Instruction] = [
        (_LOAD_BYTE, 0, 0, _ROUTE_TABLE),
        *_drop_unless(TABLE_MAIN),
        (_LOAD_BYTE, 0, 0, _ROUTE_PROTOCOL),
        *_drop_if(ROUTE_PROTOCOL_BIRD),
        *_drop_if(_ROUTE_PROTOCOL_KERNEL),  # each interface brings some
        *ports,
        (_RETURN, 0, 0, _PASS),
    ]
    links: list[Instruction] = [
        (_LOAD_BYTE, 0, 0, _BODY),
        *_drop_unless(0),  # else a bridge telling of its ports, in the same message types
        (_RETURN, 0, 0, _PASS),
    ]
    to_links, to_routes = 4, 2
    return [
        (_LOAD_HALF, 0, 0, _TYPE),
        (_JUMP_EQUAL, to_links + 0, 0, _swapped16(RTM_NEWLINK)),
        (_JUMP_EQUAL, to_links - 1, 0, _swapped16(RTM_DELLINK)),
        (_JUMP_EQUAL, to_routes + len(links) + 0, 0, _swapped16(RTM_NEWROUTE)),
        (_JUMP_EQUAL, to_routes + len(links) - 1, 0, _swapped16(RTM_DELROUTE)),
        (_RETURN, 0, 0, _PASS),
        *links,
        *routes,
    ]


def nftables_filter(own_ports: Collection[int]) -> list[Instruction]:
    """Of an nfnetlink socket that listens to nftables: see the module."""
    return [
        (_LOAD_HALF, 0, 0, _TYPE),
        *_drop_unless(_swapped16(_NEW_GENERATION)),
        *_refuse_ports(own_ports),
        (_RETURN, 0, 0, _PASS),
    ]


def attach(opened: _Descriptor, instructions: list[Instruction]) -> None:
    """Put a filter on a socket. What has arrived before passed without it."""
    program = b"".join(struct.pack("=HBBI", *one) for one in instructions)
    buffer = ctypes.create_string_buffer(program, len(program))
    described = struct.pack("@HP", len(instructions), ctypes.addressof(buffer))
    with socket.socket(fileno=os.dup(opened.fileno())) as same:
        same.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, described)


def _drop_unless(value: int) -> list[Instruction]:
    return [(_JUMP_EQUAL, 1, 0, value), (_RETURN, 0, 0, _DROP)]


def _drop_if(value: int) -> list[Instruction]:
    return [(_JUMP_EQUAL, 0, 1, value), (_RETURN, 0, 0, _DROP)]


def _refuse_ports(ports: Collection[int]) -> list[Instruction]:
    return [
        (_LOAD_WORD, 0, 0, _PORT),
        *(one for port in sorted(ports) for one in _drop_if(_swapped32(port))),
    ]


def _swapped16(value: int) -> int:
    return int.from_bytes(value.to_bytes(2, sys.byteorder), "big")


def _swapped32(value: int) -> int:
    return int.from_bytes(value.to_bytes(4, sys.byteorder), "big")
