"""Expressions that do something, both ways: vocabulary to bytes and bytes to vocabulary.

    Limit(10)  --encode-->  [limit rate 10/second burst 5]  --read-->  Limit(10)

Each pair stands together, so that a change to one is seen beside the other.

Source: `nft --debug=netlink`, linux/netfilter/nf_tables.h, linux/netfilter/nf_nat.h.
"""

import struct

from calico.core.nftables.vocabulary import (
    ConnectionLimit,
    Counter,
    Dnat,
    Family,
    Limit,
    Log,
    Masquerade,
    NoTrack,
    Reject,
    Snat,
    Span,
    Verdict,
)
from calico.kernel.netlink import attribute, attributes, text
from calico.kernel.nftables_fields import FAMILY_NUMBERS, FIELDS
from calico.kernel.nftables_wire import (
    FIRST_REGISTER,
    VERDICT_REGISTER,
    Attributes,
    Held,
    Reading,
    Unreadable,
    constant,
    decode_verdict,
    encode_verdict,
    expression,
    number,
    number_64,
    register,
    u32,
)

UNIT_SECONDS = {"second": 1, "minute": 60, "hour": 3_600, "day": 86_400}
PORT_UNREACHABLE = {"ip": 3, "ip6": 4}  # the code of the ICMP message

_UNITS = {seconds: unit for unit, seconds in UNIT_SECONDS.items()}
_INVERT = 1
_NAT_FULLY_RANDOM = 0x10
_NAT_PORTS_GIVEN = 0x02  # the kernel sets it for nat, but not for masq
_NAT_GIVEN = 0x01 | _NAT_PORTS_GIVEN  # an address, ports
_SNAT, _DNAT = 0, 1
_ICMP, _TCP_RESET = 0, 1


def limit(test: Limit, _family: Family) -> bytes:
    """Encode a rate; packets are counted, not bytes."""
    return expression(
        "limit",
        number_64(1, test.rate),
        number_64(2, UNIT_SECONDS[test.unit]),
        number(3, test.burst),
        number(4, 0),  # packets, not bytes
        number(5, _INVERT if test.over else 0),
    )


def read_limit(reading: Reading, parts: Attributes) -> None:
    """Read a rate."""
    rate, seconds = struct.unpack(">QQ", parts[1] + parts[2])
    if u32(parts, 4):
        raise Unreadable
    unit, over = _UNITS[seconds], bool(u32(parts, 5))
    reading.found.append(Limit(rate, unit, u32(parts, 3), over))  # type: ignore[arg-type]  # literal


def connection_limit(test: ConnectionLimit, _family: Family) -> bytes:
    """Encode a number of live connections."""
    return expression("connlimit", number(1, test.count), number(2, _INVERT))


def read_connection_limit(reading: Reading, parts: Attributes) -> None:
    """Read a number of live connections."""
    if u32(parts, 2) != _INVERT:
        raise Unreadable
    reading.found.append(ConnectionLimit(u32(parts, 1)))


def counter(_action: Counter, _family: Family) -> bytes:
    """Encode a counter that begins at nothing."""
    return expression("counter", number_64(1, 0), number_64(2, 0))


def read_counter(reading: Reading, _parts: Attributes) -> None:
    """Read a counter; its counts are not ours."""
    reading.found.append(Counter())


def log(action: Log, _family: Family) -> bytes:
    """Encode a kernel log line, or an NFLOG group."""
    parts = [text(2, action.prefix)] if action.prefix else []
    if action.group is not None:
        parts.append(attribute(1, struct.pack(">H", action.group)))
    else:
        parts.append(number(5, action.level))
    return expression("log", *parts)


def read_log(reading: Reading, parts: Attributes) -> None:
    """Read a log statement."""
    prefix = parts[2].rstrip(b"\0").decode() if 2 in parts else ""
    if 1 in parts:
        reading.found.append(Log(prefix, group=u32(parts, 1)))
    else:
        reading.found.append(Log(prefix, u32(parts, 5)))


def no_track(_action: NoTrack, _family: Family) -> bytes:
    """Encode "not tracked"."""
    return expression("notrack")


def read_no_track(reading: Reading, _parts: Attributes) -> None:
    """Read "not tracked"."""
    reading.found.append(NoTrack())


def masquerade(action: Masquerade, _family: Family) -> bytes:
    """Encode the outgoing address as source; ports come from registers."""
    loads, parts = _ports(action.ports, FIRST_REGISTER, 2)
    return loads + expression("masq", *_nat_flags(1, action), *parts)


