"""A rule set as `nft` writes it, for people and for tests; `nft -f` loads it.

    Contents --render_table--> "table ip calico { set ... map ... chain ... }"

The kernel is programmed by messages (kernel/nftables.py), not by this text. The oracle test
loads both, each into a namespace of its own, and `nft -j list ruleset` must say the same.

Source: nft(8).
"""

from collections.abc import Iterable, Sequence
from typing import assert_never

from calico.core.nftables.changes import Contents, Entry
from calico.core.nftables.vocabulary import (
    AddressType,
    AnyOf,
    Chain,
    ConnectionLimit,
    Counter,
    CtState,
    Dispatch,
    Dnat,
    Element,
    Expression,
    Family,
    Field,
    InSet,
    Is,
    Limit,
    Log,
    Masquerade,
    NoTrack,
    Reject,
    ReversePathMissing,
    Rule,
    Set,
    SetMark,
    Snat,
    Span,
    Value,
    Verdict,
)

_LEVELS = ("emerg", "alert", "crit", "err", "warn", "notice", "info", "debug")

_NAMES: dict[Field, str] = {
    "iifname": "iifname",
    "oifname": "oifname",
    "mark": "meta mark",
    "l4proto": "meta l4proto",
    "saddr": "ip saddr",
    "daddr": "ip daddr",
    "sport": "th sport",
    "dport": "th dport",
    "icmp_type": "icmp type",
    "icmp_code": "icmp code",
    "ct_status_dnat": "ct status",
    "arp_operation": "arp operation",
    "arp_saddr_ip": "arp saddr ip",
}
_TYPES: dict[Field, str] = {
    "iifname": "ifname",
    "oifname": "ifname",
    "mark": "mark",
    "l4proto": "inet_proto",
    "saddr": "ipv4_addr",
    "daddr": "ipv4_addr",
    "sport": "inet_service",
    "dport": "inet_service",
    "icmp_type": "icmp_type",
    "icmp_code": "icmp_code",
    "arp_operation": "arp_op",
    "arp_saddr_ip": "ipv4_addr",
}
_SIX: dict[str, str] = {"ip": "ip6", "icmp": "icmpv6"}
_SIX_TYPES: dict[str, str] = {
    "ipv4_addr": "ipv6_addr",
    "icmp_type": "icmpv6_type",
    "icmp_code": "icmpv6_code",
}


def render_table(family: Family, name: str, contents: Contents) -> str:
    """Write a whole table; sets and chains in name order."""
    lines = [f"table {family} {name} {{"]
    for set_name, shape in sorted(contents.sets.items()):
        lines += _indented(
            render_set(family, set_name, shape, contents.elements.get(set_name, {}).items())
        )
    for chain_name, chain in sorted(contents.chains.items()):
        lines += _indented(render_chain(family, chain_name, chain))
    return "\n".join([*lines, "}", ""])


def _indented(text: str) -> list[str]:
    return [f"\t{line}" for line in text.splitlines()]


def render_set(
    family: Family, name: str, shape: Set, elements: Iterable[tuple[Element, Entry]] = ()
) -> str:
    """Write a set or verdict map with its elements."""
    types = " . ".join(_type(field, family) for field in shape.fields)
    word, data = ("map", " : verdict") if shape.verdicts else ("set", "")
    lines = [f"{word} {name} {{", f"\ttype {types}{data}"]
    if shape.intervals:
        lines.append("\tflags interval")
    items = sorted(_element(shape, element, entry) for element, entry in elements)
    if items:
        lines.append(f"\telements = {{ {', '.join(items)} }}")
    return "\n".join([*lines, "}"])


def _type(field: Field, family: Family) -> str:
    name = _TYPES[field]
    return _SIX_TYPES.get(name, name) if family == "ip6" else name


def _element(shape: Set, element: Element, entry: Entry) -> str:
    key = " . ".join(_value(f, v) for f, v in zip(shape.fields, element, strict=True))
    return key if entry is True else f"{key} : {_verdict(entry)}"


def render_chain(family: Family, name: str, chain: Chain) -> str:
    """Write a chain with its rules."""
    lines = [f"chain {name} {{"]
    if chain.hook is not None:
        hook = chain.hook
        lines.append(
            f"\ttype {hook.type} hook {hook.hook} priority {hook.priority}; policy {hook.policy};"
        )
    lines += [f"\t{render_rule(rule, family)}" for rule in chain.rules]
    return "\n".join([*lines, "}"])


def render_rule(rule: Rule, family: Family = "ip") -> str:
    """Write one rule."""
    parts = [render_expression(expression, family) for expression in rule.expressions]
    if rule.comment:
        parts.append(f"comment {_quoted(rule.comment)}")
    return " ".join(parts)


