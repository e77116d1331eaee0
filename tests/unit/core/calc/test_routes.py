"""The ways between nodes, case by case: what definition and view share."""

import pytest

from calico.core.calc.overlay import Places, overlay
from calico.core.calc.places import (
    BlockPlace,
    NodeEnd,
    NodePlace,
    block_place,
    node_place,
    tunnel_mac,
)
from calico.core.calc.settings import CalcSettings
from calico.core.intent.nat import Pool
from calico.core.intent.tunnels import ClusterRoute, RemoteEnd, RemoteKey
from calico.core.model.block import Attribute, Block
from calico.core.model.metadata import Metadata
from calico.core.model.node import Node, NodeAddress, NodeBGPSpec, NodeSpec

BLOCK, OURS = "10.65.3.64/26", "10.65.1.0/26"
HERE = NodePlace(NodeEnd("192.0.2.1", "192.0.2.0/24", "10.65.1.0", "m1", "10.65.1.0"))
NEAR = NodePlace(NodeEnd("192.0.2.7", "192.0.2.0/24", "10.65.3.64", "m7", "10.65.3.64"))
FAR = NodePlace(NodeEnd("198.51.100.7", "198.51.100.0/24", "10.65.3.64", "m7", "10.65.3.64"))
NEAR_ENDLESS = NodePlace(NodeEnd("192.0.2.7", "192.0.2.0/24"))
FAR_ENDLESS = NodePlace(NodeEnd("198.51.100.7", "198.51.100.0/24"))
HOMELESS = NodePlace(NodeEnd(vxlan_address="10.65.3.64"))
VXLAN, IPIP = ClusterRoute("vxlan", "10.65.3.64"), ClusterRoute("ipip", "198.51.100.7")
PLAIN, PLAIN_FAR = ClusterRoute("plain", "192.0.2.7"), ClusterRoute("plain", "198.51.100.7")


def routes(there, pool, settings=None, block=None, local=()):
    places = Places(
        nodes={"here": HERE, "there": there},
        blocks={BLOCK: block or BlockPlace("there"), OURS: BlockPlace("here")},
        pools={"10.65.0.0/16": Pool("10.65.0.0/16", **pool)},
        local=local,
    )
    return overlay("here", places, settings or CalcSettings()).cluster_routes


@pytest.mark.parametrize(
    ("why", "there", "pool", "way"),
    [
        ("a tunnel to all", NEAR, {"vxlan": "Always"}, VXLAN),
        ("a tunnel to another subnet", FAR, {"vxlan": "CrossSubnet"}, VXLAN),
        ("none within a subnet", NEAR, {"vxlan": "CrossSubnet"}, PLAIN),
        ("no end yet: as before", NEAR_ENDLESS, {"vxlan": "Always"}, PLAIN),
        ("no end yet, and no other way", FAR_ENDLESS, {"vxlan": "Always"}, None),
        ("IPIP leads to the node", FAR, {"ipip": "Always"}, IPIP),
        ("IPIP within a subnet", NEAR, {"ipip": "CrossSubnet"}, PLAIN),
        ("IPIP without an end yet", NEAR_ENDLESS, {"ipip": "Always"}, PLAIN),
        ("VXLAN wins", FAR, {"vxlan": "Always", "ipip": "Always"}, VXLAN),
        ("a node without an address", HOMELESS, {"vxlan": "Always"}, None),
        ("BIRD's", NEAR, {}, None),
    ],
)
def test_the_way_to_a_block(why, there, pool, way):
    assert routes(there, pool).get(BLOCK) == way, why


def test_own_blocks_are_blackholes_where_we_route():
    assert routes(NEAR, {"vxlan": "Always"})[OURS] == ClusterRoute("blackhole")
    assert OURS not in routes(NEAR, {}), "BIRD has one"


def test_plain_pools_can_be_ours():
    owning = CalcSettings(owns_plain=True)
    assert routes(FAR, {}, owning) == {BLOCK: PLAIN_FAR, OURS: ClusterRoute("blackhole")}
    assert routes(FAR, {"workloads": False}, owning) == {}, "load balancers' addresses"


def test_a_tunnel_that_is_off_has_no_routes():
    assert routes(NEAR, {"vxlan": "Always"}, CalcSettings(vxlan=False)) == {}
    assert routes(NEAR, {"ipip": "Always"}, CalcSettings(ipip=False)) == {}


