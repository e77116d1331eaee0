"""One spelling for each meaning, so that what is read back equals what was written.

    Rule from render --normal_rule--> Rule --encode--> kernel --decode--> the same Rule

The kernel keeps the meaning of a rule, not its spelling: sets of values come back sorted, "a/32"
as "a", a set of one value as that value. So rules are brought into this form before they are
compared or written.

Invariant: normal_rule(normal_rule(r)) == normal_rule(r), and decode(encode(normal)) == normal.
"""

import ipaddress
from collections.abc import Iterable, Sequence
from typing import TypeVar

from calico.core.nftables.vocabulary import (
    AnyOf,
    Element,
    Expression,
    Field,
    Is,
    Limit,
    Log,
    Rule,
    Set,
    SetMark,
    Span,
    Value,
)

COMMENT_BYTES = 127  # what nft itself accepts
LOG_PREFIX_BYTES = 127  # NF_LOG_PREFIXLEN without its zero byte
DEFAULT_BURST = 5  # what the kernel makes of a burst of 0
ALL_BITS = 0xFFFFFFFF

ADDRESS_FIELDS = frozenset({"saddr", "daddr", "arp_saddr_ip"})

Form = TypeVar("Form", bound=Expression)


def normal_rule(rule: Rule) -> Rule:
    """Return the rule in the form in which it will be read back."""
    try:
        expressions = tuple(
            [_normal(e) if type(e) in _NEEDS_A_LOOK else e for e in rule.expressions]
        )
    except (LookupError, TypeError, ValueError):
        return rule  # it cannot be encoded either, and there somebody is told
    comment = _shortened(rule.comment, COMMENT_BYTES)
    if comment == rule.comment and all(
        a is b for a, b in zip(expressions, rule.expressions, strict=True)
    ):
        return rule
    return Rule(expressions, comment)


def normal_set(shape: Set) -> Set:
    """Name each field by its type: the kernel does not know which address a set is for."""
    fields = tuple([_TYPES.get(field, field) for field in shape.fields])
    return shape if fields == shape.fields else Set(fields, shape.intervals, shape.verdicts)


def normal_element(element: Element) -> Element:
    """Write single addresses without their prefix length."""
    for value in element:
        if type(value) is str and "/" in value:
            return tuple([normal_address(v) if type(v) is str else v for v in element])
    return element


def normal_address(text: str) -> str:
    """Write a single address without its prefix length; anything else as it is."""
    address, _, length = text.partition("/")
    if length == ("128" if ":" in address else "32"):
        return address
    return text


def normal_values(values: Iterable[Value | Span]) -> tuple[Value | Span, ...]:
    """Sort, drop doubles; with spans or prefixes among them, merge what overlaps or touches."""
    rows = list(values)
    if any(isinstance(v, tuple) for v in rows):
        return _merged(
            sorted(v if isinstance(v, tuple) else (_number(v), _number(v)) for v in rows)
        )
    texts = sorted({normal_address(v) for v in rows if isinstance(v, str)})
    numbers = sorted({v for v in rows if isinstance(v, int)})
    if any("/" in text for text in texts):
        return _collapsed(texts)
    return (*numbers, *texts)


def _merged(spans: Sequence[Span]) -> tuple[Value | Span, ...]:
    merged: list[Span] = []
    for first, last in spans:
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], last))
        else:
            merged.append((first, last))
    return tuple([first if first == last else (first, last) for first, last in merged])


def _collapsed(texts: Sequence[str]) -> tuple[Value | Span, ...]:
    """Merge prefixes and addresses of one family into the fewest prefixes."""
    if ":" in texts[0]:
        six = ipaddress.collapse_addresses(map(ipaddress.IPv6Network, texts))
        return tuple([normal_address(str(network)) for network in six])
    four = ipaddress.collapse_addresses(map(ipaddress.IPv4Network, texts))
    return tuple([normal_address(str(network)) for network in four])


def _number(value: Value) -> int:
    if isinstance(value, str):
        msg = f"{value!r} among spans of numbers"
        raise TypeError(msg)
    return value


def _normal(expression: Expression) -> Expression:
    match expression:
        case Is():
            return _normal_is(expression)
        case AnyOf():
            return _normal_any_of(expression)
        case Log():
            level = 5 if expression.group is not None else expression.level
            prefix = _shortened(expression.prefix, LOG_PREFIX_BYTES)
            return _same_or(expression, Log(prefix, level, expression.group))
        case Limit(burst=0):
            return Limit(expression.rate, expression.unit, DEFAULT_BURST, expression.over)
        case SetMark():
            return _same_or(
                expression, SetMark(expression.mask, expression.value & expression.mask)
            )
        case _:
            return expression


def _normal_is(test: Is) -> Is:
    if test.field == "ct_status_dnat":
        return _same_or(test, Is(test.field, int(bool(test.value) != test.negated)))
    if test.mask == ALL_BITS:
        return Is(test.field, test.value, test.negated)
    if test.field in ADDRESS_FIELDS and isinstance(test.value, str):
        return _same_or(test, Is(test.field, normal_address(test.value), test.negated, test.mask))
    return test


def _normal_any_of(test: AnyOf) -> Is | AnyOf:
    values = normal_values(test.values)
    only = values[0]
    if len(values) == 1 and not isinstance(only, tuple):
        return Is(test.field, only, test.negated)
    return _same_or(test, AnyOf(test.field, values, test.negated))


def _same_or(old: Form, new: Form) -> Form:
    return old if old == new else new


def _shortened(text: str, at_most_bytes: int) -> str:
    if len(text) * 4 <= at_most_bytes:
        return text
    return text.encode()[:at_most_bytes].decode(errors="ignore")


_TYPES: dict[Field, Field] = {"daddr": "saddr", "dport": "sport", "oifname": "iifname"}
_NEEDS_A_LOOK = frozenset({Is, AnyOf, Log, Limit, SetMark})
