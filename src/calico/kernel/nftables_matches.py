"""Expressions that look at the packet, to bytes; nftables_matches_read.py is the way back.

    Is("dport", 80)  -->  [payload 2b @ transport + 2 => reg 1] [cmp eq reg 1 0050]

A word of the vocabulary is often several of the kernel's.

Source: `nft --debug=netlink`, linux/netfilter/nf_tables.h.
"""

import struct
from collections.abc import Sequence

from calico.core.nftables.vocabulary import (
    AddressType,
    AnyOf,
    CtState,
    Dispatch,
    Family,
    Field,
    InSet,
    Is,
    ReversePathMissing,
    SetMark,
)
from calico.kernel.netlink import text
from calico.kernel.nftables_fields import (
    CT_STATE,
    CT_STATUS,
    CT_STATUS_DNAT_BIT,
    FIELDS,
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
    constant,
    expression,
    number,
    value_data,
)

ANONYMOUS_NAME = "__set%d"  # the kernel puts a number there
CT_STATES = {"invalid": 1, "established": 2, "related": 4, "new": 8, "untracked": 64}
ADDRESS_TYPES = {"unicast": 1, "local": 2, "broadcast": 3, "multicast": 5}
ALL_BITS = 0xFFFFFFFF
EQUAL, NOT_EQUAL, AT_MOST, AT_LEAST = 0, 1, 3, 5
INVERT = 1
FIB_SADDR, FIB_DADDR, FIB_MARK, FIB_IIF, FIB_PRESENT = 1, 2, 4, 8, 32
FIB_OIF, FIB_ADDRESS_TYPE = 1, 3
REVERSE_PATH = FIB_SADDR | FIB_MARK | FIB_IIF | FIB_PRESENT


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
    operator = NOT_EQUAL if test.negated else EQUAL
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
    return load + masked + _compare(NOT_EQUAL if wanted else EQUAL, bytes(4))


def one_of(test: AnyOf, family: Family) -> bytes:
    """Encode a test of one value or span; several need a set (`in_anonymous_set`)."""
    (only,) = test.values
    if not isinstance(only, tuple):
        return is_(Is(test.field, only, test.negated), family)
    wire = FIELDS[family][test.field]
    interval(wire, only)  # refuses what does not sort
    first, last = (wire.codec.encode(bound) for bound in only)
    if not test.negated:
        return _load(wire) + _compare(AT_LEAST, first) + _compare(AT_MOST, last)
    bounds = value_data(3, first), value_data(4, last)
    unequal = expression("range", number(1, FIRST_REGISTER), number(2, NOT_EQUAL), *bounds)
    return _load(wire) + unequal


def in_anonymous_set(test: AnyOf, family: Family, set_id: int) -> bytes:
    """Encode a lookup in the set that is made under this id in the same transaction."""
    which = text(1, ANONYMOUS_NAME), number(2, FIRST_REGISTER), number(4, set_id)
    flags = number(5, INVERT if test.negated else 0)
    return _load(FIELDS[family][test.field]) + expression("lookup", *which, flags)


def in_set(test: InSet, family: Family) -> bytes:
    """Encode a lookup in a named set."""
    which = text(1, test.set_name), number(2, FIRST_REGISTER)
    flags = number(5, INVERT if test.negated else 0)
    return _loads(test.fields, family) + expression("lookup", *which, flags)


def dispatch(action: Dispatch, family: Family) -> bytes:
    """Encode a lookup in a verdict map: the verdict register takes what is found."""
    which = text(1, action.map_name), number(2, FIRST_REGISTER)
    found = number(3, VERDICT_REGISTER)
    return _loads(action.fields, family) + expression("lookup", *which, found)


def ct_state(test: CtState, _family: Family) -> bytes:
    """Encode a test of the connection's state."""
    return _has_bits(CT_STATE, sum(CT_STATES[s] for s in test.states), not test.negated)


def address_type(test: AddressType, _family: Family) -> bytes:
    """Encode a question to the FIB about an address."""
    flag = FIB_SADDR if test.field == "saddr" else FIB_DADDR
    operator = NOT_EQUAL if test.negated else EQUAL
    wanted = struct.pack("=I", ADDRESS_TYPES[test.address_type])
    return _fib(FIB_ADDRESS_TYPE, flag) + _compare(operator, wanted)


def reverse_path_missing(_test: ReversePathMissing, _family: Family) -> bytes:
    """Encode a question to the FIB about the way back."""
    return _fib(FIB_OIF, REVERSE_PATH) + _compare(EQUAL, bytes(4))


def _fib(result: int, flags: int) -> bytes:
    return expression("fib", number(3, flags), number(2, result), number(1, FIRST_REGISTER))


def set_mark(action: SetMark, family: Family) -> bytes:
    """Encode keep-and-set of the mark's bits."""
    store = expression("meta", number(2, META_MARK), number(3, FIRST_REGISTER))
    value = struct.pack("=I", action.value)
    if action.mask == ALL_BITS:
        return constant(FIRST_REGISTER, value) + store
    kept = struct.pack("=I", action.mask ^ ALL_BITS)
    return _load(FIELDS[family]["mark"]) + _bitwise(kept, value) + store
