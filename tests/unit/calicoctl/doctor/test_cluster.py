"""What the records say of peers: whom there must be, and where two nodes disagree."""

import pytest

from calico.calicoctl.doctor.cluster import known, peers, read_records
from calico.calicoctl.doctor.sessions import Session
from calico.core.model.bgp import BGPConfiguration, BGPConfigurationSpec, BGPPeer, BGPPeerSpec
from calico.core.model.felix_config import FelixConfiguration, FelixConfigurationSpec
from calico.core.model.metadata import Metadata
from calico.core.model.node import Node, NodeBGPSpec, NodeSpec
from calico.core.model.pool import IPPool, IPPoolSpec
from calico.datastore.memory import MemoryDatastore
from calico.datastore.resources import Resources


def node(name, address, number=None, reflector=""):
    bgp = NodeBGPSpec(ipv4_address=address, as_number=number, route_reflector_cluster_id=reflector)
    return Node(metadata=Metadata(name=name), spec=NodeSpec(bgp=bgp))


def pool(cidr, **spec):
    name = cidr.replace("/", "-").replace(".", "-")
    return IPPool(metadata=Metadata(name=name), spec=IPPoolSpec(cidr=cidr, **spec))


def records(*resources):
    store = Resources(MemoryDatastore())
    for resource in resources:
        store.create(resource)
    return read_records(store, "n1")


N1, N2 = node("n1", "192.0.2.1/24"), node("n2", "192.0.2.2/24")


def test_a_mesh_without_troubles():
    found = peers(records(N1, N2), [Session("x", "Active", "192.0.2.2")], 1500)
    assert [(p.address, p.node, p.trouble, p.needed_bytes) for p in found] == [
        ("192.0.2.2", "n2", "", 1500)
    ]
    assert found[0].session is not None


@pytest.mark.parametrize(
    ("ours", "theirs", "blamed"),
    [(None, 65001, "remove spec.bgp.asNumber of Node n2"),
     (65001, None, "remove spec.bgp.asNumber of Node n1")],
)  # fmt: skip
def test_one_as_number_alone_is_wrong_in_a_mesh(ours, theirs, blamed):
    found = peers(
        records(node("n1", "192.0.2.1/24", ours), node("n2", "192.0.2.2/24", theirs)), [], 0
    )
    assert found[0].trouble.startswith("wrong AS: this node speaks as AS ")
    assert f"Node n1 has {ours or 'none'}, Node n2 has {theirs or 'none'}" in found[0].trouble
    assert blamed in found[0].fix
    up = [Session("x", "Established", "192.0.2.2")]
    assert peers(records(N1, node("n2", "192.0.2.2/24", 65001)), up, 0)[0].trouble == ""


def test_two_as_numbers_are_right():
    found = peers(
        records(node("n1", "192.0.2.1/24", 65001), node("n2", "192.0.2.2/24", 65002)), [], 0
    )
    assert [p.trouble for p in found] == [""]


def test_a_peering_that_only_one_side_has():
    one_way = BGPPeer(
        metadata=Metadata(name="up"),
        spec=BGPPeerSpec(node="n1", peer_ip="192.0.2.2", as_number=64512, reverse_peering="Manual"),
    )
    mesh_off = BGPConfiguration(
        metadata=Metadata(name="default"),
        spec=BGPConfigurationSpec(node_to_node_mesh_enabled=False),
    )
    found = peers(records(N1, N2, one_way, mesh_off), [], 0)
    assert [p.trouble for p in found] == [
        "wrong peering: n2 has no session with this node (192.0.2.1)"
    ]


def test_a_router_outside_is_a_peer_by_its_session():
    session = Session("Global_203_0_113_1", "Active", "203.0.113.1")
    found = peers(records(N1), [session], 1500)
    assert [(p.address, p.node, p.is_intended, p.needed_bytes) for p in found] == [
        ("203.0.113.1", "", False, 0)
    ]


@pytest.mark.parametrize(
    ("spec", "peer", "bytes_"),
    [
        ({}, "192.0.2.2/24", 1450),
        ({"ipip_mode": "Always"}, "192.0.2.2/24", 1470),
        ({"ipip_mode": "CrossSubnet"}, "192.0.2.2/24", 1450),
        ({"ipip_mode": "CrossSubnet"}, "198.51.100.2/24", 1470),
        ({"vxlan_mode": "Always"}, "192.0.2.2/24", 1500),
        ({"vxlan_mode": "CrossSubnet"}, "198.51.100.2/24", 1500),
        ({"vxlan_mode": "Always", "disabled": True}, "192.0.2.2/24", 1450),
    ],
)
def test_what_tunnels_add(spec, peer, bytes_):
    found = peers(records(N1, node("n2", peer), pool("10.65.0.0/16", **spec)), [], 1450)
    assert found[0].needed_bytes == bytes_


def test_what_is_known_of_this_node():
    twin = node("n3", "192.0.2.1/16")
    config = FelixConfiguration(
        metadata=Metadata(name="default"), spec=FelixConfigurationSpec(health_enabled=True)
    )
    found = known(records(N1, N2, twin, pool("10.65.0.0/16"), config))
    assert found.own == {4: "192.0.2.1/24"}
    assert found.twins == (("192.0.2.1", "n3"),)
    assert set(found.networks) == {"10.65.0.0/16", "192.0.2.1", "192.0.2.2"}
    assert found.health == {"enabled": "True"}
    assert not known(records(N2)).is_registered
