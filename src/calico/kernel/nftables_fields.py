"""How each field of the vocabulary is found in a packet, and how its values look as bytes.

    ("ip", "daddr") --> FieldWire: payload, network header + 16, 4 bytes, type ipv4_addr
    "10.0.0.1"      --> 0a 00 00 01   the same bytes in a register, a set key, a comparison

A register holds 4 bytes; a longer value takes several, and each field of a joined key begins a
new one. Numbers of the packet are big-endian, those of the kernel (mark) the machine's own.

Source: linux/netfilter/nf_tables.h; the type numbers are nft's own (its datatype.h).
"""

import struct
from collections.abc import Callable, Sequence
from socket import AF_INET, AF_INET6, inet_ntop, inet_pton
from typing import Literal, NamedTuple, TypeAlias

from calico.core.nftables.vocabulary import Element, Family, Field, Value

FAMILY_NUMBERS: dict[Family, int] = {"ip": 2, "arp": 3, "ip6": 10}

# Subsystem, messages and the group, for whoever listens: kernel/notifications.py lets only
# NEWGEN through; its header's port is the socket of whoever made the transaction.
NFNL_SUBSYS_NFTABLES = 10
NFNLGRP_NFTABLES = 7
NFT_MSG_NEWGEN = 15

REGISTER_BYTES = 4
INTERFACE_BYTES = 16

Source: TypeAlias = Literal["meta", "payload", "ct"]

META_MARK, META_IIFNAME, META_OIFNAME, META_L4PROTO = 3, 6, 7, 16
NETWORK_HEADER, TRANSPORT_HEADER = 1, 2
CT_STATE, CT_STATUS = 0, 2
CT_STATUS_DNAT_BIT = 0x20


class Codec(NamedTuple):
    """Values to bytes and back; both raise ValueError, OSError or struct.error if they cannot."""

    encode: Callable[[Value], bytes]
    decode: Callable[[bytes], Value]


class FieldWire(NamedTuple):
    """`key` is the meta or ct key, or the header; `type_id` is what nft calls its type."""

    source: Source
    key: int
    offset: int
    length: int
    codec: Codec
    type_id: int


def _encode_name(value: Value) -> bytes:
    name = str(value).encode(errors="surrogateescape")
    if not name or len(name) >= INTERFACE_BYTES:
        msg = f"{value!r} is no interface name"
        raise ValueError(msg)
    return name.ljust(INTERFACE_BYTES, b"\0")


def _number(layout: str) -> Codec:
    packer = struct.Struct(layout)

    def decode(data: bytes) -> Value:
        number: int = packer.unpack(data)[0]
        return number

    return Codec(packer.pack, decode)


NAME = Codec(_encode_name, lambda data: data.rstrip(b"\0").decode(errors="surrogateescape"))
HOST_32 = _number("=I")
BYTE = _number("B")
BIG_16 = _number(">H")
IPV4 = Codec(lambda v: inet_pton(AF_INET, str(v)), lambda data: inet_ntop(AF_INET, data))
IPV6 = Codec(lambda v: inet_pton(AF_INET6, str(v)), lambda data: inet_ntop(AF_INET6, data))

_ANY_FAMILY: dict[Field, FieldWire] = {
    "iifname": FieldWire("meta", META_IIFNAME, 0, INTERFACE_BYTES, NAME, 41),
    "oifname": FieldWire("meta", META_OIFNAME, 0, INTERFACE_BYTES, NAME, 41),
    "mark": FieldWire("meta", META_MARK, 0, 4, HOST_32, 19),
}
_IP_FAMILIES: dict[Field, FieldWire] = {
    **_ANY_FAMILY,
    "l4proto": FieldWire("meta", META_L4PROTO, 0, 1, BYTE, 12),
    "sport": FieldWire("payload", TRANSPORT_HEADER, 0, 2, BIG_16, 13),
    "dport": FieldWire("payload", TRANSPORT_HEADER, 2, 2, BIG_16, 13),
}
FIELDS: dict[Family, dict[Field, FieldWire]] = {
    "ip": {
        **_IP_FAMILIES,
        "saddr": FieldWire("payload", NETWORK_HEADER, 12, 4, IPV4, 7),
        "daddr": FieldWire("payload", NETWORK_HEADER, 16, 4, IPV4, 7),
        "icmp_type": FieldWire("payload", TRANSPORT_HEADER, 0, 1, BYTE, 14),
        "icmp_code": FieldWire("payload", TRANSPORT_HEADER, 1, 1, BYTE, 32),
    },
    "ip6": {
        **_IP_FAMILIES,
        "saddr": FieldWire("payload", NETWORK_HEADER, 8, 16, IPV6, 8),
        "daddr": FieldWire("payload", NETWORK_HEADER, 24, 16, IPV6, 8),
        "icmp_type": FieldWire("payload", TRANSPORT_HEADER, 0, 1, BYTE, 29),
        "icmp_code": FieldWire("payload", TRANSPORT_HEADER, 1, 1, BYTE, 33),
    },
    "arp": {
        **_ANY_FAMILY,
        "arp_operation": FieldWire("payload", NETWORK_HEADER, 6, 2, BIG_16, 11),
        "arp_saddr_ip": FieldWire("payload", NETWORK_HEADER, 14, 4, IPV4, 7),
    },
}


def padded(length: int) -> int:
    """Round up to whole registers."""
    return (length + REGISTER_BYTES - 1) & ~(REGISTER_BYTES - 1)


def wires(family: Family, fields: Sequence[Field]) -> list[FieldWire]:
    """Find the fields in packets of this family. Raises KeyError for one it does not have."""
    known = FIELDS[family]
    return [known[field] for field in fields]


def key_length(of: Sequence[FieldWire]) -> int:
    """Tell how long a set's key is: a joined one is padded, a single field is not."""
    return of[0].length if len(of) == 1 else sum(padded(w.length) for w in of)


def encode_key(of: Sequence[FieldWire], element: Element) -> bytes:
    """Join the values of an element as the kernel wants a key."""
    if len(of) == 1:
        return of[0].codec.encode(element[0])
    parts = []
    for wire, value in zip(of, element, strict=True):
        part = wire.codec.encode(value)
        parts.append(part + b"\0" * (-len(part) & 3))
    return b"".join(parts)


def decode_key(of: Sequence[FieldWire], key: bytes) -> Element:
    """Take a key apart again."""
    if len(of) == 1:
        return (of[0].codec.decode(key),)
    values, offset = [], 0
    for wire in of:
        values.append(wire.codec.decode(key[offset : offset + wire.length]))
        offset += padded(wire.length)
    return tuple(values)
