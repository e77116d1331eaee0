"""Tunnel addresses against a datastore in memory, with address management as it is."""

import pytest

from calico.core.model.keys import ResourceKey
from calico.core.model.metadata import Metadata
from calico.core.model.node import Node, NodeBGPSpec, NodeSpec
from calico.datastore.client import Delete, Put, Unavailable
from calico.datastore.memory import MemoryDatastore
from calico.datastore.resources import Resources
from calico.ipam.assign import AssignAddress
from calico.ipam.desk import Desk
from calico.ipam.errors import IpamError, NoFreeAddress
from calico.ipam.usage import holder_of, ips_by_handle
from calico.node.tunnel_addresses import TUNNELS, TunnelAddresses, eligible
from ipam_store import write, write_pool

IPIP, VXLAN, VXLAN6 = TUNNELS
CREATED = "2026-08-01T09:30:12Z"
KINDS = ("ipip", "vxlan")
HANDLE = "vxlan-tunnel-addr-n1"


class Asker:
    """An assigner without its thread."""

    def __init__(self, store):
        self.desk = Desk(store, "n1")

    def ask(self, request):
        return self.desk.serve_one(request)


class World:
    def __init__(self):
        self.store = MemoryDatastore()
        self.resources = Resources(self.store)
        self.asker = Asker(self.store)
        self.addresses = TunnelAddresses(self.store, self.asker, "n1", lambda: KINDS)
        self.write_node()

    def write_node(self, labels=(), **spec):
        """As somebody writes it who knows nothing of the present one."""
        made = Metadata(name="n1", labels=dict(labels), uid="u", creation_timestamp=CREATED)
        node = Node(metadata=made, spec=NodeSpec(**spec))
        write(self.store, ResourceKey("Node", "", "n1"), node)

    @property
    def node(self):
        return self.resources.get(ResourceKey("Node", "", "n1"))

    @property
    def spec(self):
        return self.node.spec

    def settle(self):
        self.addresses.settle()
        return self.spec.ipv4_vxlan_tunnel_addr

    def delete_pool(self, name):
        self.store.commit([Delete(f"/calico/resources/v3/projectcalico.org/ippools/{name}")])


@pytest.fixture
def world():
    return World()


def test_each_tunnel_gets_an_address_of_its_pools(world):
    write_pool(world.store, "v4", "10.65.0.0/24", vxlan_mode="Always")
    write_pool(world.store, "v6", "fd65::/112", vxlan_mode="CrossSubnet")
    write_pool(world.store, "ipip", "10.66.0.0/24", ipip_mode="CrossSubnet")
    write_pool(world.store, "plain", "10.67.0.0/24")
    world.settle()
    assert world.spec.ipv4_vxlan_tunnel_addr.startswith("10.65.0.")
    assert world.spec.ipv6_vxlan_tunnel_addr.startswith("fd65::")
    assert world.spec.bgp.ipv4_ipip_tunnel_addr.startswith("10.66.0.")
    holder = holder_of(world.store, world.spec.ipv4_vxlan_tunnel_addr)
    assert holder.handle_id == HANDLE
    assert holder.secondary == {"node": "n1", "type": "vxlanTunnelAddress"}


def test_a_restart_changes_nothing(world):
    write_pool(world.store, "v4", "10.65.0.0/24", vxlan_mode="Always")
    first = world.settle()
    version = world.node.metadata.resource_version
    again = TunnelAddresses(world.store, Asker(world.store), "n1", lambda: KINDS)
    again.settle()
    assert world.spec.ipv4_vxlan_tunnel_addr == first
    assert world.node.metadata.resource_version == version


def test_without_pools_it_is_given_back(world):
    write_pool(world.store, "v4", "10.65.0.0/24", ipip_mode="Always")
    write_pool(world.store, "v6", "fd65::/112", vxlan_mode="Always")
    world.settle()
    write_pool(world.store, "v4", "10.65.0.0/24")
    world.delete_pool("v6")
    world.settle()
    assert world.spec == NodeSpec(), "an empty bgp is none"
    for handle in ("ipip-tunnel-addr-n1", "vxlan-v6-tunnel-addr-n1"):
        with pytest.raises(IpamError):
            ips_by_handle(world.store, handle)


