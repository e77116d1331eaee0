"""The words of an nftables rule set, as values.

    core/render builds them --> reconcile/nftables compares them --> kernel/nftables encodes them
                            `-> core/nftables/text prints them as `nft` would

A `Rule` is a row of expressions, tried from left to right; the first that does not hold ends the
rule. The table's family decides what "saddr" means (IPv4 or IPv6), so the same rule serves both.

Source: nft(8), and what the kernel's nf_tables accepts.
"""

from collections.abc import Mapping
from typing import Literal, TypeAlias

from msgspec import Struct

Family: TypeAlias = Literal["ip", "ip6", "arp"]

Field: TypeAlias = Literal[
    "iifname",  # text of at most 15 characters; a trailing "*" matches any rest
    "oifname",
    "mark",  # int, 32 bits
    "l4proto",  # int: 6, 17, 1, 58 ...
    "saddr",  # "10.0.0.1" or, where a prefix makes sense, "10.0.0.0/8"
    "daddr",
    "sport",  # int
    "dport",
    "icmp_type",  # int; ICMPv6 in an ip6 table. The rule must test l4proto first
    "icmp_code",
    "ct_status_dnat",  # int 0 or 1: was the destination translated?
    "arp_operation",  # arp tables: 1 request, 2 reply
    "arp_saddr_ip",
]

Value: TypeAlias = int | str
Span: TypeAlias = tuple[int, int]  # first and last, both included


class Is(Struct, frozen=True, tag=True):
    """`field` equals `value` (or not). With `mask`, `field & mask` is compared."""

    field: Field
    value: Value
    negated: bool = False
    mask: int | None = None


class AnyOf(Struct, frozen=True, tag=True):
    """`field` is one of `values` (or none of them); a Span means a range. Never empty."""

    field: Field
    values: tuple[Value | Span, ...]
    negated: bool = False


class InSet(Struct, frozen=True, tag=True):
    """The fields, joined, are an element of the named set `set_name` (or not)."""

    fields: tuple[Field, ...]
    set_name: str
    negated: bool = False


class Dispatch(Struct, frozen=True, tag=True):
    """Look the fields up in a named verdict map; no entry: go on with the next expression."""

    fields: tuple[Field, ...]
    map_name: str


class CtState(Struct, frozen=True, tag=True):
    """The connection's state is one of these (or none): new, established, related, invalid."""

    states: frozenset[Literal["new", "established", "related", "invalid", "untracked"]]
    negated: bool = False


class AddressType(Struct, frozen=True, tag=True):
    """The FIB says that `field` (saddr or daddr) is of this type, e.g. a local address."""

    field: Literal["saddr", "daddr"]
    address_type: Literal["local", "unicast", "broadcast", "multicast"]
    negated: bool = False


class ReversePathMissing(Struct, frozen=True, tag=True):
    """No route back to the source, with the packet's mark, through the incoming interface."""


class SetMark(Struct, frozen=True, tag=True):
    """mark = (mark & ~mask) | value; `value` lies within `mask`."""

    mask: int
    value: int


class Limit(Struct, frozen=True, tag=True):
    """Holds while below `rate` packets per `unit` (or, with `over`, while above)."""

    rate: int
    unit: Literal["second", "minute", "hour", "day"] = "second"
    burst: int = 5
    over: bool = False


class ConnectionLimit(Struct, frozen=True, tag=True):
    """Holds when more than `count` connections passed here are alive."""

    count: int


class Counter(Struct, frozen=True, tag=True):
    """Count packets and bytes that come this far. Counts are not part of a rule's identity."""


class Log(Struct, frozen=True, tag=True):
    """Write a kernel log line; with `group`, hand the packet to NFLOG instead."""

    prefix: str
    level: int = 5
    group: int | None = None


class NoTrack(Struct, frozen=True, tag=True):
    """Keep the packet out of connection tracking."""


class Masquerade(Struct, frozen=True, tag=True):
    """Replace the source by the outgoing interface's address; `ports` = (first, last) to use."""

    ports: Span | None = None
    fully_random: bool = False


class Snat(Struct, frozen=True, tag=True):
    """Replace the source by `address`."""

    address: str
    ports: Span | None = None
    fully_random: bool = False


class Dnat(Struct, frozen=True, tag=True):
    """Replace the destination by `address`."""

    address: str


class Reject(Struct, frozen=True, tag=True):
    """Refuse the packet and tell the sender."""

    with_: Literal["port-unreachable", "tcp-reset"] = "port-unreachable"


class Verdict(Struct, frozen=True, tag=True):
    """End of the rule; `chain` for jump and goto only."""

    kind: Literal["accept", "drop", "return", "jump", "goto"]
    chain: str = ""


Expression: TypeAlias = (
    Is | AnyOf | InSet | Dispatch | CtState | AddressType | ReversePathMissing | SetMark | Limit
    | ConnectionLimit | Counter | Log | NoTrack | Masquerade | Snat | Dnat | Reject | Verdict
)  # fmt: skip


class Rule(Struct, frozen=True):
    """One rule; `comment` is shown by `nft list` and is part of its identity."""

    expressions: tuple[Expression, ...]
    comment: str = ""


class Hook(Struct, frozen=True):
    """Where a base chain is attached; the table's family says for which packets."""

    type: Literal["filter", "nat", "route"]
    hook: Literal["prerouting", "input", "forward", "output", "postrouting"]
    priority: int
    policy: Literal["accept", "drop"] = "accept"


class Chain(Struct, frozen=True):
    """The rules of one chain, in order. A chain without `hook` is reached by jump, goto, map."""

    rules: tuple[Rule, ...] = ()
    hook: Hook | None = None


class Set(Struct, frozen=True):
    """The shape of a named set or verdict map; its elements travel apart."""

    fields: tuple[Field, ...]  # element type, in order; saddr and daddr are both "an address"
    intervals: bool = False  # elements may be prefixes (addresses only); never with two fields
    verdicts: bool = False  # a map from element to Verdict


Element: TypeAlias = tuple[Value, ...]  # one value per field: ("10.0.0.1", 6, 80)


class TableDelta(Struct, frozen=True):
    """What changed in the intended contents of one table since last time; None means gone.

    Chains come whole. `elements` maps (set name, element) to the verdict (maps) or True (sets).
    A set that disappears, or whose shape changes, takes its elements with it: after a change of
    shape the delta lists every element again.
    """

    chains: Mapping[str, Chain | None] = {}
    sets: Mapping[str, Set | None] = {}
    elements: Mapping[tuple[str, Element], Verdict | Literal[True] | None] = {}
