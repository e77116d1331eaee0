"""Nodes, each with a real BIRD run from what we render, and a router outside with its own BIRD."""

import re
import time
from contextlib import ExitStack

import pytest

from bgp_resources import bgp_filter, cluster, named, node, password, peer, pool
from bird_daemon import bird
from calico.core.model.bgp import (
    BGPFilterAddCommunity,
    BGPFilterCommunityMatch,
    BGPFilterOperation,
    BGPFilterPrependASPath,
    BGPFilterRule,
    Community,
    PrefixAdvertisement,
)
from calico.core.render.bird import BirdInputs, render_bird
from calico.core.render.bird_peers import SecretKey
from calico.kernel.addresses import Addresses
from calico.kernel.birdc import BirdRefused
from calico.kernel.links import Links, Peer
from calico.kernel.netns import inside
from calico.kernel.run import run
from waiting import wait_until

pytestmark = [pytest.mark.bird, pytest.mark.netns, pytest.mark.slow]

ROUTER = """
log stderr all;
router id 192.0.2.254;
protocol device {{ scan time 1; }}
protocol static {{ ipv4; route 203.0.113.0/24 unreachable; route 198.51.100.0/24 unreachable {{
    bgp_community.add((64600, 66)); }}; }}
{more}
protocol bgp node {{
  local 192.0.2.254 as {as_number};
  neighbor 192.0.2.1 as 64512;
  multihop;
  connect delay time 1;
  {options}
  ipv4 {{ import all; export where source = RTS_STATIC; }};
}}
"""


LAST = {"a": 1, "b": 2, "c": 3, "router": 254}  # bytes of addresses


class World:
    """Nodes a, b, c and a router on one wire; namespaces and BIRDs are made when first used."""

    def __init__(self, make_namespace, directory, stack):
        self.directory, self.stack = directory, stack
        self.make_namespace = make_namespace
        self.switch = make_namespace()
        with inside(self.switch):
            run(["ip", "link", "add", "br0", "type", "bridge"])
            run(["ip", "link", "set", "br0", "up"])
        self.namespaces, self.birds = {}, {}
        self.nodes = {name: node(name, f"192.0.2.{LAST[name]}/24") for name in "abc"}

    def plug(self, name):
        self.namespaces[name] = self.make_namespace()
        self.birds[name] = self.stack.enter_context(bird(self.directory / name))
        with inside(self.switch), Links() as links:
            links.create_veth(f"to-{name}", Peer("eth0", self.namespaces[name]), up=True)
            run(["ip", "link", "set", f"to-{name}", "master", "br0"])
        with inside(self.namespaces[name]), Links() as links, Addresses() as addresses:
            links.set_up("eth0")
            addresses.add(links.get("eth0").index, f"192.0.2.{LAST[name]}/24")

    def text(self, name, blocks=(), filters=(), uses_bfd=False, **options):
        found = cluster(*self.nodes.values(), own=name, **options)
        pools = [pool("10.65.0.0/16")]
        confirmed = dict.fromkeys(blocks, True)
        inputs = BirdInputs(found, pools, confirmed, "", named(filters), uses_bfd)
        result = render_bird(inputs)
        assert result.left_out == {}
        return result.text

    def start(self, name, *blocks, **options):
        self.start_with(name, self.text(name, blocks, **options))

    def start_with(self, name, text):
        if name not in self.namespaces:
            self.plug(name)
        with inside(self.namespaces[name]):
            self.birds[name].start(text)

    def start_router(self, *, as_number=64600, options="", more=""):
        self.start_with("router", ROUTER.format(as_number=as_number, options=options, more=more))

    def change(self, name, *blocks, **options):
        self.birds[name].configuration.write_text(self.text(name, blocks, **options))
        assert "Reconfigur" in self.birds[name].ask("configure")

    def route(self, name, cidr):
        """What BIRD knows of a route, "" if it has none."""
        try:
            return self.birds[name].ask(f"show route for {cidr} all")
        except BirdRefused:  # "Network not found"
            return ""

    def wait_for_route(self, name, cidr, *words):
        return wait_until(
            lambda: (
                (shown := self.route(name, cidr)) and all(word in shown for word in words) and shown
            ),
            what=f"{cidr} on {name} with {words}",
        )

    def wait_until_established(self, name, *sessions):
        for session in sessions:
            wait_until(
                lambda session=session: (
                    self.birds[name].protocols()[session].info.startswith("Established")
                ),
                what=f"{session} on {name}",
            )


