"""Questions, their packets, the computed matrix, and how two matrices differ."""

import pytest

from calico.core.analysis.matrix import Expected, Party, Port, Question, packet_of, questions
from calico.core.analysis.packet import TCP
from calico.core.analysis.what_if import Difference, differences
from calico.core.intent.delta import Intent
from calico.core.intent.endpoints import WorkloadEndpoint
from calico.core.intent.keys import EndpointKey
from calico.core.intent.policies import Profile, Rule, Side

A = Party("shop/a", "n1", ("10.0.0.1", "fd00::1"))
B = Party("shop/b", "n2", ("10.0.1.1", "fd00::2"))
WORLD = Party("internet", "", ("203.0.113.9",))
PARTIES = {party.name: party for party in (A, B, WORLD)}
PORTS = (Port("icmp"), Port("tcp", 80), Port("udp", 53))


def endpoint(party, profile):
    (v4, v6) = party.addresses
    key = EndpointKey("k8s", party.name, "eth0")
    return {key: WorkloadEndpoint("cali" + party.node, (v4,), (v6,), profiles=(profile,))}


def intents(ingress_of_b):
    allow = Profile(ingress=(Rule("Allow"),), egress=(Rule("Allow"),))
    return {
        "n1": Intent(profiles={"p": allow}, endpoints=endpoint(A, "p")),
        "n2": Intent(
            profiles={"p": Profile(ingress=ingress_of_b, egress=(Rule("Allow"),))},
            endpoints=endpoint(B, "p"),
        ),
    }


def test_cells_need_addresses_of_the_version_at_both_ends():
    asked = questions([A], [A, B, WORLD], PORTS)
    assert len(asked) == 2 * 6 + 3
    assert {q.version for q in asked if q.destination == "internet"} == {4}


def test_packets():
    assert packet_of(Question("shop/a", "shop/b", 6, "icmp", 0), PARTIES).icmp_type == 128
    packet = packet_of(Question("shop/a", "internet", 4, "tcp", 80), PARTIES)
    assert (packet.source, packet.destination) == ("10.0.0.1", "203.0.113.9")
    assert (packet.protocol, packet.destination_port) == (TCP, 80)
    with pytest.raises(KeyError):
        packet_of(Question("shop/a", "internet", 6, "tcp", 80), PARTIES)


def test_the_computed_matrix():
    only_tcp = (Rule("Allow", protocol=TCP, destination=Side(ports=((80, 80),))),)
    expected = Expected(PARTIES.values(), intents(only_tcp))
    answer = expected.matrix(questions(PARTIES.values(), PARTIES.values(), PORTS))
    reached_b = {q for q, ok in answer.items() if ok and q.destination == B.name != q.source}
    assert {(q.protocol, q.port) for q in reached_b} == {("tcp", 80)}
    assert {q.source for q in reached_b} == {"shop/a", "internet"}
    assert all(ok for q, ok in answer.items() if q.destination in {A.name, "internet"})
    assert all(ok for q, ok in answer.items() if q.source == q.destination)


def test_differences():
    one, two, three = (Question("a", "b", 4, "tcp", port) for port in (1, 2, 3))
    found = differences({one: True, two: False}, {one: True, two: True, three: False})
    assert found == (Difference(two, False, True), Difference(three, None, False))
    assert differences({one: True}, {one: True}) == ()
