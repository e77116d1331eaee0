"""Rules as people write them -> rules over addresses, ports and IP sets.

    model Rule --> intent Rule, which names IP sets
               --> the specs of those sets

Each rule stays one rule, in its place, also if it can match nothing: counters and explanations
number them. What names one IP version, directly or by an ICMP protocol or by its nets, is for that
version only, and nets of the other version are left out of it; a list of which nothing would be
left stays as it is, so that the rule matches nothing.

Source: policy-semantics 3.4; felix/calc/{rule_scanner,rule_convert}.go, felix/rules/policy.go.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Literal, NamedTuple, TypeAlias

from calico.core.calc.protocols import ICMP, ICMPV6, protocol_number
from calico.core.calc.selector_texts import side_selectors
from calico.core.calc.set_specs import SetSpec, named_port_set, selector_set, service_set
from calico.core.intent import policies as intent
from calico.core.model.rule import EntityRule, ICMPFields, Rule
from calico.core.net.ports import PortSpan, parse_port
from calico.core.net.prefix import canonical_prefix, ip_version

Version: TypeAlias = Literal[4, 6]

VERSIONS: dict[int, Version] = {4: 4, 6: 6}
VERSION_OF_ICMP: dict[int, Version] = {ICMP: 4, ICMPV6: 6}
ACTIONS: dict[str, intent.Action] = {
    "allow": "Allow",
    "deny": "Deny",
    "log": "Log",
    "pass": "Pass",
}


class Converted(NamedTuple):
    """Rules of one direction, and the sets that they refer to."""

    rules: tuple[intent.Rule, ...]
    sets: tuple[SetSpec, ...]


class _Sets(NamedTuple):
    """The sets of one side, by what the rule asks of them."""

    in_all: tuple[SetSpec, ...]
    in_none: tuple[SetSpec, ...]
    services: tuple[SetSpec, ...]
    named_ports: tuple[SetSpec, ...]
    not_named_ports: tuple[SetSpec, ...]


class _Ports(NamedTuple):
    """A list of ports: spans of numbers, and names."""

    spans: tuple[intent.PortSpan, ...]
    names: tuple[str, ...]


def converted_rules(rules: Sequence[Rule], namespace: str) -> Converted:
    """Convert the rules of one direction. Raises ValueError if one of them cannot be read."""
    converted, sets = [], dict[str, SetSpec]()
    for rule in rules:
        source = _sets(rule, rule.source, namespace, at_destination=False)
        destination = _sets(rule, rule.destination, namespace, at_destination=True)
        converted.append(_rule(rule, source, destination))
        sets.update((spec.id, spec) for spec in chain(*source, *destination))
    return Converted(tuple(converted), tuple(sets.values()))


def _rule(rule: Rule, source: _Sets, destination: _Sets) -> intent.Rule:
    version = _version(rule)
    annotations = rule.metadata.annotations if rule.metadata else {}
    return intent.Rule(
        action=_action(rule.action),
        ip_version=version,
        protocol=_protocol(rule.protocol),
        not_protocol=_protocol(rule.not_protocol),
        icmp=_icmp(rule.icmp),
        not_icmp=_icmp(rule.not_icmp),
        source=_side(rule.source, source, version),
        destination=_side(rule.destination, destination, version),
        annotations=tuple(sorted(annotations.items())),
    )


def _side(side: EntityRule, sets: _Sets, version: Version | None) -> intent.Side:
    return intent.Side(
        nets=_nets(side.nets, version),
        not_nets=_nets(side.not_nets, version),
        ip_sets=_ids(sets.in_all),
        not_ip_sets=_ids(sets.in_none),
        ip_port_sets=_ids(sets.services),
        ports=_ports(side.ports).spans,
        named_ports=_ids(sets.named_ports),
        not_ports=_ports(side.not_ports).spans,
        not_named_ports=_ids(sets.not_named_ports),
    )


def _sets(rule: Rule, side: EntityRule, namespace: str, *, at_destination: bool) -> _Sets:
    positive, negative = side_selectors(side, namespace)
    protocol = _protocol(rule.protocol)
    ports, not_ports = _ports(side.ports), _ports(side.not_ports)
    # With names only, the sets of named ports already hold just what the selector matches.
    folded = ports.names and not ports.spans
    in_all = (selector_set(positive),) if positive and not folded else ()
    services = _services(side, with_ports=at_destination)
    return _Sets(
        in_all=in_all if at_destination else in_all + services,
        in_none=(selector_set(negative),) if negative else (),
        services=services if at_destination else (),
        named_ports=tuple(named_port_set(positive, protocol, name) for name in ports.names),
        not_named_ports=tuple(named_port_set(positive, protocol, name) for name in not_ports.names),
    )


def _services(side: EntityRule, *, with_ports: bool) -> tuple[SetSpec, ...]:
    service = side.services
    if service is None or not service.name:
        return ()
    # In a NetworkPolicy too an absent namespace stays absent: the set of "/name" is empty.
    return (service_set(service.namespace, service.name, with_ports=with_ports),)


def _ids(specs: Iterable[SetSpec]) -> tuple[str, ...]:
    return tuple(spec.id for spec in specs)


def _action(text: str) -> intent.Action:
    action = ACTIONS.get(text.lower())
    if action is None:
        raise ValueError(f"'{text}' is not an action: write Allow, Deny, Log or Pass")
    return action


def _protocol(protocol: int | str | None) -> int | None:
    if protocol is None:
        return None
    number = protocol_number(protocol)
    if number is None:
        raise ValueError(f"'{protocol}' is not a protocol that has a number")
    return number


def _icmp(icmp: ICMPFields | None) -> intent.IcmpMatch | None:
    if icmp is None or icmp.type is None:
        return None  # {} asks nothing
    return intent.IcmpMatch(icmp.type, icmp.code)


def _ports(ports: Iterable[int | str]) -> _Ports:
    spans, names = [], []
    for port in map(parse_port, ports):
        if isinstance(port, PortSpan):
            spans.append((port.first, port.last))
        else:
            names.append(port)
    return _Ports(tuple(spans), tuple(names))


def _version(rule: Rule) -> Version | None:
    """Return the only IP version whose packets the rule can match; None if that is either."""
    if rule.ip_version is not None:
        return VERSIONS.get(rule.ip_version)
    protocol = _protocol(rule.protocol)
    if protocol in VERSION_OF_ICMP:
        asks_type = _icmp(rule.icmp) is not None or _icmp(rule.not_icmp) is not None
        # By number, and without a type, ICMP means that number in either version.
        if isinstance(rule.protocol, str) or asks_type:
            return VERSION_OF_ICMP[protocol]
    for nets in _net_lists(rule):
        versions = {ip_version(net) for net in nets}
        if len(versions) == 1:
            return VERSIONS[versions.pop()]
    return None


def _net_lists(rule: Rule) -> Iterator[tuple[str, ...]]:
    for side in (rule.source, rule.destination):
        yield side.nets
        yield side.not_nets


def _nets(nets: Iterable[str], version: Version | None) -> tuple[str, ...]:
    every = tuple(dict.fromkeys(canonical_prefix(net) for net in nets))
    return tuple(net for net in every if version in {None, ip_version(net)}) or every
