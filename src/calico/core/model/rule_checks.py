"""What a rule may say: on writing all that the API asks, on reading what makes it unusable.

    rules(spec.ingress, "spec.ingress", INGRESS) --> problems of each rule, by path
    usable_rules(...)                            --> those for which the agent cannot obey it

A record written around the API can break a rule of form (a list too long) and still say clearly
what it wants; dropping such a policy would open or cut traffic for no reason. So the agent asks
only `usable_rules`, as Felix does.

Source: libcalico-go/lib/validator/v3/validator.go, CRD schemas, typha/pkg/validator/v1;
policy-semantics 3.9.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, TypeAlias

from calico.core.model.constraints import (
    Check,
    all_of,
    any_network,
    at_most,
    cidr_only,
    each,
    fields,
    network,
    no_repeats,
    number,
    one_of,
    parts,
    plain_selector,
    port,
    problem,
    selector,
    text_like,
)
from calico.core.model.naming import annotations, dns_name
from calico.core.model.problem import Problem
from calico.core.model.rule import EntityRule, HTTPMatch, HTTPPath, ICMPFields, Rule
from calico.core.net.ports import PROTOCOL_NUMBERS, WITH_PORTS, parse_port, protocol_number
from calico.core.net.prefix import parse_prefix
from calico.core.selector.ast import Global
from calico.core.selector.parser import SelectorError, parse_selector

Direction: TypeAlias = Literal["ingress", "egress"]
CATCH_ALL = (0, 0)
MOST_RULES = 1024


def protocol(path: str, value: object) -> Iterator[Problem]:
    """Allow the protocols that the API knows by name, and numbers."""
    if isinstance(value, int) and not 1 <= value <= 255:
        yield from problem(path, value, "protocol numbers are 1 to 255")
    if isinstance(value, str) and value not in PROTOCOL_NUMBERS:
        names = ", ".join(PROTOCOL_NUMBERS)
        yield from problem(path, value, f"must be one of {names}, or a number from 1 to 255")


ICMP_CHECKS: Mapping[str, Check] = {"type": number(0, 254), "code": number(0, 255)}
USABLE_RULE: Mapping[str, Check] = {
    "action": one_of("Allow", "Deny", "Log", "Pass"),
    "ip_version": one_of(4, 6),
    "icmp": parts(ICMP_CHECKS),
    "not_icmp": parts(ICMP_CHECKS),
}
RULE_CHECKS: Mapping[str, Check] = {
    **USABLE_RULE,
    "protocol": protocol,
    "not_protocol": protocol,
    "metadata": parts({"annotations": annotations}),
}
USABLE_ENTITY: Mapping[str, Check] = {
    "nets": each(any_network),
    "selector": selector,
    "namespace_selector": selector,
    "ports": each(port),
    "not_nets": each(any_network),
    "not_selector": selector,
    "not_ports": each(port),
    "service_accounts": parts({"selector": selector}),
}
NETS = all_of(at_most(256), each(all_of(cidr_only, network)))
PORTS = all_of(at_most(50), each(port))
ENTITY_CHECKS: Mapping[str, Check] = {
    "nets": NETS,
    "selector": plain_selector,
    "namespace_selector": selector,
    "services": parts({"name": dns_name, "namespace": dns_name}),
    "ports": PORTS,
    "not_nets": NETS,
    "not_selector": selector,
    "not_ports": PORTS,
    "service_accounts": parts({"selector": selector}),
}
PATH = all_of(
    at_most(1024),
    text_like(r"/[^? #]*", "a path that starts with / and holds no blank, ? or #"),
)
HTTP_CHECKS: Mapping[str, Check] = {
    "methods": all_of(at_most(20), no_repeats),
    "paths": all_of(at_most(20), each(parts({"exact": PATH, "prefix": PATH}))),
}


def usable_rules(rules: Sequence[Rule], path: str) -> Iterator[Problem]:
    """Yield what makes rules impossible to obey."""
    for index, rule in enumerate(rules):
        where = f"{path}[{index}]"
        yield from fields(rule, where, USABLE_RULE)
        yield from known_protocols(rule, where)
        yield from port_protocols(rule, where)
        for side, entity in (("source", rule.source), ("destination", rule.destination)):
            yield from fields(entity, f"{where}.{side}", USABLE_ENTITY)


def rules(rules: Sequence[Rule], path: str, direction: Direction) -> Iterator[Problem]:
    """Yield all that is wrong with the rules of one direction."""
    yield from at_most(MOST_RULES)(path, tuple(rules))
    for index, rule in enumerate(rules):
        yield from one_rule(rule, f"{path}[{index}]", direction)


def one_rule(rule: Rule, path: str, direction: Direction) -> Iterator[Problem]:
    """Yield all that is wrong with one rule."""
    if not rule.action:
        yield from problem(f"{path}.action", "", "is required: Allow, Deny, Log or Pass")
    yield from fields(rule, path, RULE_CHECKS)
    yield from port_protocols(rule, path)
    yield from icmp(rule, path)
    yield from ip_versions(rule, path)
    yield from entity(rule.source, f"{path}.source")
    yield from entity(rule.destination, f"{path}.destination")
    yield from services(rule, path, direction)
    if rule.http is not None:
        yield from http(rule.http, rule, path, direction)


def known_protocols(rule: Rule, path: str) -> Iterator[Problem]:
    """Refuse protocols without a number; the agent takes names in any case."""
    for name, value in (("protocol", rule.protocol), ("notProtocol", rule.not_protocol)):
        if value is not None and protocol_number(value) in {None, 0}:
            yield from problem(f"{path}.{name}", value, "no such protocol")


def port_protocols(rule: Rule, path: str) -> Iterator[Problem]:
    """Refuse ports where the protocol has none; names alone need no protocol."""
    if rule.protocol is not None and protocol_number(rule.protocol) in WITH_PORTS:
        return
    for side, entity in (("source", rule.source), ("destination", rule.destination)):
        for name, ports in (("ports", entity.ports), ("notPorts", entity.not_ports)):
            if ports and (rule.protocol is not None or any(map(is_numeric, ports))):
                yield from problem(
                    f"{path}.{side}.{name}",
                    ", ".join(map(str, ports)),
                    "ports need a protocol that has them: set protocol to TCP, UDP or SCTP",
                )


def is_numeric(value: int | str) -> bool:
    """Tell numbers and spans from names."""
    try:
        return not isinstance(parse_port(value), str)
    except ValueError:
        return False


def icmp(rule: Rule, path: str) -> Iterator[Problem]:
    """Check ICMP types against protocol and IP version."""
    if rule.icmp is not None and protocol_number(rule.protocol or 0) not in {1, 58}:
        yield from problem(
            f"{path}.icmp", rule.protocol or "", "icmp needs protocol ICMP or ICMPv6"
        )
    for name, match in (("icmp", rule.icmp), ("notICMP", rule.not_icmp)):
        if match is not None and lacks_type(match):
            yield from problem(
                f"{path}.{name}.code", match.code, "a code needs a type; set type too"
            )
    for name, value in (("protocol", rule.protocol), ("notProtocol", rule.not_protocol)):
        needed = {1: 4, 58: 6}.get(protocol_number(value) or 0) if value is not None else None
        if needed is not None and rule.ip_version not in {None, needed}:
            yield from problem(f"{path}.{name}", value, f"needs ipVersion {needed}, or none")


def lacks_type(match: ICMPFields) -> bool:
    """Tell a code without a type."""
    return match.code is not None and match.type is None


def ip_versions(rule: Rule, path: str) -> Iterator[Problem]:
    """Check that all CIDRs of a rule are of one version, and that of the rule."""
    seen: set[int] = {rule.ip_version} if rule.ip_version in {4, 6} else set()
    for name, nets, negated in sides_nets(rule):
        for net in nets:
            try:
                prefix = parse_prefix(net)
            except ValueError:
                continue  # reported as what it is
            if seen and prefix.version not in seen:
                reason = f"is IPv{prefix.version} in a rule for IPv{min(seen)}; use two rules"
                yield from problem(f"{path}.{name}", net, reason)
            seen = seen or {prefix.version}
            if negated and (prefix.network, prefix.length) == CATCH_ALL:
                reason = "excludes every address, so the rule can never match; remove it"
                yield from problem(f"{path}.{name}", net, reason)


def sides_nets(rule: Rule) -> Iterator[tuple[str, tuple[str, ...], bool]]:
    """Yield (path, CIDRs, whether negated) of a rule's four lists."""
    for side, entity in (("source", rule.source), ("destination", rule.destination)):
        yield f"{side}.nets", entity.nets, False
        yield f"{side}.notNets", entity.not_nets, True


