"""Which packets a rule is for, as rows of kernel expressions.

    Rule --> protocol . ICMP . source . destination --> one row, or one row per alternative

A kernel rule is a logical AND, so what a rule offers as alternatives takes several rows: numeric
ports or named ports, on either side, and "not this ICMP type and code". Where the action does
not end the packet's way (Log) the rows exclude one another, so that nothing is logged twice.
Nets and numeric ports need no rows: the kernel looks them up as one anonymous set.

No row at all means that the rule matches nothing in this family. Of a rule's nets only those of
the family count; when none is left, or a negated one covers everything, the rule is for nobody.

Source: policy-semantics 3.4; felix/rules/policy.go (FilterRuleToIPVersion, CalculateRuleMatch).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_network
from itertools import product
from typing import Final, NamedTuple, TypeAlias

from msgspec import structs

from calico.core.intent.ip_sets import IpSetKind
from calico.core.intent.policies import PortSpan, Rule, Side
from calico.core.nftables.vocabulary import AnyOf, Expression, Field, InSet, Is, Span, Value
from calico.core.render.names import IpFamily, set_name

Row: TypeAlias = tuple[Expression, ...]
SetKinds: TypeAlias = Mapping[str, IpSetKind]
SetNames: TypeAlias = Callable[[str], str]
Test: TypeAlias = Is | AnyOf | InSet  # what can be negated

ICMP: Final = {"ip": 1, "ip6": 58}
WITH_PORTS: Final = (6, 17, 132, 136)  # TCP, UDP, SCTP, UDP-Lite: ports in the same place
NEVER: Final[tuple[Row, ...]] = ()
ALWAYS: Final[tuple[Row, ...]] = ((),)


class Fields(NamedTuple):
    """The words for one side of a packet."""

    address: Field
    port: Field


SOURCE: Final = Fields("saddr", "sport")
DESTINATION: Final = Fields("daddr", "dport")


def matches(rule: Rule, family: IpFamily, kinds: SetKinds) -> tuple[Row, ...]:
    """List the rows of tests, any of which is a match; none if the family never matches."""
    if rule.ip_version not in {None, 4 if family == "ip" else 6}:
        return NEVER

    def name(set_id: str) -> str:
        return set_name(family, set_id, kinds[set_id])

    exclusive = rule.action == "Log"
    parts = [
        _protocol(rule, family),
        _icmp(rule),
        _ports(rule.source, SOURCE, name, exclusive=exclusive),
        _ports(rule.destination, DESTINATION, name, exclusive=exclusive),
        _addresses(rule.source, SOURCE, family, name),
        _addresses(rule.destination, DESTINATION, family, name),
    ]
    return tuple(tuple(test for row in rows for test in row) for rows in product(*parts))


def _protocol(rule: Rule, family: IpFamily) -> tuple[Row, ...]:
    """Test the protocol, first of all: later tests read what only some protocols have."""
    protocol = rule.protocol
    if rule.icmp is not None or rule.not_icmp is not None:
        if protocol not in {None, ICMP[family]}:
            return NEVER
        protocol = ICMP[family]
    if protocol is not None:
        return NEVER if protocol == rule.not_protocol else ((Is("l4proto", protocol),),)
    row: Row = ()
    if any(side.ports or side.not_ports for side in (rule.source, rule.destination)):
        row = (AnyOf("l4proto", WITH_PORTS),)
    if rule.not_protocol is not None:
        row = (*row, Is("l4proto", rule.not_protocol, negated=True))
    return (row,)


def _icmp(rule: Rule) -> tuple[Row, ...]:
    """Test type and code. The negation is of the pair: another type, or this one, other code."""
    row: Row = ()
    if rule.icmp is not None:
        row = (Is("icmp_type", rule.icmp.type),)
        if rule.icmp.code is not None:
            row = (*row, Is("icmp_code", rule.icmp.code))
    if rule.not_icmp is None:
        return (row,)
    type_, code = rule.not_icmp.type, rule.not_icmp.code
    other_type = (*row, Is("icmp_type", type_, negated=True))
    if code is None:
        return (other_type,)
    other_code = (*row, Is("icmp_type", type_), Is("icmp_code", code, negated=True))
    return (other_type, other_code)


def _ports(side: Side, fields: Fields, name: SetNames, *, exclusive: bool) -> tuple[Row, ...]:
    """Test ports: in a span or in a named port's set; in none of the negated; in all services."""
    every: list[Expression] = [_joined(fields, name(set_id)) for set_id in side.ip_port_sets]
    if side.not_ports:
        spans = merged(side.not_ports)
        if spans == [(0, 65535)]:
            return NEVER
        every.append(_one_of(fields.port, spans, negated=True))
    every += (_joined(fields, name(set_id), negated=True) for set_id in side.not_named_ports)
    either: list[Test] = [_joined(fields, name(set_id)) for set_id in side.named_ports]
    if side.ports:
        spans = merged(side.ports)
        if spans == [(0, 65535)]:
            return (tuple(every),)
        either.insert(0, _one_of(fields.port, spans))
    if not either:
        return (tuple(every),)
    return tuple((*every, *row) for row in (_apart(either) if exclusive else zip(either)))


