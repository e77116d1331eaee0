"""Every packet has the same fate on a node of Calico's own agent, on ours, and in the analyser.

Needs Calico's own agent: CALICO_FELIX=/path/to/calico-felix. Without it, skipped.
CALICO_WORLDS=first:last tries other worlds than the few of every run.
"""

import os

import pytest

from calico.core.analysis.packet import Packet
from calico.core.analysis.verdict import verdict
from calico.core.calc.intended import intended
from calico.datastore.etcd import EtcdDatastore
from calico.datastore.initialize import ensure_initialized
from calico.datastore.resources import Resources
from calico.lab.computed import read_snapshot
from etcd_server import running_etcd
from packets import PROTOCOLS, by_hand, icmp, icmp6, tcp, udp
from random_policies import PODS, Cluster
from two_agents import (
    FELIX,
    NODE,
    World,
    orchestrated,
    ours,
    resource,
    theirs,
    workload,
)
from waiting import wait_until

pytestmark = [
    pytest.mark.netns,
    pytest.mark.etcd,
    pytest.mark.conformance,
    pytest.mark.slow,
    pytest.mark.skipif(not FELIX, reason="set CALICO_FELIX to Calico's own calico-felix"),
]

FIRST, LAST = (int(word) for word in os.environ.get("CALICO_WORLDS", "1:40").split(":"))
PAIRS = (
    *(("a", "b"), ("b", "c"), ("c", "a"), ("a", "outside"), ("outside", "b"), ("b", "node")),
    *(("node", "c"), ("x", "a"), ("outside", "node"), ("node", "outside")),
)
PROBES = (
    *(tcp(port, version, 4000) for port in (80, 443) for version in (4, 6)),
    *(udp(port, version, 4000) for port in (53, 443) for version in (4, 6)),
    *(icmp(8), icmp(13), icmp6(128)),
    *(by_hand("sctp", 80), by_hand("udplite", 80), by_hand("ipip"), udp(4789, 4, 4000)),
)
PATIENCE_SECONDS = 4.0


@pytest.fixture(scope="module")
def store():
    with running_etcd() as server:
        datastore = EtcdDatastore(server.settings)
        datastore.port = server.port
        ensure_initialized(Resources(datastore))
        yield datastore
        datastore.close()


@pytest.fixture(scope="module", params=["Drop", "Accept"])
def agents(store, tmp_path_factory, request):
    directory = tmp_path_factory.mktemp("agents")
    settings = {"FELIX_DEFAULTENDPOINTTOHOSTACTION": request.param}
    sides = [make(store.port, directory, **settings) for make in (theirs, ours)]
    try:
        for side in sides:
            side.to_own_node = "Deny" if request.param == "Drop" else "Allow"
            side.start()
        yield sides
    finally:
        for side in sides:
            side.close()


def packet(net, source, destination, probe):
    ends = net[source].address(probe.family), net[destination].address(probe.family)
    protocol = PROTOCOLS[probe.protocol]
    if probe.type_ is not None:
        return Packet(*ends, protocol, icmp_type=probe.type_, icmp_code=probe.code)
    if protocol in {4, 136}:
        return Packet(*ends, protocol)
    return Packet(*ends, protocol, probe.port, probe.source_port or 20_000)


def fates(side, asked):
    """What becomes of each packet; of UDP that arrives, also from which address it seems to be."""
    side.net.forget_connections()
    found = {each: side.net.sends(*each) for each in asked}
    return {
        each: fate[0] if each[-1].protocol == "udp" and fate else bool(fate)
        for each, fate in found.items()
    }


def differences(sides, expected):
    """The questions that are not answered alike, asked again until there are none or time is up."""
    found = {}

    def is_settled():
        again = list(found) or list(expected)
        found.clear()
        answers = [fates(side, again) for side in sides]
        for each in again:
            said = [answer[each] for answer in answers]
            thought = expected[each]
            if said[0] != said[1] or thought not in {None, bool(said[0])}:
                found[each] = (*said, thought)
        return not found

    try:
        wait_until(is_settled, PATIENCE_SECONDS)
    except AssertionError:
        return found
    return {}


def analysed(store, side, asked):
    """What the analyser expects; None where it has no word (an unknown interface, NAT)."""
    intent = intended(read_snapshot(store).resources, NODE)

    def answer(source, destination, probe):
        if "x" in {source, destination} or (probe.is_by_hand and destination == "outside"):
            return None  # masqueraded, such a packet is no longer the one that was sent
        nodes = [None if end == "outside" else intent for end in (source, destination)]
        question = packet(side.net, source, destination, probe)
        return verdict(question, *nodes, side.to_own_node).action == "Allow"

    return {each: answer(*each) for each in asked}