def entity(entity: EntityRule, path: str) -> Iterator[Problem]:
    """Check one side of a rule."""
    yield from fields(entity, path, ENTITY_CHECKS)
    if not stands_alone(entity.namespace_selector):
        yield from problem(
            f"{path}.namespaceSelector",
            entity.namespace_selector,
            "global() cannot be combined with other selectors",
        )
    if entity.services is None:
        return
    if not entity.services.name:
        yield from problem(f"{path}.services.name", "", "a service name is required")
    others = {
        "namespaceSelector": entity.namespace_selector,
        "serviceAccounts": entity.service_accounts,
        "selector": entity.selector,
        "notSelector": entity.not_selector,
        "nets": entity.nets,
        "notNets": entity.not_nets,
    }
    for name in (name for name, value in others.items() if value):
        yield from problem(
            f"{path}.services", entity.services.name, f"excludes {name}; use two rules"
        )


def stands_alone(namespace_selector: str) -> bool:
    """Tell whether global(), if there, is all there is."""
    if "global(" not in namespace_selector:
        return True
    try:
        return isinstance(parse_selector(namespace_selector), Global)
    except SelectorError:
        return False


def services(rule: Rule, path: str, direction: Direction) -> Iterator[Problem]:
    """Check that services stand where traffic meets them."""
    wrong, side = (
        (rule.source, "source") if direction == "egress" else (rule.destination, "destination")
    )
    if wrong.services is not None:
        reason = f"services cannot be the {side} of an {direction} rule"
        yield from problem(f"{path}.{side}.services", wrong.services.name, reason)
    destination = rule.destination
    if destination.services is not None and (destination.ports or destination.not_ports):
        reason = "excludes ports and notPorts: the service knows its ports"
        yield from problem(f"{path}.destination.services", destination.services.name, reason)


def http(match: HTTPMatch, rule: Rule, path: str, direction: Direction) -> Iterator[Problem]:
    """Check an HTTP match and the rule that carries it."""
    yield from fields(match, f"{path}.http", HTTP_CHECKS)
    if direction == "egress":
        yield from problem(f"{path}.http", "", "http is for ingress rules alone")
    if rule.action != "Allow":
        yield from problem(f"{path}.http", rule.action, "http needs action Allow")
    if rule.protocol not in {None, "TCP", 6}:
        yield from problem(f"{path}.http", rule.protocol, "http needs protocol TCP, or none")
    for index, wanted in enumerate(match.paths):
        if not is_one_path(wanted):
            where = f"{path}.http.paths[{index}]"
            yield from problem(where, wanted.exact, "must have exact or prefix, not both")


def is_one_path(path: HTTPPath) -> bool:
    """Tell whether exactly one of the two is given."""
    return bool(path.exact) != bool(path.prefix)