def read_masquerade(reading: Reading, parts: Attributes) -> None:
    """Read a masquerade."""
    reading.found.append(Masquerade(_read_ports(reading, parts, 2), _is_random(parts, 1)))


def snat(action: Snat, family: Family) -> bytes:
    """Encode a source; address and ports come from registers."""
    address = FIELDS[family]["saddr"].codec.encode(action.address)
    loads, parts = _ports(action.ports, FIRST_REGISTER + 4, 5)
    parts += _nat_flags(7, action)
    return constant(FIRST_REGISTER, address) + loads + _nat(_SNAT, family, parts)


def dnat(action: Dnat, family: Family) -> bytes:
    """Encode a destination."""
    address = FIELDS[family]["daddr"].codec.encode(action.address)
    return constant(FIRST_REGISTER, address) + _nat(_DNAT, family, [])


def _nat(kind: int, family: Family, parts: list[bytes]) -> bytes:
    known = number(1, kind), number(2, FAMILY_NUMBERS[family]), number(3, FIRST_REGISTER)
    return expression("nat", *known, *parts)


def read_nat(reading: Reading, parts: Attributes) -> None:
    """Read a source or destination translation."""
    codec = reading.reader.wires["saddr"].codec
    address = str(codec.decode(reading.plain_bytes(parts, 3)))
    if parts.get(4, parts[3]) != parts[3]:
        raise Unreadable  # a range of addresses
    ports, fully_random = _read_ports(reading, parts, 5), _is_random(parts, 7)
    if u32(parts, 1) == _SNAT:
        reading.found.append(Snat(address, ports, fully_random))
    elif ports is None and not fully_random:
        reading.found.append(Dnat(address))
    else:
        raise Unreadable


def _ports(ports: Span | None, first: int, kind: int) -> tuple[bytes, list[bytes]]:
    """Give the loads of the two bounds, and the attributes that point at them."""
    if ports is None:
        return b"", []
    loads = [constant(first + i, struct.pack(">H", port)) for i, port in enumerate(ports)]
    return b"".join(loads), [number(kind, first), number(kind + 1, first + 1)]


def _read_ports(reading: Reading, parts: Attributes, kind: int) -> Span | None:
    if kind not in parts:
        return None
    low, high = reading.plain_bytes(parts, kind), reading.plain_bytes(parts, kind + 1)
    return int.from_bytes(low, "big"), int.from_bytes(high, "big")


def _nat_flags(kind: int, action: Masquerade | Snat) -> list[bytes]:
    flags = _NAT_FULLY_RANDOM if action.fully_random else 0
    flags |= _NAT_PORTS_GIVEN if action.ports is not None else 0
    return [number(kind, flags)] if flags else []


def _is_random(parts: Attributes, kind: int) -> bool:
    flags = u32(parts, kind)
    if flags & ~(_NAT_FULLY_RANDOM | _NAT_GIVEN):
        raise Unreadable
    return bool(flags & _NAT_FULLY_RANDOM)


def reject(action: Reject, family: Family) -> bytes:
    """Encode a refusal."""
    if action.with_ == "tcp-reset":
        return expression("reject", number(1, _TCP_RESET), attribute(2, b"\0"))
    code = bytes([PORT_UNREACHABLE[family]])
    return expression("reject", number(1, _ICMP), attribute(2, code))


def read_reject(reading: Reading, parts: Attributes) -> None:
    """Read a refusal."""
    kind, code = u32(parts, 1), u32(parts, 2)
    if kind == _TCP_RESET:
        reading.found.append(Reject("tcp-reset"))
    elif kind == _ICMP and code == PORT_UNREACHABLE[reading.reader.family]:
        reading.found.append(Reject("port-unreachable"))
    else:
        raise Unreadable


def verdict(action: Verdict, _family: Family) -> bytes:
    """Encode the end of a rule."""
    return expression("immediate", number(1, VERDICT_REGISTER), encode_verdict(action))


def read_immediate(reading: Reading, parts: Attributes) -> None:
    """Read a verdict, or bytes for a later expression."""
    if register(parts, 1) == VERDICT_REGISTER:
        reading.found.append(decode_verdict(parts[2]))
    else:
        value = attributes(parts[2])[1]
        reading.registers[register(parts, 1)] = Held("bytes", len(value), None, value)
