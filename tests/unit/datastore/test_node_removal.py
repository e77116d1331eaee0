import pytest

from calico.core.model.bgp import BGPConfiguration, BGPPeer, BGPPeerSpec
from calico.core.model.endpoint import (
    HostEndpoint,
    HostEndpointSpec,
    WorkloadEndpoint,
    WorkloadEndpointSpec,
)
from calico.core.model.felix_config import FelixConfiguration
from calico.core.model.keys import ResourceKey
from calico.core.model.metadata import Metadata
from calico.core.model.node import Node, NodeBGPSpec, NodeSpec, NodeWireguardSpec
from calico.datastore.memory import MemoryDatastore
from calico.datastore.node_removal import delete_node
from calico.datastore.resource_errors import DoesNotExist, UpdateConflict
from calico.datastore.resources import Resources


class Addresses:
    def __init__(self):
        self.done = []

    def release_addresses(self, addresses):
        self.done.append(list(addresses))

    def release_node(self, node):
        self.done.append(node)


def endpoint(node, pod, address):
    return WorkloadEndpoint(
        metadata=Metadata(namespace="shop"),
        spec=WorkloadEndpointSpec(
            orchestrator="k8s",
            node=node,
            pod=pod,
            endpoint="eth0",
            interface_name="cali1",
            ip_networks=(f"{address}/32",),
        ),
    )


def belongings(node):
    return [
        Node(
            metadata=Metadata(name=node),
            spec=NodeSpec(
                bgp=NodeBGPSpec(ipv4_address="192.0.2.1/24", ipv4_ipip_tunnel_addr="10.65.0.1"),
                ipv4_vxlan_tunnel_addr="10.65.0.2",
                ipv6_vxlan_tunnel_addr="fd00::2",
                wireguard=NodeWireguardSpec(interface_ipv4_address="10.65.0.3"),
            ),
        ),
        endpoint(node, "web-0", "10.65.3.65"),
        BGPPeer(
            metadata=Metadata(name=f"peer-of-{node}"),
            spec=BGPPeerSpec(node=node, peer_ip="192.0.2.7", as_number=65007),
        ),
        HostEndpoint(
            metadata=Metadata(name=f"eth0-of-{node}"),
            spec=HostEndpointSpec(node=node, interface_name="eth0"),
        ),
        FelixConfiguration(metadata=Metadata(name=f"node.{node}")),
        BGPConfiguration(metadata=Metadata(name=f"node.{node}")),
    ]


@pytest.fixture
def resources():
    return Resources(MemoryDatastore())


def test_nothing_of_the_node_is_left_and_nothing_else_is_gone(resources):
    for node in ("n1", "n1-b"):
        for resource in belongings(node):
            resources.create(resource)
    addresses = Addresses()
    assert delete_node(resources, "n1", addresses).metadata.name == "n1"
    assert addresses.done == [["10.65.3.65", "10.65.0.1", "10.65.0.2", "10.65.0.3"], "n1"]
    left = resources.datastore.list("").entries
    assert len(left) == len(belongings("n1-b"))
    assert all("n1-b" in e.path or "n1--b" in e.path for e in left)


def test_what_is_left_of_an_interrupted_removal_can_be_removed(resources):
    resources.create(endpoint("n1", "web-0", "10.65.3.65"))
    addresses = Addresses()
    with pytest.raises(DoesNotExist):
        delete_node(resources, "n1", addresses)
    assert addresses.done == [["10.65.3.65"], "n1"]
    assert resources.datastore.list("").entries == []


def test_at_another_version_the_node_stays(resources):
    resources.create(belongings("n1")[0])
    with pytest.raises(UpdateConflict):
        delete_node(resources, "n1", Addresses(), "999")
    assert resources.get(ResourceKey("Node", "", "n1"))
