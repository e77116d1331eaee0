"""What a rule becomes; that it means what it says is for tests/integration/test_packets_*.py."""

import pytest

from calico.core.intent.policies import IcmpMatch, Rule, Side
from calico.core.nftables.vocabulary import AnyOf, InSet, Is
from calico.core.render.matches import WITH_PORTS, complaint, matches, merged

KINDS = {"s:a": "address", "s:n": "net", "n:p": "address_port", "n:q": "address_port"}
TCP = Is("l4proto", 6)
HTTP = Is("dport", 80)
NAMED = InSet(("daddr", "l4proto", "dport"), "cali40n-p")


def no(test):
    return type(test)(
        **{name: getattr(test, name) for name in test.__struct_fields__}
        | {"negated": not test.negated}
    )


def ip4(action="Allow", source=None, destination=None, **rest):
    rule = Rule(action, source=source or Side(), destination=destination or Side(), **rest)
    return matches(rule, "ip", KINDS)


@pytest.mark.parametrize(
    ("why", "rows", "expected"),
    [
        ("an empty rule matches everything", ip4(), ((),)),
        ("protocol", ip4(protocol=6), ((TCP,),)),
        ("not protocol", ip4(not_protocol=6), ((no(TCP),),)),
        ("both hold: another protocol", ip4(protocol=17, not_protocol=6), ((Is("l4proto", 17),),)),
        ("both hold: the same protocol", ip4(protocol=6, not_protocol=6), ()),
        ("the other family's rule", ip4(ip_version=6), ()),
        (
            "ports come after the protocol",
            ip4(protocol=6, destination=Side(ports=((80, 80),))),
            ((TCP, HTTP),),
        ),
        (
            "ports merge into one lookup",
            ip4(protocol=6, destination=Side(ports=((443, 443), (80, 85), (84, 90)))),
            ((TCP, AnyOf("dport", ((80, 90), 443))),),
        ),
        (
            "all ports are no test",
            ip4(protocol=6, destination=Side(ports=((0, 65535),), named_ports=("n:p",))),
            ((TCP,),),
        ),
        (
            "not all ports is never",
            ip4(protocol=6, destination=Side(not_ports=((0, 65535),))),
            (),
        ),
        (
            "ports without protocol: those that have ports",
            ip4(source=Side(ports=((80, 80),))),
            ((AnyOf("l4proto", WITH_PORTS), Is("sport", 80)),),
        ),
        (
            "numeric or named, one row each",
            ip4(protocol=6, destination=Side(ports=((80, 80),), named_ports=("n:p",))),
            ((TCP, HTTP), (TCP, NAMED)),
        ),
        (
            "what is logged is in one row only",
            ip4("Log", protocol=6, destination=Side(ports=((80, 80),), named_ports=("n:p",))),
            ((TCP, HTTP), (TCP, no(HTTP), NAMED)),
        ),
        (
            "named ports alone need no protocol",
            ip4(destination=Side(named_ports=("n:p",))),
            ((NAMED,),),
        ),
        (
            "services are a logical and",
            ip4(destination=Side(ip_port_sets=("n:p",), ip_sets=("s:a",))),
            ((NAMED, InSet(("daddr",), "cali40s-a")),),
        ),
        (
            "not named ports",
            ip4(destination=Side(not_named_ports=("n:p",))),
            ((no(NAMED),),),
        ),
        (
            "alternatives on both sides multiply",
            ip4(
                protocol=6,
                source=Side(ports=((1, 1),), named_ports=("n:q",)),
                destination=Side(ports=((80, 80),), named_ports=("n:p",)),
            ),
            tuple(
                (TCP, source, destination)
                for source in (Is("sport", 1), InSet(("saddr", "l4proto", "sport"), "cali40n-q"))
                for destination in (HTTP, NAMED)
            ),
        ),
        (
            "a set of nets has another name",
            ip4(source=Side(ip_sets=("s:a", "s:n"))),
            ((InSet(("saddr",), "cali40s-a"), InSet(("saddr",), "cali40s-n-net")),),
        ),
        (
            "in none of the negated sets",
            ip4(source=Side(not_ip_sets=("s:a",))),
            ((InSet(("saddr",), "cali40s-a", negated=True),),),
        ),
        ("one net", ip4(source=Side(nets=("10.0.0.0/8",))), ((Is("saddr", "10.0.0.0/8"),),)),
        ("one address", ip4(source=Side(nets=("10.0.0.1/32",))), ((Is("saddr", "10.0.0.1"),),)),
        (
            "nets inside others are dropped",
            ip4(source=Side(nets=("10.1.0.0/16", "10.0.0.0/8", "192.168.0.0/16"))),
            ((AnyOf("saddr", ("10.0.0.0/8", "192.168.0.0/16")),),),
        ),
        (
            "everything is no test",
            ip4(source=Side(nets=("0.0.0.0/0",)), destination=Side(nets=("10.0.0.0/8",))),
            ((Is("daddr", "10.0.0.0/8"),),),
        ),
        ("not everything is never", ip4(source=Side(not_nets=("0.0.0.0/0", "10.0.0.0/8"))), ()),
        (
            "negated nets",
            ip4(source=Side(not_nets=("10.0.0.0/8",))),
            ((Is("saddr", "10.0.0.0/8", negated=True),),),
        ),
        (
            "nets of this family only",
            ip4(source=Side(nets=("fd00::/8", "10.0.0.0/8"))),
            ((Is("saddr", "10.0.0.0/8"),),),
        ),
        ("no net of this family is left", ip4(source=Side(nets=("fd00::/8",))), ()),
        ("no negated net of this family is left", ip4(source=Side(not_nets=("fd00::/8",))), ()),
        (
            "ICMP type and code",
            ip4(protocol=1, icmp=IcmpMatch(3, 1)),
            ((Is("l4proto", 1), Is("icmp_type", 3), Is("icmp_code", 1)),),
        ),
        (
            "ICMP without protocol",
            ip4(icmp=IcmpMatch(8)),
            ((Is("l4proto", 1), Is("icmp_type", 8)),),
        ),
        ("ICMP with another protocol", ip4(protocol=58, icmp=IcmpMatch(8)), ()),
        (
            "not this ICMP type: other ICMP only",
            ip4(not_icmp=IcmpMatch(8)),
            ((Is("l4proto", 1), Is("icmp_type", 8, negated=True)),),
        ),
        (
            "not this pair: another type, or this one with another code",
            ip4(not_icmp=IcmpMatch(3, 1)),
            (
                (Is("l4proto", 1), Is("icmp_type", 3, negated=True)),
                (Is("l4proto", 1), Is("icmp_type", 3), Is("icmp_code", 1, negated=True)),
            ),
        ),
    ],
)
def test_rows(why, rows, expected):
    assert rows == expected, why


