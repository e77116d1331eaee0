"""The addresses of a real interface change while the node runs; the datastore is in memory."""

import pytest

from calico.core.model.keys import ResourceKey
from calico.core.model.metadata import Metadata
from calico.core.model.node import Node, NodeBGPSpec, NodeSpec
from calico.datastore.client import Unavailable
from calico.datastore.memory import MemoryDatastore
from calico.datastore.resources import Resources
from calico.kernel.interfaces import AddressNews
from calico.kernel.run import run
from calico.node import redetect
from calico.node.redetect import Redetection
from calico.node.startup import register
from calico.telemetry.health import Health
from waiting import wait_until

pytestmark = pytest.mark.netns

ENVIRONMENT = {"IP": "autodetect", "IP6": "autodetect"}
NEVER_SECONDS = 3600.0


class World:
    """A namespace with one interface, a node in it, and what its thread does."""

    def __init__(self, interval_seconds):
        self.resources = Resources(MemoryDatastore())
        self.health = Health()
        self.looks = 0
        self.failures = []
        run(["ip", "link", "add", "eth0", "type", "bridge"])
        run(["ip", "link", "set", "eth0", "up"])
        self.ip("add", "192.0.2.1/24")
        first = register(self.resources, ENVIRONMENT, "n1")
        self.redetection = Redetection(self.look, self.health, interval_seconds)
        self.redetection.start(first)

    def look(self):
        self.looks += 1
        if self.failures:
            raise self.failures.pop()
        return register(self.resources, ENVIRONMENT, "n1")

    def ip(self, verb, address):
        run(["ip", "address", verb, address, "dev", "eth0"])

    def bgp(self):
        return self.resources.get(ResourceKey("Node", "", "n1")).spec.bgp


@pytest.fixture
def make_world(netns, monkeypatch):
    monkeypatch.setattr(redetect, "RETRY_SECONDS", 0.01)
    monkeypatch.setattr(redetect, "SETTLE_SECONDS", 0.1)
    made = []

    def make(interval_seconds=NEVER_SECONDS):
        made.append(World(interval_seconds))
        return made[-1]

    yield make
    for world in made:
        world.redetection.stop()


def test_an_address_change_is_followed_at_once(make_world):
    world = make_world()
    assert world.health.is_ready
    world.ip("add", "198.51.100.1/24")
    world.ip("del", "192.0.2.1/24")
    wait_until(lambda: world.bgp().ipv4_address == "198.51.100.1/24")
    world.ip("add", "2001:db8::1/64")
    wait_until(lambda: world.bgp().ipv6_address == "2001:db8::1/64")
    assert "2001:db8::1/64" in world.health.table()


def test_an_address_that_is_gone_makes_the_node_unready_until_one_is_back(make_world):
    world = make_world()
    world.ip("del", "192.0.2.1/24")
    wait_until(lambda: not world.health.is_ready)
    assert world.bgp().ipv4_address == "192.0.2.1/24", "kept"
    assert "NodeAddresses: IPv4 192.0.2.1/24 (kept as stored" in world.health.why_not_ready
    world.ip("add", "192.0.2.7/24")
    wait_until(lambda: world.health.is_ready)
    assert world.bgp().ipv4_address == "192.0.2.7/24"


def test_the_address_of_another_node_is_not_taken(make_world):
    world = make_world()
    other = NodeSpec(bgp=NodeBGPSpec(ipv4_address="198.51.100.1/24"))
    world.resources.create(Node(metadata=Metadata(name="n2"), spec=other))
    world.ip("add", "198.51.100.1/24")
    world.ip("del", "192.0.2.1/24")
    wait_until(lambda: "is the address of Node n2 already" in world.health.why_not_ready)
    assert world.bgp().ipv4_address == "192.0.2.1/24"
    assert world.redetection._thread.is_alive()


def test_what_nobody_tells_is_found_in_time(make_world):
    world = make_world(interval_seconds=0.05)
    node = world.resources.get(ResourceKey("Node", "", "n1"))
    elsewhere = NodeSpec(bgp=NodeBGPSpec(ipv4_address="203.0.113.9/24"))
    world.resources.update(Node(metadata=node.metadata, spec=elsewhere))
    wait_until(lambda: world.bgp().ipv4_address == "192.0.2.1/24")


def test_three_tries_and_the_next_look(make_world):
    world = make_world()
    world.failures = [Unavailable("no datastore")] * 2
    world.ip("add", "198.51.100.1/24")
    world.ip("del", "192.0.2.1/24")
    wait_until(lambda: world.bgp().ipv4_address == "198.51.100.1/24")
    assert world.looks >= 3
    world.looks, world.failures = 0, [Unavailable("no datastore")] * 3
    world.ip("add", "192.0.2.5/24")
    wait_until(lambda: not world.failures)
    assert world.health.is_ready, "a datastore that is away changes no verdict"
    wait_until(lambda: "looked at again: no datastore" in world.health.table())


def test_pods_interfaces_are_no_news(netns):
    news = AddressNews()
    try:
        run(["ip", "link", "add", "cali1", "type", "veth", "peer", "name", "x"])
        run(["ip", "link", "set", "cali1", "up"])
        run(["ip", "link", "set", "x", "up"])
        shown = ["ip", "-6", "address", "show", "cali1"]  # told once duplicates were looked for
        wait_until(lambda: "fe80::" in (text := run(shown)) and "tentative" not in text)
        run(["ip", "address", "add", "192.0.2.8/24", "dev", "cali1"])
        heard = []
        while True not in heard:
            heard.append(news.read())
        assert heard[0] is False, "a link-local address"
        assert heard.count(True) == 1
    finally:
        news.close()