def test_moves_to_a_pool_that_asks(world):
    write_pool(world.store, "a", "10.65.0.0/24", vxlan_mode="Always")
    world.settle()
    write_pool(world.store, "a", "10.65.0.0/24")
    write_pool(world.store, "b", "10.66.0.0/24", vxlan_mode="Always")
    moved = world.settle()
    assert moved.startswith("10.66.0.")
    assert ips_by_handle(world.store, HANDLE) == (moved,)


def test_an_address_of_another_is_not_kept(world):
    write_pool(world.store, "a", "10.65.0.0/24", vxlan_mode="Always")
    pod = AssignAddress(
        addresses=("10.65.0.5",), handle="pod", attributes={"node": "n1", "pod": "web"}
    )
    world.asker.ask(pod)
    world.write_node(ipv4_vxlan_tunnel_addr="10.65.0.5")
    assert world.settle() != "10.65.0.5"
    assert holder_of(world.store, "10.65.0.5").handle_id == "pod"


def test_an_address_that_ipam_forgot_is_replaced(world):
    write_pool(world.store, "a", "10.65.0.0/24", vxlan_mode="Always")
    lost = world.settle()
    world.write_node()  # somebody edits the Node
    found = world.settle()
    assert ips_by_handle(world.store, HANDLE) == (found,), f"{lost} was released"
    world.write_node(ipv4_vxlan_tunnel_addr="10.65.0.77")  # never assigned
    assert world.settle() != "10.65.0.77"


def test_what_was_assigned_is_released_if_the_node_cannot_be_written(world):
    write_pool(world.store, "a", "10.65.0.0/24", vxlan_mode="Always")
    commit = world.store.commit

    def refuse(changes):
        puts = (change for change in changes if isinstance(change, Put))
        if any(put.path.endswith("/nodes/n1") for put in puts):
            raise Unavailable("no answer")
        return commit(changes)

    world.store.commit = refuse
    with pytest.raises(Unavailable):
        world.settle()
    world.store.commit = commit
    with pytest.raises(IpamError):
        ips_by_handle(world.store, HANDLE)
    assert world.settle()


def test_an_exhausted_pool_is_an_error(world):
    write_pool(world.store, "a", "10.65.0.0/30", block_size=30, vxlan_mode="Always")
    addresses = tuple(f"10.65.0.{n}" for n in range(4))
    world.asker.ask(AssignAddress(addresses=addresses, handle="pods", attributes={"node": "n1"}))
    with pytest.raises(NoFreeAddress):
        world.settle()


@pytest.mark.parametrize(
    ("why", "spec", "is_eligible"),
    [
        ("it asks", {"vxlan_mode": "Always"}, True),
        ("it does not ask", {}, False),
        ("it is not for tunnels", {"vxlan_mode": "Always", "allowed_uses": ("Workload",)}, False),
        ("it is disabled", {"vxlan_mode": "Always", "disabled": True}, False),
        ("it selects", {"vxlan_mode": "Always", "node_selector": "rack == 'a'"}, True),
        ("it does not select", {"vxlan_mode": "Always", "node_selector": "rack == 'b'"}, False),
    ],
)
def test_eligible(world, why, spec, is_eligible):
    write_pool(world.store, "a", "10.65.0.0/24", **spec)
    pools = world.resources.list("IPPool").items
    found = eligible(VXLAN, pools, {"rack": "a"})
    assert found == (("10.65.0.0/24",) if is_eligible else ()), why
    assert eligible(VXLAN6, pools, {"rack": "a"}) == ()
    assert eligible(IPIP, pools, {"rack": "a"}) == ()


def test_bgp_stays(world):
    world.write_node(bgp=NodeBGPSpec(ipv4_address="192.0.2.1/24"))
    write_pool(world.store, "v4", "10.65.0.0/24", ipip_mode="Always")
    world.settle()
    assert world.spec.bgp.ipv4_address == "192.0.2.1/24"
    assert world.spec.bgp.ipv4_ipip_tunnel_addr


def test_a_kernel_without_the_tunnel_gives_it_no_address(world):
    write_pool(world.store, "ipip", "10.66.0.0/24", ipip_mode="Always")
    write_pool(world.store, "v4", "10.65.0.0/24", vxlan_mode="Always")
    world.settle()
    assert world.spec.bgp.ipv4_ipip_tunnel_addr
    TunnelAddresses(world.store, world.asker, "n1", lambda: ("vxlan",)).settle()
    assert world.spec.bgp is None
    assert world.spec.ipv4_vxlan_tunnel_addr
