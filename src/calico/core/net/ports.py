"""Ports and protocols as people write them: a number, a span "first:last", or a name.

    80, "80", "80:80" -> 80        "8000:8010" -> the span        "metrics" -> the name

Source: api/pkg/lib/numorstring/{port,protocol,uint8orstring}.go; datastore-etcd 1.2.1.
"""

import re
from typing import NamedTuple

NAME = re.compile(r"[a-zA-Z0-9_.-]{1,128}\Z")
SPAN = re.compile(r"([0-9]+):([0-9]+)\Z")
HIGHEST = 65535
PROTOCOL_NUMBERS = {"TCP": 6, "UDP": 17, "ICMP": 1, "ICMPv6": 58, "SCTP": 132, "UDPLite": 136}
NUMBERS_IN_ANY_CASE = {name.lower(): number for name, number in PROTOCOL_NUMBERS.items()}
WITH_PORTS = frozenset({6, 17, 132})


class PortSpan(NamedTuple):
    """Ports from first to last, both included."""

    first: int
    last: int


def parse_port(port: int | str) -> PortSpan | str:
    """Return the span of a number or span, or the name. Raises ValueError."""
    if isinstance(port, int):
        return PortSpan(in_range(port), port)
    if port.isascii() and port.isdigit():
        return PortSpan(in_range(int(port)), int(port))
    span = SPAN.match(port)
    if span is None:
        if NAME.match(port) is None:
            raise ValueError(f"'{port}' is not a port: write a number, first:last or a name")
        return port
    first, last = in_range(int(span[1])), in_range(int(span[2]))
    if first > last:
        raise ValueError(f"port span '{port}' runs backwards; write {last}:{first}")
    return PortSpan(first, last)


def in_range(port: int) -> int:
    """Return the port. Raises ValueError if no packet can carry it."""
    if not 0 <= port <= HIGHEST:
        raise ValueError(f"port {port} is out of range; ports are 1 to {HIGHEST}")
    return port


def canonical_port(port: int | str) -> int | str:
    """Return the form that is stored; what cannot be read is returned as it is."""
    try:
        span = parse_port(port)
    except ValueError:
        return port
    if isinstance(span, str):
        return span
    return span.first if span.first == span.last else f"{span.first}:{span.last}"


def number_or_name(text: str) -> int | str:
    """Return an 8-bit number for digits (a protocol, a DSCP), else the text itself."""
    if text.isascii() and text.isdigit() and int(text) <= 255:
        return int(text)
    return text


def protocol_number(protocol: int | str) -> int | None:
    """Return the number of a protocol; None if the name, in any case, is unknown."""
    return protocol if isinstance(protocol, int) else NUMBERS_IN_ANY_CASE.get(protocol.lower())