@pytest.fixture
def world(make_namespace, tmp_path):
    with ExitStack() as stack:
        yield World(make_namespace, tmp_path, stack)


TOR = peer("tor", peer_ip="192.0.2.254", as_number=64600)
NO_MESH = {"node_to_node_mesh_enabled": False}


def test_a_router_outside_learns_blocks_and_tells_routes(world):
    world.start_router()
    world.start("a", "10.65.1.0/26", peers=[TOR], **NO_MESH)
    world.wait_for_route("router", "10.65.1.0/26", "BGP.as_path: 64512", "192.0.2.1")
    told = world.wait_for_route("a", "203.0.113.0/24", "BGP.as_path: 64600")
    assert "Global_192_0_2_254" in told
    with inside(world.namespaces["a"]):
        wait_until(lambda: "203.0.113.0/24 via 192.0.2.254" in run(["ip", "route"]))


def accept(*operations, **rule):
    return BGPFilterRule(action="Accept", operations=operations, **rule)


def test_filters_reject_mark_and_prepend(world):
    wanted = bgp_filter(
        "edge",
        import_v4=(
            BGPFilterRule(
                action="Reject", communities=BGPFilterCommunityMatch(values=("64600:66",))
            ),
        ),
        export_v4=(
            BGPFilterRule(action="Reject", cidr="10.65.2.0/24", match_operator="In"),
            accept(
                BGPFilterOperation(add_community=BGPFilterAddCommunity(value="64512:7")),
                BGPFilterOperation(add_community=BGPFilterAddCommunity(value="64512:7:8")),
                BGPFilterOperation(prepend_as_path=BGPFilterPrependASPath(prefix=(64700, 64701))),
                peer_type="eBGP",
                cidr="10.65.1.0/24",
                match_operator="In",
            ),
        ),
    )
    tor = peer("tor", peer_ip="192.0.2.254", as_number=64600, filters=("edge",))
    marks = {
        "communities": (Community("pods", "64512:99"),),
        "prefix_advertisements": (PrefixAdvertisement("10.65.0.0/16", ("pods",)),),
    }
    world.start_router()
    blocks = ("10.65.1.0/26", "10.65.2.0/26", "10.65.3.0/26")
    world.start("a", *blocks, peers=[tor], filters=[wanted], **marks, **NO_MESH)
    shown = world.wait_for_route("router", "10.65.1.0/26")
    assert "BGP.as_path: 64512 64700 64701" in shown
    assert "BGP.community: (64512,7)\n" in f"{shown}\n", "who accepts, is not marked further"
    assert "BGP.large_community: (64512, 7, 8)" in shown
    shown = world.wait_for_route("router", "10.65.3.0/26")
    assert "BGP.as_path: 64512\n" in shown
    assert "BGP.community: (64512,99)" in shown
    world.wait_for_route("a", "203.0.113.0/24")
    assert world.route("router", "10.65.2.0/26") == "", "rejected on export"
    assert world.route("a", "198.51.100.0/24") == "", "rejected on import, by its community"


