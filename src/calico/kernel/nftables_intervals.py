"""Ranges of values as the kernel's interval sets hold them: a beginning, and the end's successor.

    "10.0.0.0/8" --> (0a000000, 0b000000)        80..90 --> (0050, 005b)
    "255.0.0.0/8" -> (ff000000, None)            the last of all values has no successor

A lookup takes the greatest point that is not above the value, and matches if that point begins a
range. What someone else added and no prefix can say is read back as "10.0.0.1-10.0.0.6".
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from calico.core.nftables.vocabulary import Span, Value
from calico.kernel.nftables_fields import HOST_32, IPV4, IPV6, NAME, FieldWire


class Point(NamedTuple):
    """One element of an interval set in the kernel."""

    key: bytes
    is_end: bool


def interval(wire: FieldWire, value: Value | Span) -> tuple[bytes, bytes | None]:
    """Give the first key of a range and the key after its last; None: there is none."""
    if wire.codec in {HOST_32, NAME}:
        msg = f"no ranges of {value!r}: its bytes do not sort like its values"
        raise ValueError(msg)
    first, last = _bounds(wire, value)
    if first > last:
        msg = f"{value!r} ends before it begins"
        raise ValueError(msg)
    top = 1 << 8 * wire.length
    end = (last + 1).to_bytes(wire.length, "big") if last + 1 < top else None
    return first.to_bytes(wire.length, "big"), end


def _bounds(wire: FieldWire, value: Value | Span) -> tuple[int, int]:
    if isinstance(value, tuple):
        return value
    if isinstance(value, int):
        return value, value
    if "-" in value:
        low, _, high = value.partition("-")
        return _number(wire, low), _number(wire, high)
    address, _, length = value.partition("/")
    first = _number(wire, address)
    host_bits = 8 * wire.length - (int(length) if length else 8 * wire.length)
    return first, first | ((1 << host_bits) - 1)


def _number(wire: FieldWire, text: str) -> int:
    return int.from_bytes(wire.codec.encode(text), "big")


def points(wire: FieldWire, values: Iterable[Value | Span]) -> Iterator[Point]:
    """List the elements for these ranges, in their order."""
    for value in values:
        first, end = interval(wire, value)
        yield Point(first, False)
        if end is not None:
            yield Point(end, True)


def ranges(wire: FieldWire, found: Iterable[Point]) -> list[Value | Span]:
    """Read the ranges that these elements say, in their order."""
    values: list[Value | Span] = []
    begun: int | None = None
    for key, is_end in sorted(found, key=lambda p: (p.key, not p.is_end)):
        number = int.from_bytes(key, "big")
        if begun is not None:
            values.append(_value(wire, begun, number - 1))
        begun = None if is_end else number
    if begun is not None:
        values.append(_value(wire, begun, (1 << 8 * wire.length) - 1))
    return values


def _value(wire: FieldWire, first: int, last: int) -> Value | Span:
    if wire.codec not in {IPV4, IPV6}:
        return first if first == last else (first, last)
    size = last - first + 1
    text = str(wire.codec.decode(first.to_bytes(wire.length, "big")))
    if size == 1:
        return text
    if size & (size - 1) == 0 and first % size == 0:
        return f"{text}/{8 * wire.length - size.bit_length() + 1}"
    return f"{text}-{wire.codec.decode(last.to_bytes(wire.length, 'big'))}"
