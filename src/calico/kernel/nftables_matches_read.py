"""The kernel's expressions that look at the packet, back into words.

    [payload 2b @ transport + 2 => reg 1]   remembered: register 8 holds "dport"
    [cmp eq reg 1 0050]                     --> Is("dport", 80)

A word is found where its last kernel expression stands. What no word can say raises Unreadable:
the rule is then not ours, or not as we wrote it.

Source: `nft --debug=netlink`, linux/netfilter/nf_tables.h.
"""

import struct

from calico.core.nftables.normal import normal_values
from calico.core.nftables.vocabulary import (
    AddressType,
    AnyOf,
    CtState,
    Dispatch,
    Expression,
    Field,
    InSet,
    Is,
    ReversePathMissing,
    Set,
    SetMark,
    Value,
)
from calico.kernel.netlink import attributes
from calico.kernel.nftables_fields import (
    CT_STATE,
    CT_STATUS,
    CT_STATUS_DNAT_BIT,
    IPV4,
    IPV6,
    META_MARK,
    NAME,
    REGISTER_BYTES,
    FieldWire,
    padded,
)
from calico.kernel.nftables_matches import (
    ADDRESS_TYPES,
    ALL_BITS,
    AT_LEAST,
    AT_MOST,
    CT_STATES,
    EQUAL,
    FIB_ADDRESS_TYPE,
    FIB_DADDR,
    FIB_OIF,
    FIB_SADDR,
    INVERT,
    NOT_EQUAL,
    REVERSE_PATH,
)
from calico.kernel.nftables_wire import (
    VERDICT_REGISTER,
    Attributes,
    Held,
    Reading,
    Unreadable,
    host_32,
    register,
    u32,
)

_ADDRESS_TYPES = {number: name for name, number in ADDRESS_TYPES.items()}
_DNAT_BIT = struct.pack("=I", CT_STATUS_DNAT_BIT)


def read_payload(reading: Reading, parts: Attributes) -> None:
    """Read a load from a header."""
    length = u32(parts, 4)
    field = reading.reader.payload[u32(parts, 2), u32(parts, 3), length]
    reading.registers[register(parts, 1)] = Held(field, length)


def read_meta(reading: Reading, parts: Attributes) -> None:
    """Read a load, or the storing of a mark."""
    key = u32(parts, 2)
    if 1 in parts:
        field = reading.reader.meta[key]
        length = reading.reader.wires[field].length
        reading.registers[register(parts, 1)] = Held(field, length)
    elif key == META_MARK:
        reading.found.append(_mark_set_by(reading.held(parts, 3)))
    else:
        raise Unreadable


def _mark_set_by(held: Held) -> SetMark:
    if held.source == "bytes":
        return SetMark(ALL_BITS, host_32(held.flip))
    if held.source != "mark" or held.mask is None:
        raise Unreadable
    mask, value = host_32(held.mask) ^ ALL_BITS, host_32(held.flip)
    if value & ~mask:
        raise Unreadable  # it turns bits over that it keeps
    return SetMark(mask, value)


def read_ct(reading: Reading, parts: Attributes) -> None:
    """Read a load from the connection."""
    held = {CT_STATE: Held("ct state"), CT_STATUS: Held("ct status")}[u32(parts, 2)]
    reading.registers[register(parts, 1)] = held


def read_fib(reading: Reading, parts: Attributes) -> None:
    """Read a question to the FIB."""
    known = {
        (FIB_ADDRESS_TYPE, FIB_SADDR): Held("type saddr"),
        (FIB_ADDRESS_TYPE, FIB_DADDR): Held("type daddr"),
        (FIB_OIF, REVERSE_PATH): Held("route"),
    }
    reading.registers[register(parts, 1)] = known[u32(parts, 2), u32(parts, 3)]


def read_bitwise(reading: Reading, parts: Attributes) -> None:
    """Read a mask over what a register holds."""
    held = reading.held(parts, 1)
    if u32(parts, 6) or held.mask is not None or held.source == "bytes":
        raise Unreadable
    mask, flip = attributes(parts[4])[1], attributes(parts[5])[1]
    reading.registers[register(parts, 2)] = held._replace(mask=mask, flip=flip)


