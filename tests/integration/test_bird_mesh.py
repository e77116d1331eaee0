"""Two nodes, each with a real BIRD run from the configuration that we render."""

import json
from contextlib import ExitStack

import pytest

from bird_daemon import bird
from calico.core.model.metadata import Metadata
from calico.core.model.node import Node, NodeBGPSpec, NodeSpec
from calico.core.model.pool import IPPool, IPPoolSpec
from calico.core.render.bird import BirdInputs, render_bird
from calico.core.render.bird_peers import Cluster
from calico.kernel.addresses import Addresses
from calico.kernel.links import Links, Peer
from calico.kernel.netns import inside
from calico.kernel.run import run
from waiting import wait_until

pytestmark = [pytest.mark.bird, pytest.mark.netns, pytest.mark.slow]

POOLS = [
    IPPool(spec=IPPoolSpec(cidr="10.65.0.0/16")),
    IPPool(spec=IPPoolSpec(cidr="10.64.0.0/16", vxlan_mode="Always")),
    IPPool(spec=IPPoolSpec(cidr="10.99.0.0/16", disable_bgp_export=True)),
    IPPool(spec=IPPoolSpec(cidr="fd65::/48")),
]


class World:
    """Two nodes, a and b, on one wire."""

    def __init__(self, make_namespace, directory, stack):
        self.namespaces = {"a": make_namespace(), "b": make_namespace()}
        self.birds = {name: stack.enter_context(bird(directory / name)) for name in "ab"}
        self.nodes = {
            name: Node(
                metadata=Metadata(name=name),
                spec=NodeSpec(
                    bgp=NodeBGPSpec(
                        ipv4_address=f"192.0.2.{number}/24",
                        ipv6_address=f"2001:db8::{number}/64",
                    ),
                    ipv4_vxlan_tunnel_addr=f"10.64.{number}.1",
                ),
            )
            for number, name in enumerate("ab", 1)
        }
        with inside(self.namespaces["a"]), Links() as links:
            links.create_veth("eth0", Peer("eth0", self.namespaces["b"]), up=True)
        for number, name in enumerate("ab", 1):
            with inside(self.namespaces[name]), Links() as links, Addresses() as addresses:
                links.set_up("eth0")
                index = links.get("eth0").index
                addresses.add(index, f"192.0.2.{number}/24")
                addresses.add(index, f"2001:db8::{number}/64")
                links.create_veth("cali1", Peer("pod1"), up=True)
                links.set_up("pod1")

    def text(self, name, blocks):
        cluster = Cluster(name, self.nodes)
        return render_bird(BirdInputs(cluster, POOLS, dict.fromkeys(blocks, True))).text

    def start(self, name, *blocks):
        with inside(self.namespaces[name]):
            self.birds[name].start(self.text(name, blocks))

    def ip(self, name, *arguments):
        with inside(self.namespaces[name]):
            return run(["ip", *arguments])

    def routes(self, name, *, six=False):
        shown = json.loads(self.ip(name, "-6" if six else "-4", "-j", "-N", "route", "show"))
        return {
            one["dst"]: (one.get("gateway", "blackhole"), one.get("metric", 0))
            for one in shown
            if one.get("protocol") == "12"
        }

    def routed(self, name, destination, *, six=False):
        return lambda: self.routes(name, six=six).get(destination)

    def wait_until_established(self):
        for name, other in (("a", 2), ("b", 1)):
            for session in (f"Mesh_192_0_2_{other}", f"Mesh_2001_db8__{other}"):
                wait_until(
                    lambda name=name, session=session: (
                        self.birds[name].protocols()[session].info.startswith("Established")
                    ),
                    what=f"{session} on {name}",
                )


@pytest.fixture
def world(make_namespace, tmp_path):
    with ExitStack() as stack:
        yield World(make_namespace, tmp_path, stack)


def test_blocks_go_from_node_to_node_and_pods_stay(world):
    pod = ["dev", "cali1", "scope", "link", "proto", "boot", "metric"]
    world.ip("a", "route", "add", "10.65.1.7/32", *pod, "1024")
    world.ip("a", "route", "add", "10.65.1.8/32", *pod, "512")
    world.ip("a", "-6", "route", "add", "fd65::1:7/128", "dev", "cali1", "metric", "1024")
    world.ip("a", "route", "add", "10.65.9.9/32", *pod, "1024")
    world.ip("a", "route", "add", "172.16.0.0/24", "dev", "cali1", "scope", "link")
    world.start("a", "10.65.1.0/26", "10.64.1.0/26", "10.99.1.0/26", "fd65::1:0/122")
    world.start("b", "10.65.2.0/26", "fd65::2:0/122")
    world.wait_until_established()
    wait_until(world.routed("b", "10.65.9.9"))
    wait_until(world.routed("b", "10.65.1.8"))
    wait_until(world.routed("a", "fd65::2:0/122", six=True))
    wait_until(world.routed("b", "fd65::1:0/122", six=True))

    assert world.routes("b") == {
        "10.65.2.0/26": ("blackhole", 0),
        "10.65.1.0/26": ("192.0.2.1", 1024),
        "10.65.1.8": ("192.0.2.1", 512),  # elevated: a workload that moves here
        "10.65.9.9": ("192.0.2.1", 1024),  # borrowed: in a pool, in no block of ours
    }, "no pod of a block, no VXLAN pool, no pool that is not exported, nothing of no pool"
    assert world.routes("a") == {
        "10.65.1.0/26": ("blackhole", 0),
        "10.99.1.0/26": ("blackhole", 0),
        "10.65.2.0/26": ("192.0.2.2", 1024),
    }, "the VXLAN pool's blackhole is Felix's"
    assert world.routes("b", six=True) == {
        "fd65::2:0/122": ("blackhole", 1024),
        "fd65::1:0/122": ("2001:db8::1", 1024),
    }
    told = world.birds["b"].ask("show route protocol Mesh_192_0_2_1")
    assert "10.64.1.0/26" in told, "BGP tells of VXLAN blocks, too"
    assert "10.99.1.0/26" not in told
    assert "10.65.1.7" not in told
    assert "172.16.0.0" not in told


def test_a_block_comes_and_goes_with_the_configuration(world):
    world.start("a")
    world.start("b")
    world.wait_until_established()
    assert world.routes("b") == {}
    for blocks, expected in ((["10.65.3.0/26"], "192.0.2.1"), ([], None)):
        world.birds["a"].configuration.write_text(world.text("a", blocks))
        world.birds["a"].ask("configure")
        wait_until(
            lambda expected=expected: (
                (world.routes("b").get("10.65.3.0/26") or [None])[0] == expected
            )
        )
    assert world.routes("a") == {}


def test_routes_outlive_their_bird(world):
    world.start("a", "10.65.1.0/26")
    world.start("b", "10.65.2.0/26")
    wait_until(world.routed("a", "10.65.2.0/26"))
    before = world.routes("a")
    world.birds["a"].stop()
    assert world.routes("a") == before
    world.start("a", "10.65.1.0/26")
    world.wait_until_established()
    assert world.routes("a") == before
