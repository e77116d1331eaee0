"""The smallest pieces of nf_tables' language: numbers, expressions, registers.

    expression("cmp", number(1, 8), ...)  -->  bytes       nftables_matches, nftables_statements
    bytes  -->  Reading: what each register holds, and the words found so far     (the way back)

Source: linux/netfilter/nf_tables.h.
"""

import struct
from collections.abc import Mapping
from functools import lru_cache
from typing import Literal, NamedTuple, TypeAlias

from calico.core.nftables.vocabulary import Expression, Family, Field, Set, Span, Value, Verdict
from calico.kernel.netlink import attribute, attributes, nested, text
from calico.kernel.nftables_fields import FIELDS, IPV4, IPV6, FieldWire

Attributes: TypeAlias = dict[int, bytes]

VERDICT_REGISTER, FIRST_REGISTER = 0, 8  # registers of 4 bytes count from 8
VERDICT_CODES = {"drop": 0, "accept": 1, "jump": -3, "goto": -4, "return": -5}

_VERDICTS = {code: kind for kind, code in VERDICT_CODES.items()}


class Unreadable(Exception):
    """These bytes say something that the vocabulary has no word for."""


def number(kind: int, value: int) -> bytes:
    """Encode a 32-bit number; all of nf_tables' own numbers are big-endian."""
    return struct.pack("=HH", 8, kind) + struct.pack(">I", value)


def number_64(kind: int, value: int) -> bytes:
    """Encode a 64-bit number."""
    return struct.pack("=HH", 12, kind) + struct.pack(">Q", value)


def value_data(kind: int, value: bytes) -> bytes:
    """Wrap plain bytes as data."""
    return nested(kind, attribute(1, value))


def expression(name: str, *parts: bytes) -> bytes:
    """Encode one of the kernel's expressions, as an item of a rule's list."""
    return nested(1, text(1, name), nested(2, *parts))


def constant(register: int, value: bytes) -> bytes:
    """Put bytes into a register."""
    return expression("immediate", number(1, register), value_data(2, value))


@lru_cache(maxsize=8_192)
def encode_verdict(verdict: Verdict) -> bytes:
    """Give the data of a verdict, in a rule or as what a map's element leads to."""
    code = VERDICT_CODES[verdict.kind]
    parts = [attribute(1, struct.pack(">i", code))]
    if verdict.kind in {"jump", "goto"}:
        parts.append(text(2, verdict.chain))
    return nested(2, nested(2, *parts))


def decode_verdict(data: bytes) -> Verdict:
    """Read the data of a verdict."""
    parts = attributes(attributes(data)[2])
    code: int = struct.unpack(">i", parts[1])[0]
    chain = parts[2].rstrip(b"\0").decode() if 2 in parts else ""
    return Verdict(_VERDICTS[code], chain)  # type: ignore[arg-type]  # keys of a literal table


class Held(NamedTuple):
    """What a register holds at this point of a rule: where it came from, and what was done."""

    source: Field | Literal["ct state", "ct status", "type saddr", "type daddr", "route", "bytes"]
    length: int = 4
    mask: bytes | None = None
    flip: bytes = b""  # beside `mask`; of plain bytes, those bytes


class Reader:
    """What must be known to read the rules of one table."""

    def __init__(
        self,
        family: Family,
        sets: Mapping[str, Set],
        anonymous: Mapping[str, tuple[Value | Span, ...]],
    ) -> None:
        self.family = family
        self.sets = sets
        self.anonymous = anonymous
        self.wires: Mapping[Field, FieldWire] = FIELDS[family]
        self.meta: dict[int, Field] = {
            w.key: field for field, w in self.wires.items() if w.source == "meta"
        }
        # icmp_type and sport both begin the transport header: their lengths tell them apart.
        self.payload: dict[tuple[int, int, int], Field] = {
            (w.key, w.offset, length): field
            for field, w in self.wires.items()
            if w.source == "payload"
            for length in (range(1, w.length + 1) if w.codec in {IPV4, IPV6} else (w.length,))
        }


class Reading:
    """One rule being read, from left to right, as the kernel would."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self.found: list[Expression] = []
        self.registers: dict[int, Held] = {}
        self.lower: Value | None = None  # of a span whose upper bound comes next

    def held(self, parts: Attributes, kind: int) -> Held:
        """Tell what is in the register that this attribute names."""
        return self.registers[register(parts, kind)]

    def plain_bytes(self, parts: Attributes, kind: int) -> bytes:
        """Give the bytes that were put into the register that this attribute names."""
        held = self.held(parts, kind)
        if held.source != "bytes":
            raise Unreadable
        return held.flip

    def field(self, held: Held) -> Field:
        """Tell which field of the packet this is."""
        if held.source not in self.reader.wires:
            raise Unreadable
        return held.source  # type: ignore[return-value]  # a key of the wires


def u32(parts: Attributes, kind: int) -> int:
    """Read a number; absent is 0."""
    return int.from_bytes(parts.get(kind, b""), "big")


def register(parts: Attributes, kind: int) -> int:
    """Read a register, counted in 4 bytes from 8, whichever of its two ways the kernel used."""
    value = int.from_bytes(parts[kind], "big")
    return value if value >= 8 or not value else 4 + 4 * value


def host_32(value: bytes) -> int:
    """Read a number in the machine's own byte order."""
    read: int = struct.unpack("=I", value)[0]
    return read