def test_a_reflector_and_two_clients(world):
    world.nodes["c"] = node(
        "c", "192.0.2.3/24", labels={"rr": "yes"}, route_reflector_cluster_id="1.0.0.1"
    )
    options = {"peers": [peer("rr", node_selector="!has(rr)", peer_selector="has(rr)")], **NO_MESH}
    world.start("a", "10.65.1.0/26", **options)
    world.start("b", "10.65.2.0/26", **options)
    world.start("c", "10.65.3.0/26", **options)
    assert "Node_192_0_2_2" not in world.birds["a"].protocols()
    shown = world.wait_for_route("b", "10.65.1.0/26", "BGP.cluster_list: 1.0.0.1")
    assert "BGP.next_hop: 192.0.2.1\n" in shown, "traffic does not pass the reflector"
    assert "Node_192_0_2_3" in shown
    world.wait_for_route("a", "10.65.2.0/26", "BGP.next_hop: 192.0.2.2")
    world.wait_for_route("a", "10.65.3.0/26", "BGP.next_hop: 192.0.2.3")


def test_next_hop_self_towards_other_nodes(world):
    del world.nodes["c"]
    pods = {"filters": [bgp_filter("all", export_v4=(accept(),))]}
    open_ = peer("ab", node="a", peer_ip="192.0.2.2", as_number=64512, filters=("all",))
    world.start_router()
    world.start("b", **pods, peers=[peer("ba", node="a", peer_ip="192.0.2.2", as_number=64512)])
    world.start("a", **pods, peers=[TOR, open_])
    shown = world.wait_for_route("b", "203.0.113.0/24")
    assert "BGP.next_hop: 192.0.2.254\n" in shown
    to_self = peer(
        "ab", node="a", peer_ip="192.0.2.2", as_number=64512, filters=("all",), next_hop_mode="Self"
    )
    world.change("a", **pods, peers=[TOR, to_self])
    world.wait_for_route("b", "203.0.113.0/24", "BGP.next_hop: 192.0.2.1")


def test_passwords_and_hops(world):
    secured = peer(
        "tor", peer_ip="192.0.2.254", as_number=64600, password=password("s"), ttl_security=2
    )
    secrets = {SecretKey("s", "password"): "opensesame"}
    world.start_router(options='password "wrong"; ')
    world.start("a", "10.65.1.0/26", peers=[secured], secrets=secrets, **NO_MESH)
    router = world.birds["router"]
    text = router.configuration.read_text()
    wait_until(lambda: "Global_192_0_2_254" in world.birds["a"].protocols())
    router.configuration.write_text(
        text.replace('"wrong"', '"opensesame"').replace("multihop;", "multihop 2; ttl security on;")
    )
    router.ask("configure")
    world.wait_for_route("router", "10.65.1.0/26")
    world.wait_until_established("a", "Global_192_0_2_254")


def test_a_peer_that_listens_elsewhere_and_calls_us_by_another_as(world):
    tor = peer("tor", peer_ip="192.0.2.254:1790", as_number=64600, local_as_number=64999)
    world.start_router(options="")
    router = world.birds["router"]
    text = router.configuration.read_text().replace("as 64512", "as 64999")
    router.configuration.write_text(
        text.replace("local 192.0.2.254 as", "local 192.0.2.254 port 1790 as")
    )
    router.ask("configure")
    world.start("a", "10.65.1.0/26", peers=[tor], **NO_MESH)
    world.wait_for_route("router", "10.65.1.0/26", "BGP.as_path: 64999")


def test_a_gateway_to_a_far_peer(world):
    world.start_router()
    with inside(world.namespaces["router"]):
        run(["ip", "address", "add", "203.0.113.9/32", "dev", "lo"])
    router = world.birds["router"]
    text = router.configuration.read_text().replace("local 192.0.2.254", "local 203.0.113.9")
    router.configuration.write_text(text.replace("203.0.113.0/24", "203.0.112.0/24"))
    router.ask("configure")
    far = peer("far", peer_ip="203.0.113.9", as_number=64600, reachable_by="192.0.2.254")
    world.start("a", **NO_MESH)
    world.change("a", "10.65.1.0/26", peers=[far], **NO_MESH)
    with inside(world.namespaces["a"]):
        wait_until(lambda: "203.0.113.9 via 192.0.2.254" in run(["ip", "route"]))
    world.wait_for_route("router", "10.65.1.0/26")


