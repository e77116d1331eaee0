"""Which packets a rule is for, asked of a real kernel: pod a sends, pod b has the policy."""

import pytest
from msgspec import structs

from calico.core.intent.ip_sets import IpSet
from calico.core.intent.policies import IcmpMatch, Rule, Side
from calico.core.render.settings import RenderSettings
from intents import intent, pod, policies, tier
from packets import by_hand, icmp, icmp6, tcp, udp

pytestmark = pytest.mark.netns

SETS = {
    "s:pods": IpSet("address", frozenset({"10.65.0.10", "10.65.0.11", "fd65::10", "fd65::11"})),
    "s:net": IpSet("net", frozenset({"10.65.0.8/29", "10.65.0.1", "fd65::/64"})),
    "s:none": IpSet("address", frozenset()),
    "n:web": IpSet("address_port", frozenset({"10.65.0.11,tcp:80", "fd65::11,tcp:80"})),
    "n:dns": IpSet("address_port", frozenset({"10.65.0.11,udp:53", "10.65.0.11,sctp:53"})),
    "n:from": IpSet("address_port", frozenset({"10.65.0.10,tcp:4000"})),
}
A = "10.65.0.10/32"


def allow(source=None, destination=None, **more):
    return Rule("Allow", source=source or Side(), destination=destination or Side(), **more)


def to(**more):
    return Side(**more)


TCP_80, TCP_81, UDP_53, ICMP, ICMP6 = tcp(80), tcp(81), udp(53), icmp(), icmp6()
TCP6_80 = tcp(80, version=6)

