"""Expressions that look at the packet, both ways: vocabulary to bytes and bytes to vocabulary.

    Is("dport", 80) --encode--> [payload 2b @ transport + 2 => reg 1] [cmp eq reg 1 0050]
    [payload ...]   --read--> register 8 holds "dport";   [cmp ...] --read--> Is("dport", 80)

A word of the vocabulary is often several of the kernel's: it is found where its last one stands.

Source: `nft --debug=netlink`, linux/netfilter/nf_tables.h.
"""

import struct
from collections.abc import Sequence

from calico.core.nftables.normal import normal_values
from calico.core.nftables.vocabulary import (
    AddressType,
    AnyOf,
    CtState,
    Dispatch,
    Expression,
    Family,
    Field,
    InSet,
    Is,
    ReversePathMissing,
    Set,
    SetMark,
    Value,
)
from calico.kernel.netlink import attributes, text
from calico.kernel.nftables_fields import (
    CT_STATE,
    CT_STATUS,
    CT_STATUS_DNAT_BIT,
    FIELDS,
    IPV4,
    IPV6,
    META_MARK,
    NAME,
    REGISTER_BYTES,
    FieldWire,
    padded,
    wires,
)
from calico.kernel.nftables_intervals import interval
from calico.kernel.nftables_wire import (
    FIRST_REGISTER,
    VERDICT_REGISTER,
    Attributes,
    Held,
    Reading,
    Unreadable,
    constant,
    expression,
    host_32,
    number,
    register,
    u32,
    value_data,
)

ANONYMOUS_NAME = "__set%d"  # the kernel puts a number there
CT_STATES = {"invalid": 1, "established": 2, "related": 4, "new": 8, "untracked": 64}
ADDRESS_TYPES = {"unicast": 1, "local": 2, "broadcast": 3, "multicast": 5}

_ADDRESS_TYPES = {number: name for name, number in ADDRESS_TYPES.items()}
_ALL_BITS = 0xFFFFFFFF
_EQUAL, _NOT_EQUAL, _AT_MOST, _AT_LEAST = 0, 1, 3, 5
_INVERT = 1
_FIB_SADDR, _FIB_DADDR, _FIB_MARK, _FIB_IIF, _FIB_PRESENT = 1, 2, 4, 8, 32
_FIB_OIF, _FIB_ADDRESS_TYPE = 1, 3
_REVERSE_PATH = _FIB_SADDR | _FIB_MARK | _FIB_IIF | _FIB_PRESENT
_DNAT_BIT = struct.pack("=I", CT_STATUS_DNAT_BIT)


# --- to bytes


def _load(wire: FieldWire, into: int = FIRST_REGISTER, length: int = 0) -> bytes:
    if wire.source == "meta":
        return expression("meta", number(2, wire.key), number(1, into))
    where = number(2, wire.key), number(3, wire.offset), number(4, length or wire.length)
    return expression("payload", number(1, into), *where)


def _loads(fields: Sequence[Field], family: Family) -> bytes:
    parts, into = [], FIRST_REGISTER
    for wire in wires(family, fields):
        parts.append(_load(wire, into))
        into += padded(wire.length) // REGISTER_BYTES
    return b"".join(parts)


def _compare(operator: int, value: bytes) -> bytes:
    return expression("cmp", number(1, FIRST_REGISTER), number(2, operator), value_data(3, value))


def _bitwise(mask: bytes, flip: bytes) -> bytes:
    registers = number(1, FIRST_REGISTER), number(2, FIRST_REGISTER)
    operands = number(3, len(mask)), number(6, 0), value_data(4, mask), value_data(5, flip)
    return expression("bitwise", *registers, *operands)


