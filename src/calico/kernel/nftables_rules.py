"""Whole rules to the kernel's lists of expressions, and back.

    Rule --encode_rule--> bytes + the anonymous sets they need
    bytes --read_rule--> Rule, or UNREADABLE_RULE for what someone else wrote

The shapes are those that `nft` writes, so `nft list ruleset` shows our rules in words, and the
oracle test compares what we load with what `nft -f` loads. A value that cannot be said to the
kernel raises one of UNENCODABLE, and the table adapter fails that one chain.

Invariant: read_rule(encode_rule(r)) == r for every rule in normal form.
"""

import struct
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, NamedTuple

from calico.core.nftables import vocabulary as words
from calico.core.nftables.changes import UNREADABLE_RULE
from calico.core.nftables.vocabulary import AnyOf, Expression, Family, Field, Rule, Span, Value
from calico.kernel import nftables_matches as matches
from calico.kernel import nftables_matches_read as matches_read
from calico.kernel import nftables_statements as statements
from calico.kernel.netlink import attributes, list_items
from calico.kernel.nftables_wire import Attributes, Reader, Reading, Unreadable

UNENCODABLE = (KeyError, OSError, TypeError, ValueError, struct.error)
COMMENT_NOTE = 0  # of a rule's user data, as libnftnl numbers them


class AnonymousSet(NamedTuple):
    """Values that belong to one rule; made before it, in the same transaction."""

    set_id: int
    field: Field
    values: tuple[Value | Span, ...]
    intervals: bool


def encode_rule(rule: Rule, family: Family, ids: Iterator[int]) -> tuple[bytes, list[AnonymousSet]]:
    """Give the list of expressions, and the sets they refer to by the next free ids."""
    parts: list[bytes] = []
    sets: list[AnonymousSet] = []
    for expression in rule.expressions:
        if type(expression) is AnyOf and len(expression.values) > 1:
            spans = any(isinstance(v, tuple) or "/" in str(v) for v in expression.values)
            sets.append(AnonymousSet(next(ids), expression.field, expression.values, spans))
            parts.append(matches.in_anonymous_set(expression, family, sets[-1].set_id))
        else:
            parts.append(encode_expression(expression, family))
    return b"".join(parts), sets


@lru_cache(maxsize=8_192)
def encode_expression(expression: Expression, family: Family) -> bytes:
    """Encode what needs nothing beside it; most rules are made of few different ones."""
    return _ENCODERS[type(expression)](expression, family)


def read_rule(reader: Reader, expressions: bytes, user_data: bytes) -> Rule:
    """Read one rule as the kernel lists it."""
    reading = Reading(reader)
    try:
        for item in list_items(expressions):
            name, parts = _parsed(item)
            _READERS[name](reading, parts)
        comment = notes(user_data).get(COMMENT_NOTE, b"").rstrip(b"\0").decode()
    except (Unreadable, *UNENCODABLE):
        return UNREADABLE_RULE
    if reading.lower is not None:
        return UNREADABLE_RULE
    return Rule(tuple(reading.found), comment)


@lru_cache(maxsize=1_024)
def _parsed(item: bytes) -> tuple[bytes, Attributes]:
    """Take one expression apart; most rules are made of few different ones."""
    parts = attributes(item)
    return parts[1], attributes(parts[2]) if 2 in parts else {}


def note(kind: int, value: bytes) -> bytes:
    """Encode one note of user data: its type, its length, its bytes."""
    return bytes([kind, len(value)]) + value


def notes(user_data: bytes) -> dict[int, bytes]:
    """Read the notes of user data."""
    found, offset = {}, 0
    while offset + 2 <= len(user_data):
        kind, length = user_data[offset], user_data[offset + 1]
        found[kind] = user_data[offset + 2 : offset + 2 + length]
        offset += 2 + length
    return found


# The one place where the type of an expression chooses its encoding; hence Any.
_ENCODERS: dict[type, Callable[[Any, Family], bytes]] = {
    words.Is: matches.is_,
    words.AnyOf: matches.one_of,
    words.InSet: matches.in_set,
    words.Dispatch: matches.dispatch,
    words.CtState: matches.ct_state,
    words.AddressType: matches.address_type,
    words.ReversePathMissing: matches.reverse_path_missing,
    words.SetMark: matches.set_mark,
    words.Limit: statements.limit,
    words.ConnectionLimit: statements.connection_limit,
    words.Counter: statements.counter,
    words.Log: statements.log,
    words.NoTrack: statements.no_track,
    words.Masquerade: statements.masquerade,
    words.Snat: statements.snat,
    words.Dnat: statements.dnat,
    words.Reject: statements.reject,
    words.Verdict: statements.verdict,
}

_READERS: dict[bytes, Callable[[Reading, Attributes], None]] = {
    b"payload\0": matches_read.read_payload,
    b"meta\0": matches_read.read_meta,
    b"ct\0": matches_read.read_ct,
    b"fib\0": matches_read.read_fib,
    b"bitwise\0": matches_read.read_bitwise,
    b"cmp\0": matches_read.read_compare,
    b"range\0": matches_read.read_range,
    b"lookup\0": matches_read.read_lookup,
    b"immediate\0": statements.read_immediate,
    b"limit\0": statements.read_limit,
    b"connlimit\0": statements.read_connection_limit,
    b"counter\0": statements.read_counter,
    b"log\0": statements.read_log,
    b"notrack\0": statements.read_no_track,
    b"masq\0": statements.read_masquerade,
    b"nat\0": statements.read_nat,
    b"reject\0": statements.read_reject,
}