def check(store, agents, number, resources, raw=()):
    """Let both see a world; list every packet that does not fare alike."""
    world = World(store)
    world.number = number * 2 + (agents[0].to_own_node == "Allow")
    address = world.become(resources, raw)
    for side in agents:
        wait_until(lambda side=side: address in side.rules(), what=f"{side.name} saw the world")
    asked = [(*pair, probe) for pair in PAIRS for probe in PROBES]
    found = differences(agents, analysed(store, agents[1], asked))
    lines = [f"{question}: theirs, ours, analyser = {said}" for question, said in found.items()]
    assert not found, "\n".join(lines)


@pytest.mark.parametrize("number", range(FIRST, LAST + 1))
def test_random_worlds(store, agents, number):
    cluster = Cluster(number)
    check(store, agents, number, cluster.resources, cluster.raw)


ALLOW, DENY = {"action": "Allow"}, {"action": "Deny"}
OVER_A = {"nets": ["10.65.0.10/32", "fd65::10/128"]}
BY_NAME = {"protocol": "TCP", "destination": {"ports": ["web"]}}
SINGLE = {  # ingress rules of one policy for b; "global" or in its namespace
    "not a selector, alone": ("", [ALLOW | {"source": {"notSelector": "kind == 'set'"}}]),
    "not a selector, in a namespace": (
        "one",
        [ALLOW | {"source": {"notSelector": "kind == 'set'"}}],
    ),
    "selector and not a selector": (
        "",
        [ALLOW | {"source": {"selector": "all()", "notSelector": "kind == 'set'"}}],
    ),
    "no namespace": ("", [ALLOW | {"source": {"namespaceSelector": "global()"}}]),
    "any namespace": ("", [ALLOW | {"source": {"namespaceSelector": "all()"}}]),
    "a named port": ("", [ALLOW | BY_NAME]),
    "a named port and a number": (
        "",
        [ALLOW | {"protocol": "TCP", "destination": {"ports": ["web", 443]}}],
    ),
    "not a named port": ("", [ALLOW | {"destination": {"notPorts": ["web"]}}]),
    "not a named port nobody has": ("", [ALLOW | {"destination": {"notPorts": ["none"]}}]),
    "not a port": ("", [ALLOW | {"protocol": "TCP", "destination": {"notPorts": [80]}}]),
    "not nets": ("", [ALLOW | {"source": {"notNets": ["10.65.0.10/31"]}}]),
    "all nets": ("", [ALLOW | {"source": {"nets": ["0.0.0.0/0"]}}]),
    "not an ICMP type": ("", [ALLOW | {"notICMP": {"type": 8}}]),
    "a protocol by number": ("", [ALLOW | {"protocol": 132}, ALLOW | {"protocol": 1}]),
    "not a protocol": ("", [ALLOW | {"notProtocol": "TCP"}]),
    "Pass in the last tier": ("", [{"action": "Pass"}]),
    "Log, then nothing": ("", [{"action": "Log"}]),
    "a service of no namespace": ("one", [ALLOW | {"source": {"services": {"name": "s"}}}]),
    "service accounts of nobody": ("one", [ALLOW | {"source": {"serviceAccounts": {}}}]),
    "HTTP": ("", [ALLOW | {"protocol": "TCP", "http": {"methods": ["GET"]}}]),
    "nothing": ("", []),
}


def hand_made(space, rules, **more):
    """Pods a, b and c that are open, a set over a, and one policy for b."""
    every = {"ingress": [ALLOW], "egress": [ALLOW]}
    yield resource("Profile", "open", every)
    yield resource("GlobalNetworkSet", "over", OVER_A, labels={"kind": "set"})
    port = {"name": "web", "port": 80, "protocol": "TCP"}
    for name, last in PODS.items():
        nets = f"10.65.0.{last}/32", f"fd65::{last}/128"
        spec = workload(name, *nets, profiles=["open"], ports=[port])
        labels = orchestrated("one", pod=name)
        yield resource("WorkloadEndpoint", f"{NODE}-k8s-{name}-eth0", spec, "one", labels)
    kind = "NetworkPolicy" if space else "GlobalNetworkPolicy"
    spec = {"selector": "pod == 'b'", "types": ["Ingress"], "ingress": rules, **more}
    yield resource(kind, "default.p", spec, space)


@pytest.mark.parametrize("what", SINGLE)
def test_one_policy(store, agents, what):
    space, rules = SINGLE[what]
    number = 20_000 + list(SINGLE).index(what)
    check(store, agents, number, [*hand_made(space, rules)])


def test_ties_are_told_apart_by_the_whole_name(store, agents):
    """ "a-b" comes before "a": what is compared is "a-b/one/NetworkPolicy"."""
    spec = {"tier": "default", "order": 1, "selector": "pod == 'b'", "types": ["Ingress"]}
    tied = [
        resource("NetworkPolicy", name, spec | {"ingress": [rule]}, "one")
        for name, rule in (("a-b", ALLOW), ("a", DENY))
    ]
    check(store, agents, 20_100, [*hand_made("", [DENY], order=2), *tied])