@pytest.mark.parametrize("to_router", [False, True])
def test_bfd_notices_a_death_long_before_bgp(world, to_router):
    """The wire of the other side is cut, silently: BGP alone would need 240 s (its hold time)."""
    del world.nodes["c"]
    options = {"uses_bfd": True, "peers": [TOR]}
    bfd = "protocol bfd { multihop { interval 200 ms; multiplier 4; }; }"
    world.start_router(more=bfd if to_router else "", options="bfd on;" if to_router else "")
    world.start("b", "10.65.2.0/26", **options)
    world.start("a", "10.65.1.0/26", **options)
    other = "router" if to_router else "b"
    cidr = "203.0.113.0/24" if to_router else "10.65.2.0/26"
    world.wait_for_route("a", cidr)
    world.wait_until_established("a", "Mesh_192_0_2_2", "Global_192_0_2_254")
    last = LAST[other]
    wait_until(
        lambda: re.search(
            rf"192\.0\.2\.{last}\s+\S+\s+Up", world.birds["a"].ask("show bfd sessions")
        )
    )
    with inside(world.switch):
        run(["ip", "link", "set", f"to-{other}", "down"])
    cut = time.monotonic()
    wait_until(lambda: world.route("a", cidr) == "")
    print(f"withdrawn after {time.monotonic() - cut:.2f} s")
    sessions = world.birds["a"].protocols()
    spared = "Mesh_192_0_2_2" if to_router else "Global_192_0_2_254"
    assert sessions[spared].info.startswith("Established"), "with BFD at the other side or without"


def test_other_sessions_do_not_notice_a_change(world):
    """Peers come, change and go; filters and blocks change: the rest stays established."""
    options = {"peers": [TOR]}
    world.start_router()
    world.start("b", **options)
    world.start("a", "10.65.1.0/26", **options)
    del world.nodes["c"]
    world.change("a", "10.65.1.0/26", **options)
    world.wait_until_established("a", "Mesh_192_0_2_2", "Global_192_0_2_254")
    before = world.birds["a"].protocols()

    def unmoved(*sessions):
        now = world.birds["a"].protocols()
        for session in sessions:
            assert now[session].since == before[session].since, session
            assert now[session].info.startswith("Established")

    absent = peer("x", peer_ip="192.0.2.77", as_number=1)
    rejecting = bgp_filter("f", export_v4=(BGPFilterRule(action="Reject"),))
    filtered = peer("tor", peer_ip="192.0.2.254", as_number=64600, filters=("f",))
    world.wait_for_route("router", "10.65.1.0/26")
    world.change("a", "10.65.1.0/26", peers=[TOR, absent])
    assert "Global_192_0_2_77" in world.birds["a"].protocols()
    unmoved("Mesh_192_0_2_2", "Global_192_0_2_254")
    world.change("a", "10.65.1.0/26", "10.65.4.0/26", peers=[TOR])
    world.wait_for_route("router", "10.65.4.0/26")
    unmoved("Mesh_192_0_2_2", "Global_192_0_2_254")
    world.change("a", "10.65.1.0/26", peers=[filtered], filters=[rejecting])
    wait_until(lambda: world.route("router", "10.65.1.0/26") == "")
    unmoved("Mesh_192_0_2_2", "Global_192_0_2_254")
    other_as = peer("tor", peer_ip="192.0.2.254", as_number=64601)
    world.change("a", "10.65.1.0/26", peers=[other_as])
    wait_until(lambda: "Established" not in world.birds["a"].protocols()["Global_192_0_2_254"].info)
    unmoved("Mesh_192_0_2_2")