def render_expression(expression: Expression, family: Family) -> str:
    """Write one expression."""
    match expression:
        case Is() | AnyOf() | InSet() | Dispatch():
            return _of_fields(expression, family)
        case CtState() | AddressType() | ReversePathMissing() | Limit() | ConnectionLimit():
            return _condition(expression)
        case Masquerade() | Snat() | Dnat():
            return _nat(expression)
        case _:
            return _action(expression)


def _of_fields(test: Is | AnyOf | InSet | Dispatch, family: Family) -> str:
    match test:
        case Is():
            return _is(test, family)
        case AnyOf():
            return f"{_name(test.field, family)} {_unequal(test.negated)}{_values(test)}"
        case InSet():
            return f"{_joined(test.fields, family)} {_unequal(test.negated)}@{test.set_name}"
        case Dispatch():
            return f"{_joined(test.fields, family)} vmap @{test.map_name}"
        case _:
            assert_never(test)


def _is(test: Is, family: Family) -> str:
    name = _name(test.field, family)
    if test.field == "ct_status_dnat":
        return f"{name} dnat" if bool(test.value) != test.negated else f"{name} ! dnat"
    value = _value(test.field, test.value)
    if test.mask is not None:
        operator = "!=" if test.negated else "=="
        return f"{name} & {test.mask:#x} {operator} {value}"
    return f"{name} {_unequal(test.negated)}{value}"


def _values(test: AnyOf) -> str:
    values = [_value_or_span(test.field, value) for value in test.values]
    if len(values) == 1:
        return values[0]
    return f"{{ {', '.join(values)} }}"


def _condition(
    test: CtState | AddressType | ReversePathMissing | Limit | ConnectionLimit,
) -> str:
    match test:
        case CtState():
            return f"ct state {'! ' if test.negated else ''}{','.join(sorted(test.states))}"
        case AddressType():
            return f"fib {test.field} type {_unequal(test.negated)}{test.address_type}"
        case ReversePathMissing():
            return "fib saddr . mark . iif oif missing"
        case Limit():
            over = "over " if test.over else ""
            return f"limit rate {over}{test.rate}/{test.unit} burst {test.burst} packets"
        case ConnectionLimit():
            return f"ct count over {test.count}"
        case _:
            assert_never(test)


def _action(action: SetMark | Counter | Log | NoTrack | Reject | Verdict) -> str:
    match action:
        case SetMark():
            return _set_mark(action)
        case Counter():
            return "counter"
        case Log():
            return _log(action)
        case NoTrack():
            return "notrack"
        case Reject():
            return "reject with tcp reset" if action.with_ == "tcp-reset" else "reject"
        case Verdict():
            return _verdict(action)
        case _:
            assert_never(action)


def _set_mark(action: SetMark) -> str:
    kept = action.mask ^ 0xFFFFFFFF
    if not kept:
        return f"meta mark set {action.value:#x}"
    if not action.value:
        return f"meta mark set meta mark & {kept:#x}"
    return f"meta mark set meta mark & {kept:#x} | {action.value:#x}"


def _log(action: Log) -> str:
    prefix = f"prefix {_quoted(action.prefix)} " if action.prefix else ""
    if action.group is not None:
        return f"log {prefix}group {action.group}"
    return f"log {prefix}level {_LEVELS[action.level]}"


def _nat(action: Masquerade | Snat | Dnat) -> str:
    match action:
        case Dnat():
            return f"dnat to {action.address}"
        case Snat():
            to = f" to {action.address}"
            if action.ports:
                to = f" to {_bracketed(action.address)}:{_span(action.ports)}"
            word = "snat"
        case Masquerade():
            to = f" to :{_span(action.ports)}" if action.ports else ""
            word = "masquerade"
        case _:
            assert_never(action)
    return f"{word}{to}{' fully-random' if action.fully_random else ''}"


def _verdict(verdict: Verdict) -> str:
    return f"{verdict.kind} {verdict.chain}" if verdict.chain else verdict.kind


def _name(field: Field, family: Family) -> str:
    word, _, rest = _NAMES[field].partition(" ")
    if family == "ip6":
        word = _SIX.get(word, word)
    return f"{word} {rest}" if rest else word


def _joined(fields: Sequence[Field], family: Family) -> str:
    return " . ".join(_name(field, family) for field in fields)


def _unequal(negated: bool) -> str:
    return "!= " if negated else ""


def _value_or_span(field: Field, value: Value | Span) -> str:
    return _span(value) if isinstance(value, tuple) else _value(field, value)


def _value(field: Field, value: Value) -> str:
    if field in {"iifname", "oifname"}:
        return _quoted(str(value))
    if field == "mark":
        return f"{value:#x}"
    return str(value)


def _span(span: Span) -> str:
    return f"{span[0]}-{span[1]}"


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def _quoted(text: str) -> str:
    """Quote; nft knows no way to write a quote inside."""
    return '"' + text.replace('"', "'") + '"'