def test_icmp_of_version_6():
    rule = Rule("Allow", icmp=IcmpMatch(128))
    assert matches(rule, "ip6", KINDS) == ((Is("l4proto", 58), Is("icmp_type", 128)),)
    assert matches(Rule("Allow", protocol=1, icmp=IcmpMatch(8)), "ip6", KINDS) == ()
    assert matches(Rule("Allow", protocol=1), "ip6", KINDS) == ((Is("l4proto", 1),),)


@pytest.mark.parametrize(
    ("why", "rule", "expected"),
    [
        ("fine", Rule("Allow", source=Side(ip_sets=("s:a",), named_ports=("n:p",))), ""),
        (
            "no such set",
            Rule("Allow", source=Side(not_ip_sets=("s:z",))),
            "no set of addresses s:z",
        ),
        (
            "a set of ports for addresses",
            Rule("Allow", destination=Side(ip_sets=("n:p",))),
            "no set of addresses n:p",
        ),
        (
            "a set of addresses for ports",
            Rule("Allow", destination=Side(ip_port_sets=("s:a",))),
            "no set of addresses and ports s:a",
        ),
        ("host bits", Rule("Allow", source=Side(nets=("10.0.0.1/8",))), "not a CIDR 10.0.0.1/8"),
        ("no net", Rule("Allow", source=Side(not_nets=("ten",))), "not a CIDR ten"),
        (
            "ICMP ports",
            Rule("Allow", 4, 1, source=Side(ports=((1, 1),))),
            "protocol 1 has no ports",
        ),
        (
            "backwards",
            Rule("Allow", 4, 6, source=Side(ports=((2, 1),))),
            "not a range of ports 2-1",
        ),
    ],
)
def test_complaint(why, rule, expected):
    assert complaint(rule, KINDS) == expected, why


def test_merged():
    assert merged(((5, 6), (1, 2), (3, 3), (8, 9), (8, 8))) == [(1, 3), (5, 6), (8, 9)]