def read_compare(reading: Reading, parts: Attributes) -> None:
    """Read the end of a test: this is where its word is found."""
    held = reading.held(parts, 1)
    operator, value = u32(parts, 2), attributes(parts[3])[1]
    if operator in {EQUAL, NOT_EQUAL} and not any(held.flip):
        reading.found.append(_compared(reading, held, operator == NOT_EQUAL, value))
        return
    if held.mask is not None:
        raise Unreadable
    bound = _wire(reading, held).codec.decode(value)
    if operator == AT_LEAST and reading.lower is None:
        reading.lower = bound
    elif operator == AT_MOST and reading.lower is not None:
        reading.found.append(_span(reading, held, (reading.lower, bound), negated=False))
        reading.lower = None
    else:
        raise Unreadable


def read_range(reading: Reading, parts: Attributes) -> None:
    """Read "outside this span"."""
    held = reading.held(parts, 1)
    if held.mask is not None or u32(parts, 2) != NOT_EQUAL:
        raise Unreadable
    decode = _wire(reading, held).codec.decode
    bounds = decode(attributes(parts[3])[1]), decode(attributes(parts[4])[1])
    reading.found.append(_span(reading, held, bounds, negated=True))


def _span(
    reading: Reading, held: Held, bounds: tuple[Value, Value], *, negated: bool
) -> Expression:
    first, last = bounds
    if not isinstance(first, int) or not isinstance(last, int):
        raise Unreadable
    return AnyOf(reading.field(held), ((first, last),), negated)


def _compared(reading: Reading, held: Held, negated: bool, value: bytes) -> Expression:
    match held.source:
        case "ct state" if held.mask is not None and not any(value):
            bits = host_32(held.mask)
            states = frozenset(name for name, bit in CT_STATES.items() if bits & bit)
            if sum(CT_STATES[name] for name in states) != bits:
                raise Unreadable
            return CtState(states, not negated)  # type: ignore[arg-type]  # literal
        case "ct status" if held.mask == _DNAT_BIT and not any(value):
            return Is("ct_status_dnat", int(negated))
        case "type saddr" | "type daddr":
            field: Field = "saddr" if held.source == "type saddr" else "daddr"
            return AddressType(field, _ADDRESS_TYPES[host_32(value)], negated)  # type: ignore[arg-type]  # literal
        case "route" if not negated and not any(value):
            return ReversePathMissing()
    return _is_value(reading, held, negated, value)


def _is_value(reading: Reading, held: Held, negated: bool, value: bytes) -> Is:
    wire, field = _wire(reading, held), reading.field(held)
    if wire.codec in {IPV4, IPV6}:
        return Is(field, _prefix(wire, held, value), negated)
    if held.mask is not None:
        mask = wire.codec.decode(held.mask)
        if not isinstance(mask, int):
            raise Unreadable
        return Is(field, wire.codec.decode(value), negated, mask)
    if wire.codec is NAME and len(value) < wire.length:
        return Is(field, value.decode() + "*", negated)
    return Is(field, wire.codec.decode(value), negated)


def _prefix(wire: FieldWire, held: Held, value: bytes) -> str:
    address = wire.codec.decode(value.ljust(wire.length, b"\0"))
    if held.mask is None:
        bits = 8 * held.length
    else:
        inverse = int.from_bytes(held.mask, "big") ^ ((1 << 8 * wire.length) - 1)
        if inverse & (inverse + 1):
            raise Unreadable  # not a prefix's mask
        bits = 8 * wire.length - inverse.bit_length()
    return str(address) if bits == 8 * wire.length else f"{address}/{bits}"


def read_lookup(reading: Reading, parts: Attributes) -> None:
    """Read a lookup in a set or map, with or without a name."""
    name, flags = parts[1].rstrip(b"\0").decode(), u32(parts, 5)
    first = register(parts, 2)
    if 3 in parts and (u32(parts, 3) != VERDICT_REGISTER or flags):
        raise Unreadable
    if name in reading.reader.anonymous:
        field = reading.field(reading.registers[first])
        values = normal_values(reading.reader.anonymous[name])
        reading.found.append(AnyOf(field, values, bool(flags & INVERT)))
        return
    fields = _joined(reading, first, reading.reader.sets[name])
    if 3 in parts:
        reading.found.append(Dispatch(fields, name))
    else:
        reading.found.append(InSet(fields, name, bool(flags & INVERT)))


def _joined(reading: Reading, first: int, shape: Set) -> tuple[Field, ...]:
    fields = []
    for _ in shape.fields:
        held = reading.registers[first]
        fields.append(reading.field(held))
        first += padded(held.length) // REGISTER_BYTES
    if not fields:
        raise Unreadable  # the set's own shape could not be read
    return tuple(fields)


def _wire(reading: Reading, held: Held) -> FieldWire:
    return reading.reader.wires[reading.field(held)]