def is_(test: Is, family: Family) -> bytes:
    """Encode a comparison with one value, one prefix, or the beginning of a name."""
    operator = _NOT_EQUAL if test.negated else _EQUAL
    if test.field == "ct_status_dnat":
        return _has_bits(CT_STATUS, CT_STATUS_DNAT_BIT, bool(test.value) != test.negated)
    wire = FIELDS[family][test.field]
    if test.mask is not None:
        masked = _bitwise(wire.codec.encode(test.mask), bytes(wire.length))
        return _load(wire) + masked + _compare(operator, wire.codec.encode(test.value))
    if wire.codec is NAME and str(test.value).endswith("*"):
        beginning = wire.codec.encode(str(test.value)[:-1]).rstrip(b"\0")
        return _load(wire) + _compare(operator, beginning)
    if isinstance(test.value, str) and "/" in test.value:
        return _in_prefix(wire, test.value, operator)
    return _load(wire) + _compare(operator, wire.codec.encode(test.value))


def _in_prefix(wire: FieldWire, prefix: str, operator: int) -> bytes:
    address, _, bits_text = prefix.partition("/")
    value, bits = wire.codec.encode(address), int(bits_text)
    if bits and bits % 8 == 0:  # whole bytes: compare only those
        return _load(wire, length=bits // 8) + _compare(operator, value[: bits // 8])
    size = 8 * wire.length
    mask = ((1 << size) - (1 << (size - bits))).to_bytes(wire.length, "big")
    masked = bytes([a & b for a, b in zip(value, mask, strict=True)])
    return _load(wire) + _bitwise(mask, bytes(wire.length)) + _compare(operator, masked)


def _has_bits(key: int, bits: int, wanted: bool) -> bytes:
    load = expression("ct", number(2, key), number(1, FIRST_REGISTER))
    masked = _bitwise(struct.pack("=I", bits), bytes(4))
    return load + masked + _compare(_NOT_EQUAL if wanted else _EQUAL, bytes(4))


def one_of(test: AnyOf, family: Family) -> bytes:
    """Encode a test of one value or span; several need a set (`in_anonymous_set`)."""
    (only,) = test.values
    if not isinstance(only, tuple):
        return is_(Is(test.field, only, test.negated), family)
    wire = FIELDS[family][test.field]
    interval(wire, only)  # refuses what does not sort
    first, last = (wire.codec.encode(bound) for bound in only)
    if not test.negated:
        return _load(wire) + _compare(_AT_LEAST, first) + _compare(_AT_MOST, last)
    bounds = value_data(3, first), value_data(4, last)
    unequal = expression("range", number(1, FIRST_REGISTER), number(2, _NOT_EQUAL), *bounds)
    return _load(wire) + unequal


def in_anonymous_set(test: AnyOf, family: Family, set_id: int) -> bytes:
    """Encode a lookup in the set that is made under this id in the same transaction."""
    which = text(1, ANONYMOUS_NAME), number(2, FIRST_REGISTER), number(4, set_id)
    flags = number(5, _INVERT if test.negated else 0)
    return _load(FIELDS[family][test.field]) + expression("lookup", *which, flags)


def in_set(test: InSet, family: Family) -> bytes:  # noqa: D103
    which = text(1, test.set_name), number(2, FIRST_REGISTER)
    flags = number(5, _INVERT if test.negated else 0)
    return _loads(test.fields, family) + expression("lookup", *which, flags)


def dispatch(action: Dispatch, family: Family) -> bytes:  # noqa: D103
    which = text(1, action.map_name), number(2, FIRST_REGISTER)
    found = number(3, VERDICT_REGISTER)
    return _loads(action.fields, family) + expression("lookup", *which, found)


def ct_state(test: CtState, _family: Family) -> bytes:  # noqa: D103
    return _has_bits(CT_STATE, sum(CT_STATES[s] for s in test.states), not test.negated)


def address_type(test: AddressType, _family: Family) -> bytes:  # noqa: D103
    flag = _FIB_SADDR if test.field == "saddr" else _FIB_DADDR
    operator = _NOT_EQUAL if test.negated else _EQUAL
    wanted = struct.pack("=I", ADDRESS_TYPES[test.address_type])
    return _fib(_FIB_ADDRESS_TYPE, flag) + _compare(operator, wanted)


def reverse_path_missing(_test: ReversePathMissing, _family: Family) -> bytes:  # noqa: D103
    return _fib(_FIB_OIF, _REVERSE_PATH) + _compare(_EQUAL, bytes(4))


def _fib(result: int, flags: int) -> bytes:
    return expression("fib", number(3, flags), number(2, result), number(1, FIRST_REGISTER))


def set_mark(action: SetMark, family: Family) -> bytes:  # noqa: D103
    store = expression("meta", number(2, META_MARK), number(3, FIRST_REGISTER))
    value = struct.pack("=I", action.value)
    if action.mask == _ALL_BITS:
        return constant(FIRST_REGISTER, value) + store
    kept = struct.pack("=I", action.mask ^ _ALL_BITS)
    return _load(FIELDS[family]["mark"]) + _bitwise(kept, value) + store


# --- and back


def read_payload(reading: Reading, parts: Attributes) -> None:  # noqa: D103
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
        return SetMark(_ALL_BITS, host_32(held.flip))
    if held.source != "mark" or held.mask is None:
        raise Unreadable
    mask, value = host_32(held.mask) ^ _ALL_BITS, host_32(held.flip)
    if value & ~mask:
        raise Unreadable  # it turns bits over that it keeps
    return SetMark(mask, value)


def read_ct(reading: Reading, parts: Attributes) -> None:  # noqa: D103
    held = {CT_STATE: Held("ct state"), CT_STATUS: Held("ct status")}[u32(parts, 2)]
    reading.registers[register(parts, 1)] = held


def read_fib(reading: Reading, parts: Attributes) -> None:  # noqa: D103
    known = {
        (_FIB_ADDRESS_TYPE, _FIB_SADDR): Held("type saddr"),
        (_FIB_ADDRESS_TYPE, _FIB_DADDR): Held("type daddr"),
        (_FIB_OIF, _REVERSE_PATH): Held("route"),
    }
    reading.registers[register(parts, 1)] = known[u32(parts, 2), u32(parts, 3)]


def read_bitwise(reading: Reading, parts: Attributes) -> None:  # noqa: D103
    held = reading.held(parts, 1)
    if u32(parts, 6) or held.mask is not None or held.source == "bytes":
        raise Unreadable
    mask, flip = attributes(parts[4])[1], attributes(parts[5])[1]
    reading.registers[register(parts, 2)] = held._replace(mask=mask, flip=flip)


def read_compare(reading: Reading, parts: Attributes) -> None:  # noqa: D103
    held = reading.held(parts, 1)
    operator, value = u32(parts, 2), attributes(parts[3])[1]
    if operator in {_EQUAL, _NOT_EQUAL} and not any(held.flip):
        reading.found.append(_compared(reading, held, operator == _NOT_EQUAL, value))
        return
    if held.mask is not None:
        raise Unreadable
    bound = _wire(reading, held).codec.decode(value)
    if operator == _AT_LEAST and reading.lower is None:
        reading.lower = bound
    elif operator == _AT_MOST and reading.lower is not None:
        reading.found.append(_span(reading, held, (reading.lower, bound), negated=False))
        reading.lower = None
    else:
        raise Unreadable


def read_range(reading: Reading, parts: Attributes) -> None:  # noqa: D103
    held = reading.held(parts, 1)
    if held.mask is not None or u32(parts, 2) != _NOT_EQUAL:
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


def read_lookup(reading: Reading, parts: Attributes) -> None:  # noqa: D103
    name, flags = parts[1].rstrip(b"\0").decode(), u32(parts, 5)
    first = register(parts, 2)
    if 3 in parts and (u32(parts, 3) != VERDICT_REGISTER or flags):
        raise Unreadable
    if name in reading.reader.anonymous:
        field = reading.field(reading.registers[first])
        values = normal_values(reading.reader.anonymous[name])
        reading.found.append(AnyOf(field, values, bool(flags & _INVERT)))
        return
    fields = _joined(reading, first, reading.reader.sets[name])
    if 3 in parts:
        reading.found.append(Dispatch(fields, name))
    else:
        reading.found.append(InSet(fields, name, bool(flags & _INVERT)))


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
