"""Each criterion of a rule, alone: what it lets match and what not."""

import pytest

from calico.core.analysis.match import mismatch
from calico.core.analysis.packet import ICMP, ICMPV6, TCP, UDP, Packet, connection, echo_request
from calico.core.intent.ip_sets import IpSet
from calico.core.intent.policies import IcmpMatch, Rule, Side

SETS = {
    "web": IpSet("address", frozenset({"10.0.0.1", "fd00::1"})),
    "blue": IpSet("address", frozenset({"10.0.0.1"})),
    "red": IpSet("address", frozenset({"10.0.0.9"})),
    "office": IpSet("net", frozenset({"192.0.2.0/24", "2001:db8::/32"})),
    "service": IpSet("address_port", frozenset({"10.0.0.2,tcp:80", "10.0.0.2,udp:53"})),
}
TCP_80 = connection("10.0.0.1", "10.0.0.2", TCP, 80)
TCP6_80 = connection("fd00::1", "fd00::2", TCP, 80)
PING = echo_request("10.0.0.1", "10.0.0.2")
PING6 = echo_request("fd00::1", "fd00::2")


def rule(**criteria):
    return Rule("Allow", **criteria)


def src(**criteria):
    return Rule("Allow", source=Side(**criteria))


def dst(**criteria):
    return Rule("Allow", destination=Side(**criteria))


@pytest.mark.parametrize(
    ("why", "asked", "packet"),
    [
        ("nothing asked", rule(), TCP_80),
        ("same version", rule(ip_version=6), TCP6_80),
        ("same protocol", rule(protocol=TCP), TCP_80),
        ("another protocol than the forbidden one", rule(not_protocol=UDP), TCP_80),
        ("protocol and notProtocol both hold", rule(protocol=TCP, not_protocol=UDP), TCP_80),
        ("ICMP type", rule(icmp=IcmpMatch(8)), PING),
        ("ICMP type and code", rule(icmp=IcmpMatch(8, 0)), PING),
        ("for IPv6 it is an ICMPv6 type", rule(icmp=IcmpMatch(128)), PING6),
        ("another type", rule(not_icmp=IcmpMatch(0)), PING),
        ("same type, other code: the pair is negated as one", rule(not_icmp=IcmpMatch(8, 1)), PING),
        ("in a net", src(nets=("203.0.113.0/24", "10.0.0.0/8")), TCP_80),
        ("nets of the other version beside", src(nets=("10.0.0.0/8", "fd00::/8")), TCP6_80),
        ("outside the forbidden net", src(not_nets=("203.0.113.0/24",)), TCP_80),
        ("member", src(ip_sets=("web",)), TCP_80),
        ("member of all", src(ip_sets=("web", "blue")), TCP_80),
        ("member of a net", dst(ip_sets=("office",)), connection("10.0.0.1", "192.0.2.7", TCP, 1)),
        ("not a member", src(not_ip_sets=("red",)), TCP_80),
        ("port", dst(ports=((80, 80),)), TCP_80),
        ("port in a range", dst(ports=((1, 10), (79, 81))), TCP_80),
        ("named port", dst(named_ports=("service",)), TCP_80),
        ("numeric or named", dst(ports=((443, 443),), named_ports=("service",)), TCP_80),
        ("none of the ports", dst(not_ports=((443, 443),)), TCP_80),
        ("not the named port", dst(not_named_ports=("service",)), TCP6_80),
        ("not the named port: other protocols too", dst(not_named_ports=("service",)), PING),
        ("service", dst(ip_port_sets=("service",)), TCP_80),
    ],
)
def test_matches(why, asked, packet):
    assert mismatch(asked, packet, SETS) == "", why


@pytest.mark.parametrize(
    ("criterion", "asked", "packet"),
    [
        ("ipVersion", rule(ip_version=6), TCP_80),
        ("protocol", rule(protocol=UDP), TCP_80),
        ("notProtocol", rule(not_protocol=TCP), TCP_80),
        ("notProtocol", rule(protocol=TCP, not_protocol=TCP), TCP_80),
        ("icmp", rule(icmp=IcmpMatch(0)), PING),
        ("icmp", rule(icmp=IcmpMatch(8, 1)), PING),
        ("icmp", rule(icmp=IcmpMatch(8)), TCP_80),
        ("protocol", rule(protocol=ICMP, icmp=IcmpMatch(8)), PING6),
        ("notICMP", rule(not_icmp=IcmpMatch(8)), PING),
        ("notICMP", rule(not_icmp=IcmpMatch(8, 0)), PING),
        ("notICMP", rule(not_icmp=IcmpMatch(8)), TCP_80),
        ("source.nets", src(nets=("203.0.113.0/24",)), TCP_80),
        ("source.nets", src(nets=("fd00::/8",)), TCP_80),
        ("source.notNets", src(not_nets=("10.0.0.0/8",)), TCP_80),
        ("source.notNets", src(not_nets=("fd00::/8",)), TCP_80),
        ("source.notNets", src(not_nets=("0.0.0.0/0",)), TCP_80),
        ("source.selector", src(ip_sets=("red",)), TCP_80),
        ("source.selector", src(ip_sets=("web", "red")), TCP_80),
        ("source.notSelector", src(not_ip_sets=("red", "web")), TCP_80),
        ("destination.selector", dst(ip_sets=("web",)), TCP_80),
        ("destination.ports", dst(ports=((443, 443),)), TCP_80),
        ("destination.ports", dst(ports=((0, 65535),)), PING),
        ("destination.ports", dst(named_ports=("service",)), TCP6_80),
        ("destination.notPorts", dst(not_ports=((80, 80),)), TCP_80),
        ("destination.notPorts", dst(not_ports=((80, 80),)), PING),
        ("destination.notPorts", dst(not_named_ports=("service",)), TCP_80),
        ("destination.services", dst(ip_port_sets=("service",)), TCP6_80),
    ],
)
def test_names_what_does_not_hold(criterion, asked, packet):
    assert mismatch(asked, packet, SETS) == criterion


def test_protocol_number_of_the_other_version_never_matches():
    assert mismatch(rule(protocol=ICMPV6, icmp=IcmpMatch(128)), PING, SETS) == "protocol"


def test_a_named_port_is_a_port_of_that_protocol():
    udp_80 = Packet("10.0.0.1", "10.0.0.2", UDP, 80)
    assert mismatch(dst(named_ports=("service",)), udp_80, SETS) == "destination.ports"