def test_a_borrowed_address_has_a_route_of_its_own():
    lent = BlockPlace("here", (("10.65.3.70", "there"),))
    assert routes(NEAR, {"vxlan": "Always"}, block=lent)["10.65.3.70/32"] == VXLAN
    itself = BlockPlace("", (("10.65.3.64", "there"), ("10.65.3.65", "here")))
    assert routes(NEAR, {"vxlan": "Always"}, block=itself) == {
        "10.65.3.64/32": ClusterRoute("vxlan"),
        OURS: ClusterRoute("blackhole"),
    }, "the end's own address is on the link; a block of nobody has no route"


def test_a_workload_here_is_never_sent_away():
    lent = BlockPlace("here", (("10.65.3.70", "there"),))
    found = routes(NEAR, {"vxlan": "Always"}, block=lent, local=("10.65.3.70",))
    assert "10.65.3.70/32" not in found


def test_the_longest_pool_counts():
    places = Places(
        nodes={"here": HERE, "there": FAR},
        blocks={BLOCK: BlockPlace("there")},
        pools={
            "10.65.0.0/16": Pool("10.65.0.0/16"),
            "10.65.3.0/24": Pool("10.65.3.0/24", vxlan="Always"),
        },
    )
    assert overlay("here", places, CalcSettings()).cluster_routes == {BLOCK: VXLAN}


def test_ipv6_ends_have_routes_of_their_own():
    here = NodePlace(ipv6=NodeEnd("2001:db8::1", "2001:db8::/64"))
    there = NodePlace(ipv6=NodeEnd("2001:db8:1::7", "2001:db8:1::/64", "fd65::40", "m"))
    places = Places(
        {"here": here, "there": there},
        {"fd65::40/122": BlockPlace("there")},
        {"fd65::/64": Pool("fd65::/64", vxlan="Always")},
    )
    assert overlay("here", places, CalcSettings()).cluster_routes == {
        "fd65::40/122": ClusterRoute("vxlan", "fd65::40"),
        "fd65::40/128": ClusterRoute("vxlan"),
    }


def test_ends_and_hosts():
    places = Places(
        {"here": HERE, "there": FAR, "twin": FAR, "mute": NEAR_ENDLESS},
        pools={"10.65.0.0/16": Pool("10.65.0.0/16", vxlan="Always")},
    )
    found = overlay("here", places, CalcSettings())
    assert found.remote_ends == {
        RemoteKey("vxlan4", "there"): RemoteEnd("198.51.100.7", "10.65.3.64", "m7")
    }, "of two with one tunnel address the smaller name counts"
    assert set(found.hosts) == {"192.0.2.1", "198.51.100.7", "192.0.2.7"}, "with an end or without"
    assert found.own_hosts == {4: "192.0.2.1"}


@pytest.mark.parametrize(
    ("name", "mac"),
    [("node-a", "66:07:02:c1:cc:60"), ("node-a-v6", "66:d4:d5:51:3d:42")],
)
def test_macs_are_made_of_names(name, mac):
    assert tunnel_mac(name) == mac


def node(**spec):
    return node_place(Node(metadata=Metadata(name="node-a"), spec=NodeSpec(**spec)))


def test_where_a_node_is():
    addresses = (NodeAddress("203.0.113.9", "ExternalIP"), NodeAddress("10.1.1.1", "InternalIP"))
    assert node(addresses=addresses).ipv4.address == "10.1.1.1"
    assert node(addresses=addresses).ipv4.subnet == "", "nobody says"
    bgp = NodeBGPSpec(ipv4_address="192.0.2.7/24")
    placed = node(bgp=bgp, addresses=addresses, vxlan_tunnel_mac_addr="66:AA:00:00:00:01")
    assert (placed.ipv4.address, placed.ipv4.subnet) == ("192.0.2.7", "192.0.2.0/24")
    assert placed.ipv4.vxlan_mac == "66:aa:00:00:00:01"
    assert placed.ipv6.address == ""
    assert node(bgp=NodeBGPSpec(), addresses=addresses) is None, "as if it were gone"
    assert node(ipv4_vxlan_tunnel_addr="nonsense").ipv4.vxlan_address == ""


def test_where_a_block_is():
    def block(affinity, *holders):
        return block_place(
            Block(
                cidr="10.65.3.64/30",
                affinity=affinity,
                allocations=(0, None, *range(1, len(holders))),
                unallocated=(),
                attributes=tuple(Attribute("h", {"node": name}) for name in holders),
            )
        )

    assert block("host:a", "a", "a") == BlockPlace("a")
    assert block("host:a", "a", "b") == BlockPlace("a", (("10.65.3.66", "b"),))
    assert block("virtual:x", "b").node == ""
    assert block(None, "b") == BlockPlace("", (("10.65.3.64", "b"),))