# rule -> the packets that it lets in, and those that it does not
CASES = {
    "everything": (allow(), [TCP_80, UDP_53, ICMP, by_hand("sctp", 7), by_hand("udplite", 7)], []),
    "tcp": (allow(protocol=6), [TCP_80], [UDP_53, ICMP, by_hand("sctp", 80)]),
    "not tcp": (allow(not_protocol=6), [UDP_53, ICMP, by_hand("sctp", 80)], [TCP_80]),
    "sctp port": (
        allow(protocol=132, destination=to(ports=((7, 7),))),
        [by_hand("sctp", 7)],
        [by_hand("sctp", 8), by_hand("udplite", 7)],
    ),
    "udplite port": (
        allow(protocol=136, destination=to(ports=((7, 9),))),
        [by_hand("udplite", 8)],
        [by_hand("udplite", 10), by_hand("sctp", 8)],
    ),
    "ports": (
        allow(protocol=6, destination=to(ports=((79, 80), (443, 443)))),
        [TCP_80, tcp(79), tcp(443)],
        [TCP_81, udp(80)],
    ),
    "not ports": (
        allow(protocol=6, destination=to(not_ports=((79, 80), (443, 443)))),
        [TCP_81],
        [TCP_80, tcp(79), tcp(443), udp(81)],
    ),
    "source port": (
        allow(protocol=17, source=to(ports=((4000, 4001),))),
        [udp(53, source_port=4000)],
        [udp(53, source_port=4002)],
    ),
    "a net": (allow(to(nets=(A,))), [TCP_80, ICMP], [TCP6_80, ICMP6]),
    "several nets": (allow(to(nets=("10.65.0.8/30", A, "192.0.2.0/24"))), [TCP_80], []),
    "another net": (allow(to(nets=("10.65.0.12/30",))), [], [TCP_80]),
    "not a net": (allow(to(not_nets=("10.65.0.8/29",))), [], [TCP_80, TCP6_80]),
    "not other nets": (allow(to(not_nets=("10.66.0.0/16", "10.67.0.0/16"))), [TCP_80], []),
    "in and not in": (
        allow(to(nets=("10.65.0.0/16",), not_nets=("10.65.0.0/24",))),
        [],
        [TCP_80],
    ),
    "not anything": (allow(to(not_nets=("0.0.0.0/0",))), [], [TCP_80, TCP6_80]),
    "nets of both versions": (
        allow(to(nets=(A, "fd65::/64"))),
        [TCP_80, TCP6_80],
        [],
    ),
    "nets of version 6 alone": (allow(to(nets=("fd65::10/128",))), [TCP6_80], [TCP_80]),
    "version 6": (allow(ip_version=6), [TCP6_80, ICMP6], [TCP_80]),
    "an address set": (allow(to(ip_sets=("s:pods",))), [TCP_80, TCP6_80], []),
    "a net set": (allow(to(ip_sets=("s:net",))), [TCP_80, TCP6_80], []),
    "two sets": (allow(to(ip_sets=("s:pods", "s:none"))), [], [TCP_80]),
    "not in a set": (allow(to(not_ip_sets=("s:pods",))), [], [TCP_80]),
    "not in a net set": (allow(to(not_ip_sets=("s:net",))), [], [TCP_80]),
    "not in an empty set": (allow(to(not_ip_sets=("s:none",))), [TCP_80], []),
    "in one, not in the other": (
        allow(to(ip_sets=("s:pods",), not_ip_sets=("s:none",))),
        [TCP_80],
        [],
    ),
    "a named port": (
        allow(protocol=6, destination=to(named_ports=("n:web",))),
        [TCP_80, TCP6_80],
        [TCP_81, udp(80)],
    ),
    "named ports of any protocol": (
        allow(destination=to(named_ports=("n:web", "n:dns"))),
        [TCP_80, UDP_53, by_hand("sctp", 53)],
        [TCP_81, tcp(53), ICMP],
    ),
    "named or numeric": (
        allow(protocol=6, destination=to(named_ports=("n:web",), ports=((443, 443),))),
        [TCP_80, tcp(443)],
        [TCP_81],
    ),
    "a named source port": (
        allow(source=to(named_ports=("n:from",))),
        [tcp(80, source_port=4000)],
        [tcp(80, source_port=4001), udp(80, source_port=4000)],
    ),
    "both sides named or numeric": (
        allow(
            protocol=6,
            source=to(named_ports=("n:from",), ports=((5000, 5000),)),
            destination=to(named_ports=("n:web",), ports=((443, 443),)),
        ),
        [tcp(port, source_port=source) for port in (80, 443) for source in (4000, 5000)],
        [tcp(80, source_port=4001), tcp(81, source_port=5000)],
    ),
    "not a named port": (
        allow(destination=to(not_named_ports=("n:web",))),
        [TCP_81, udp(80), ICMP],
        [TCP_80],
    ),
    "a service": (allow(destination=to(ip_port_sets=("n:web",))), [TCP_80], [TCP_81, UDP_53]),
    "icmp type": (
        allow(protocol=1, icmp=IcmpMatch(8)),
        [ICMP],
        [icmp(13), ICMP6, UDP_53],
    ),
    "icmp type and code": (
        allow(protocol=1, icmp=IcmpMatch(8, 3)),
        [icmp(8, 3)],
        [ICMP, icmp(8, 4), icmp(13, 3)],
    ),
    "not an icmp type": (
        allow(not_icmp=IcmpMatch(8)),
        [icmp(13)],
        [ICMP, icmp(8, 3), UDP_53, TCP_80],
    ),
    "not an icmp type with a code": (
        allow(protocol=1, not_icmp=IcmpMatch(8, 3)),
        [ICMP, icmp(8, 4), icmp(13, 3)],
        [icmp(8, 3)],
    ),
    "icmpv6": (
        allow(ip_version=6, protocol=58, icmp=IcmpMatch(128)),
        [ICMP6],
        [ICMP, TCP6_80],
    ),
    "protocol number 1 says nothing of version 6": (
        allow(protocol=1, icmp=IcmpMatch(8)),
        [ICMP],
        [ICMP6],
    ),
    "all at once": (
        allow(
            protocol=6,
            source=to(nets=("10.65.0.0/16",), ip_sets=("s:pods", "s:net"), not_ip_sets=("s:none",)),
            destination=to(nets=("10.65.0.11/32",), ports=((80, 90),), not_ports=((81, 81),)),
        ),
        [TCP_80, tcp(82)],
        [TCP_81, tcp(91), TCP6_80],
    ),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("side", ["ingress", "egress"])
def test_a_rule_means_what_it_says(net, name, side):
    rule, let_in, kept_out = CASES[name]
    rules = ((rule,), ()) if side == "ingress" else ((), (rule,))
    judged = tier(**{side: ["p"]})
    pods = [pod(net, "a", *([judged] if side == "egress" else []))]
    pods.append(pod(net, "b", *([judged] if side == "ingress" else [])))
    net.load(intent(*pods, policies=policies(p=rules), ip_sets=SETS), RenderSettings())
    for probe in let_in:
        assert net.sends("a", "b", probe), f"{probe} should arrive"
    for probe in kept_out:
        assert not net.sends("a", "b", probe), f"{probe} should not arrive"


@pytest.mark.parametrize("name", CASES)
def test_the_same_rule_denies_what_it_would_allow(net, name):
    rule, let_in, kept_out = CASES[name]
    deny = structs.replace(rule, action="Deny")
    rules = ((deny, Rule("Allow")), ())
    pods = [pod(net, "a"), pod(net, "b", tier(["p"]))]
    net.load_text(intent(*pods, policies=policies(p=rules), ip_sets=SETS), RenderSettings())
    for probe in let_in:
        assert not net.sends("a", "b", probe), f"{probe} is denied"
    for probe in kept_out:
        assert net.sends("a", "b", probe), f"{probe} is not denied"