def _apart(tests: list[Test]) -> Iterable[Row]:
    """Turn "any of these" into rows of which at most one holds."""
    for index, test in enumerate(tests):
        yield (*(structs.replace(earlier, negated=True) for earlier in tests[:index]), test)


def _addresses(side: Side, fields: Fields, family: IpFamily, name: SetNames) -> tuple[Row, ...]:
    """Test the address against nets and sets."""
    row: list[Expression] = []
    if side.nets:
        inside = addresses_in(fields.address, side.nets, family)
        if inside is None:
            return NEVER
        row += inside
    if side.not_nets:
        nets = _of_family(side.not_nets, family)
        if not nets or not nets[0].prefixlen:
            return NEVER
        row.append(_one_of(fields.address, [_text(net) for net in nets], negated=True))
    row += (InSet((fields.address,), name(set_id)) for set_id in side.ip_sets)
    row += (InSet((fields.address,), name(set_id), negated=True) for set_id in side.not_ip_sets)
    return (tuple(row),)


def addresses_in(field: Field, nets: Iterable[str], family: IpFamily) -> Row | None:
    """Test that an address is in one of the nets; None if none of them is of this family."""
    ours = _of_family(nets, family)
    if not ours:
        return None
    if not ours[0].prefixlen:
        return ()
    return (_one_of(field, [_text(net) for net in ours]),)


def _of_family(nets: Iterable[str], family: IpFamily) -> list[IPv4Network | IPv6Network]:
    """Keep this family's nets, none of them inside another: the kernel refuses overlaps."""
    if family == "ip":
        return [*collapse_addresses(IPv4Network(net) for net in nets if ":" not in net)]
    return [*collapse_addresses(IPv6Network(net) for net in nets if ":" in net)]


def _text(net: IPv4Network | IPv6Network) -> str:
    return str(net.network_address) if net.prefixlen == net.max_prefixlen else str(net)


def merged(spans: Iterable[PortSpan]) -> list[Span]:
    """Sort spans and join those that touch or overlap."""
    result: list[Span] = []
    for first, last in sorted(spans):
        if result and first <= result[-1][1] + 1:
            result[-1] = (result[-1][0], max(last, result[-1][1]))
        else:
            result.append((first, last))
    return result


def _one_of(field: Field, values: Iterable[Value | Span], *, negated: bool = False) -> Is | AnyOf:
    """Compare with one value, or look up several."""
    plain = tuple(
        value[0] if isinstance(value, tuple) and value[0] == value[1] else value for value in values
    )
    if len(plain) == 1 and not isinstance(plain[0], tuple):
        return Is(field, plain[0], negated=negated)
    return AnyOf(field, plain, negated=negated)


def _joined(fields: Fields, set_name: str, *, negated: bool = False) -> InSet:
    """Look up address, protocol and port together."""
    return InSet((fields.address, "l4proto", fields.port), set_name, negated=negated)


def complaint(rule: Rule, kinds: SetKinds) -> str:
    """Say why this rule cannot be rendered; "" if it can."""
    for side in (rule.source, rule.destination):
        for reason in (*_strange_sets(side, kinds), *_strange_values(side)):
            return reason
        if (side.ports or side.not_ports) and rule.protocol not in {None, *WITH_PORTS}:
            return f"protocol {rule.protocol} has no ports"
    return ""


def _strange_sets(side: Side, kinds: SetKinds) -> Iterator[str]:
    """Yield the sets that are not there, or are not of the kind that this use needs."""
    for set_id in (*side.ip_sets, *side.not_ip_sets):
        if kinds.get(set_id, "address_port") == "address_port":
            yield f"no set of addresses {set_id}"
    for set_id in (*side.ip_port_sets, *side.named_ports, *side.not_named_ports):
        if kinds.get(set_id) != "address_port":
            yield f"no set of addresses and ports {set_id}"


def _strange_values(side: Side) -> Iterator[str]:
    """Yield the nets and ports that the kernel would not take."""
    for net in (*side.nets, *side.not_nets):
        if not is_net(net):
            yield f"not a CIDR {net}"
    for first, last in (*side.ports, *side.not_ports):
        if not 0 <= first <= last <= 65535:
            yield f"not a range of ports {first}-{last}"


def is_net(text: str) -> bool:
    """Say whether this is an address or a CIDR without host bits."""
    try:
        ip_network(text)
    except ValueError:
        return False
    return True
