"""A second machine with the name or the address of the first, on a wire between two namespaces."""

import socket

import pytest

from calico.core.model.keys import ResourceKey
from calico.datastore.memory import MemoryDatastore
from calico.datastore.resources import Resources
from calico.kernel.links import Links, Peer
from calico.kernel.netns import inside
from calico.kernel.run import run
from calico.node.addresses import StartupError
from calico.node.interfaces import answers_bgp
from calico.node.startup import register
from waiting import wait_until

pytestmark = pytest.mark.netns

GIVEN = {"IP": "autodetect", "IP6": "none", "IP_AUTODETECTION_METHOD": "interface=eth0"}


@pytest.fixture
def machines(make_namespace):
    """Two machines, 192.0.2.1 and 192.0.2.2, on one wire."""
    first, second = make_namespace(), make_namespace()
    with inside(first):
        with Links() as links:
            links.create_veth("eth0", Peer("eth0", second))
        run(["ip", "address", "add", "192.0.2.1/24", "dev", "eth0"])
        run(["ip", "link", "set", "eth0", "up"])
    with inside(second):
        run(["ip", "address", "add", "192.0.2.2/24", "dev", "eth0"])
        run(["ip", "link", "set", "eth0", "up"])
    return first, second


@pytest.mark.parametrize("asked", [GIVEN, {}], ids=["detected", "kept"])
def test_a_living_twin_is_refused(machines, asked):
    first, second = machines
    resources = Resources(MemoryDatastore())
    with inside(first):
        register(resources, GIVEN, "n1")
        listener = socket.create_server(("192.0.2.1", 179))
    refused = pytest.raises(StartupError, match=r"Node n1 .*192\.0\.2\.1.*NODENAME")
    with listener, inside(second), refused:
        wait_until(lambda: answers_bgp("192.0.2.1"), what="the wire carries packets")
        register(resources, asked, "n1")
    stored = resources.get(ResourceKey("Node", "", "n1"))
    assert stored.spec.bgp.ipv4_address == "192.0.2.1/24", "nothing was changed"


def test_an_address_that_ip_names_may_be_a_nats(machines):
    first, second = machines
    resources = Resources(MemoryDatastore())
    with inside(first):
        register(resources, GIVEN, "n1")
        listener = socket.create_server(("192.0.2.1", 179))
    with listener, inside(second):
        wait_until(lambda: answers_bgp("192.0.2.1"), what="the wire carries packets")
        node = register(resources, {"IP": "192.0.2.1/24", "IP6": "none"}, "n1").node
    assert node.spec.bgp.ipv4_address == "192.0.2.1/24"


def test_a_machine_that_moved_is_not_its_own_twin(machines):
    first, second = machines
    resources = Resources(MemoryDatastore())
    with inside(first):
        register(resources, GIVEN, "n1")
    with inside(second):
        node = register(resources, GIVEN, "n1").node
    assert node.spec.bgp.ipv4_address == "192.0.2.2/24"


def test_the_address_of_another_node_is_refused(machines):
    first, _ = machines
    resources = Resources(MemoryDatastore())
    with inside(first):
        register(resources, GIVEN, "n1")
        with pytest.raises(StartupError, match=r"Node n2: 192\.0\.2\.1 .* Node n1"):
            register(resources, GIVEN, "n2")
