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
from random_policies import Cluster
from two_agents import FELIX, NODE, World, ours, theirs
from waiting import wait_until

pytestmark = [
    pytest.mark.netns,
    pytest.mark.etcd,
    pytest.mark.conformance,
    pytest.mark.slow,
    pytest.mark.skipif(not FELIX, reason="set CALICO_FELIX to Calico's own calico-felix"),
]

FIRST, LAST = (int(word) for word in os.environ.get("CALICO_WORLDS", "1:10").split(":"))
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


@pytest.mark.parametrize("number", range(FIRST, LAST + 1))
def test_random_worlds(store, agents, number):
    world = World(store)
    world.number = number * 2 + (agents[0].to_own_node == "Allow")
    cluster = Cluster(number)
    address = world.become(cluster.resources, cluster.raw)
    for side in agents:
        wait_until(lambda side=side: address in side.rules(), what=f"{side.name} saw the world")
    asked = [(*pair, probe) for pair in PAIRS for probe in PROBES]
    found = differences(agents, analysed(store, agents[1], asked))
    lines = [f"{question}: theirs, ours, analyser = {said}" for question, said in found.items()]
    assert not found, "\n".join(lines)
