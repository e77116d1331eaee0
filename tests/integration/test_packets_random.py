"""Whatever the policies, the kernel does to packets what the analyser says of them.

Two readings of the same intent, by different people: core/render through a real kernel, and
core/analysis. Where they differ, one of them is wrong. One agent goes from intent to intent, so
what it takes for a change is tried as well.
"""

import itertools

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from calico.core.analysis.packet import Packet
from calico.core.analysis.verdict import verdict
from calico.core.intent.endpoints import Tier
from calico.core.intent.ip_sets import IpSet
from calico.core.intent.policies import IcmpMatch, Policy, Profile, Rule, Side
from calico.core.render.settings import RenderSettings
from intents import intent, named, pod
from packets import PROTOCOLS, by_hand, icmp, icmp6, tcp, udp

pytestmark = pytest.mark.netns

some = st.sampled_from
NAMES = ("a", "b", "c")
POLICIES = ("p", "q", "r", "s")
ADDRESSES = ("10.65.0.10", "10.65.0.11", "fd65::10", "fd65::11")
NETS = ("10.65.0.10/32", "10.65.0.10/31", "10.65.0.0/24", "192.0.2.0/24", "fd65::10/128", "::/0")
MEMBERS = {
    "s:1": ("address", ADDRESSES),
    "s:2": ("net", ("10.65.0.8/30", "10.65.0.12", "fd65::/64")),
    "n:1": ("address_port", tuple(f"{address},tcp:80" for address in ADDRESSES)),
    "n:2": ("address_port", tuple(f"{address},udp:53" for address in ADDRESSES)),
}
PROBES = (
    *(tcp(port, version, 4000) for port in (80, 443) for version in (4, 6)),
    *(udp(port, version, 4000) for port in (53, 443) for version in (4, 6)),
    *(icmp(type_, code) for type_ in (8, 13) for code in (0, 1)),
    *(icmp6(128, code) for code in (0, 1)),
    by_hand("sctp", 80),
)


def few(strategy, size=2, at_least=0):
    return st.lists(strategy, min_size=at_least, max_size=size, unique=True).map(tuple)


ports = some([((80, 80),), ((53, 80), (4000, 4000)), ((0, 65535),)])
CRITERIA = {
    "nets": few(some(NETS), at_least=1),
    "not_nets": few(some(NETS), at_least=1),
    "ip_sets": few(some(("s:1", "s:2")), at_least=1),
    "not_ip_sets": few(some(("s:1", "s:2")), at_least=1),
    "ip_port_sets": st.just(("n:1",)),
    "ports": ports,
    "named_ports": few(some(("n:1", "n:2")), at_least=1),
    "not_ports": ports,
    "not_named_ports": st.just(("n:2",)),
}


@st.composite
def sides(draw):
    """Sides with few criteria, so that some packets match."""
    chosen = draw(st.just(()) | st.just(()) | some(alone_or_paired(CRITERIA)))
    return Side(**{name: draw(CRITERIA[name]) for name in chosen})


def alone_or_paired(names):
    return [(one,) for one in names] + list(itertools.combinations(names, 2))


icmps = some([None, None, None, None, None, None, IcmpMatch(8), IcmpMatch(8, 1), IcmpMatch(128, 0)])


@st.composite
def rules(draw):
    """Rules as validation lets them through: ports with protocols that have them."""
    source, destination = draw(sides()), draw(sides())
    protocol = draw(some([None, None, 1, 6, 17, 58, 132]))
    numeric = any((side.ports or side.not_ports) for side in (source, destination))
    if numeric and protocol not in {6, 17, 132}:
        protocol = draw(some([6, 17]))
    about_icmp = protocol in {1, 58, None} and not numeric
    return Rule(
        draw(some(["Allow", "Allow", "Deny", "Pass", "Log"])),
        draw(some([None, None, None, 4, 6])),
        protocol,
        draw(some([None, None, None, 6, 1])),
        draw(icmps) if about_icmp and protocol is not None else None,
        draw(icmps) if about_icmp else None,
        source,
        destination,
    )


some_rules = few(rules(), 5, at_least=2)
tiers = st.builds(
    Tier,
    some(["default", "t"]),
    some(["Deny", "Deny", "Pass"]),
    few(some([named(name) for name in POLICIES]), 3, at_least=1),
    few(some([named(name) for name in POLICIES]), 3, at_least=1),
)


@st.composite
def intents(draw, net):
    sets = {
        set_id: IpSet(kind, frozenset(draw(few(some(members), 3))))
        for set_id, (kind, members) in MEMBERS.items()
    }
    held = {named(name): Policy("default", draw(some_rules), draw(some_rules)) for name in POLICIES}
    profiles = {name: Profile(draw(some_rules), draw(some_rules)) for name in ("odd", "mixed")}
    profiles["open"] = Profile((Rule("Allow"),), (Rule("Allow"),))
    pods = [
        pod(
            net,
            name,
            *draw(few(tiers, at_least=1)),
            profiles=draw(some([("open",), ("odd", "open"), ()])),
        )
        for name in NAMES
    ]
    return intent(*pods, policies=held, profiles=profiles, ip_sets=sets)


def packet(net, source, destination, probe):
    """The same packet, in the analyser's words."""
    ends = net[source].address(probe.family), net[destination].address(probe.family)
    protocol = PROTOCOLS[probe.protocol]
    if probe.type_ is not None:
        return Packet(*ends, protocol, icmp_type=probe.type_, icmp_code=probe.code)
    return Packet(*ends, protocol, probe.port, probe.source_port or 20_000)


@given(st.data())
@settings(
    max_examples=50,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # to shrink takes minutes of packets
    suppress_health_check=[HealthCheck.too_slow],
)
def test_the_kernel_agrees_with_the_analyser(node_with_pods, data):
    net = node_with_pods
    with net.agent(RenderSettings()) as agent:
        for held in data.draw(st.lists(intents(net), min_size=1, max_size=3)):
            agent.become(held)
            net.forget_connections()
            for source, destination in (("a", "b"), ("b", "c"), ("c", "a")):
                for probe in PROBES:
                    said = verdict(packet(net, source, destination, probe), held, held)
                    arrived = bool(net.sends(source, destination, probe))
                    assert arrived == (said.action == "Allow"), f"{source} {probe}: {said}"
