"""BIRD's configuration, each text parsed by the real BIRD."""

import re

import pytest
from msgspec.structs import replace

from bgp_resources import body, cluster, configuration, has, node, pool
from bird_daemon import parses
from calico.core.model.duration import Duration
from calico.core.model.metadata import Metadata
from calico.core.model.node import Node
from calico.core.render.bird import BirdInputs, hashed_router_id, render_bird
from calico.core.render.bird_peers import mesh

pytestmark = pytest.mark.bird


A = node("a", "10.0.0.9/24", "fd00::9/64")
B = node("b", "10.0.0.10/24", "fd00::a/64")


@pytest.fixture
def rendered(tmp_path):
    def render(*nodes, pools=(), blocks=None, router_id="", **options):
        found = cluster(*(nodes or (A, B)), **options)
        text = render_bird(BirdInputs(found, pools, blocks or {}, router_id)).text
        parses(text, tmp_path)
        return text

    return render


def test_nothing_without_the_own_node():
    assert render_bird(BirdInputs(cluster(B))) is None


def test_the_mesh(rendered):
    text = rendered()
    assert body(text, "protocol bgp Mesh_10_0_0_10") == [
        'description "Connection to BGP peer";',
        "debug { states, routes, filters, events };",
        "local 10.0.0.9 as 64512;",
        "neighbor 10.0.0.10 as 64512;",
        "multihop;",
        "connect delay time 2;",
        "connect retry time 5;",
        "error wait time 5, 30;",
        "graceful restart on;",
        "ipv4 {",
        "import filter {",
        "if defined(bgp_local_pref) && bgp_local_pref > 2147482623 then preference = 200;",
        "accept;",
        "};",
        "export filter {",
        "calico_priority_v4();",
        "calico_export_v4(true);",
        "reject;",
        "};",
        "add paths on;",
        "gateway recursive;",
        "};",
    ]
    assert "passive on;" in body(text, "protocol bgp Mesh_fd00__a"), "compared as text"


def test_exactly_one_of_two_calls():
    for version in (4, 6):
        sides = []
        for own in ("a", "b"):
            (peering,) = mesh(cluster(A, B, own=own), version).values()
            sides.append(peering.is_passive)
        assert sorted(sides) == [False, True]


def test_who_is_in_the_mesh():
    nodes = (
        A,
        B,
        node("c", "10.0.0.11/24"),
        node("reflector", "10.0.0.12/24", route_reflector_cluster_id="1.1.1.1"),
        node("twin", "10.0.0.9/24"),
        node("same-as-b", "10.0.0.10/24", as_number=7),
        node("blank"),
        node("odd", "not-an-address", "fe80::1/64"),
        Node(metadata=Metadata(name="no-bgp")),
    )
    assert set(mesh(cluster(*nodes), 4)) == {"Mesh_10_0_0_10", "Mesh_10_0_0_11"}
    assert set(mesh(cluster(*nodes), 6)) == {"Mesh_fd00__a"}
    assert mesh(cluster(*nodes), 4)["Mesh_10_0_0_10"].as_number == 64512, "b, not its double"
    assert mesh(cluster(*nodes, node_to_node_mesh_enabled=False), 4) == {}
    assert mesh(cluster(*nodes, own="reflector"), 4) == {}
    assert mesh(cluster(*nodes, own="blank"), 4) == {}


def test_as_numbers(rendered):
    own = node("a", "10.0.0.9/24", as_number=4200000000)
    other = node("c", "10.0.0.11/24", as_number=65001)
    text = rendered(own, B, other, as_number=64999)
    assert "neighbor 10.0.0.10 as 4200000000;" in body(text, "protocol bgp Mesh_10_0_0_10"), (
        "a node without a number follows this one, not the cluster"
    )
    external = body(text, "protocol bgp Mesh_10_0_0_11")
    assert "local 10.0.0.9 as 4200000000;" in external
    assert "neighbor 10.0.0.11 as 65001;" in external
    assert "calico_export_v4(false);" in external
    assert "local 10.0.0.9 as 64999;" in rendered(A, B, as_number=64999)


def test_ports_and_listening(rendered):
    ports = {"b": configuration(listen_port=1790), "c": configuration()}
    c = node("c", "10.0.0.11/24")
    text = rendered(A, B, c, node_configurations=ports, listen_port=1799, bind_mode="NodeIP")
    to_b = body(text, "protocol bgp Mesh_10_0_0_10")
    assert "local 10.0.0.9 port 1799 as 64512;" in to_b
    assert "neighbor 10.0.0.10 port 1790 as 64512;" in to_b
    assert "strict bind on;" in to_b
    assert "neighbor 10.0.0.11 port 1799 as 64512;" in body(text, "protocol bgp Mesh_10_0_0_11")
    assert "strict bind" not in rendered(A, B)


def test_restart_time(rendered):
    def restart(seconds):
        time = Duration(int(seconds * 1_000_000_000))
        text = rendered(A, B, node_mesh_max_restart_time=time)
        return re.search(r"graceful restart time (\d+);", text)[1]

    assert restart(121.6) == "122"
    assert restart(10_000) == "4095", "BIRD takes no more"


def test_a_dead_node_holds_nobody_up_for_long(rendered):
    assert "\ngraceful restart wait 20;\n" in rendered()


def test_a_node_of_one_family(rendered):
    text = rendered(node("a", "10.0.0.9/24"), B, blocks={"fd65::/122": True})
    assert has(text, "protocol bgp Mesh_10_0_0_10")
    assert "Mesh_fd00" not in text
    assert has(text, "protocol kernel kernel2")
    assert has(text, "protocol static static2")


@pytest.mark.parametrize(
    ("node_name", "router_id"),
    [("node-a", "102.87.15.240"), ("worker-17", "213.249.31.232"), ("zz", "74.96.191.125")],
)
def test_hashed_router_id(node_name, router_id):
    assert hashed_router_id(node_name) == router_id


def test_router_id(rendered):
    def chosen(*arguments, **options):
        return re.search(r"^router id (.*);$", rendered(*arguments, **options), re.MULTILINE)[1]

    assert chosen() == "10.0.0.9"
    assert chosen(router_id="1.2.3.4") == "1.2.3.4"
    assert chosen(router_id="hash") == hashed_router_id("a")
    assert chosen(router_id="what?") == hashed_router_id("a")
    assert chosen(node("a", ipv6="fd00::9/64"), B) == hashed_router_id("a")


def test_blocks(rendered):
    blocks = {"10.65.1.0/26": True, "10.65.2.0/26": False, "10.65.3.1/32": True}
    blocks |= {"fd65::/122": True, "fd65::1:1/128": True, "nonsense": True}
    text = rendered(blocks=blocks, pools=[pool("10.65.0.0/16")])
    assert body(text, "protocol static static1") == [
        "ipv4;",
        "route 10.65.1.0/26 blackhole;",
        "route 10.65.2.0/26 blackhole;",
    ]
    assert body(text, "protocol static static2") == ["ipv6;", "route fd65::/122 blackhole;"]
    steps = body(text, "function calico_export_v4")
    assert "if net = 10.65.1.0/26 then accept;" in steps
    assert not [step for step in steps if "10.65.2.0/26" in step], "not confirmed: not told"
    assert not has(rendered(), "protocol static static1")


def test_what_is_told(rendered):
    pools = [
        pool("10.65.0.0/16"),
        pool("10.64.0.0/16", vxlan_mode="Always"),
        pool("10.99.0.0/16", disable_bgp_export=True),
        pool("fd65::/48"),
        pool("nonsense"),
    ]
    text = rendered(pools=pools, blocks={"10.65.1.0/26": True}, ipv4_normal_route_priority=100)
    assert body(text, "function calico_export_v4") == [
        "if net ~ 10.99.0.0/16 then reject;",
        'if to_ibgp && (ifname ~ "*.cali" || ifname ~ "*.calico" || ifname ~ "tunl0") then reject;',
        'if ifname ~ "bpf*.cali" then reject;',
        "if net = 10.65.1.0/26 then accept;",
        "if net ~ 10.65.1.0/26 && krt_metric < 100 then accept;",
        "if net ~ 10.65.1.0/26 then reject;",
        "if net ~ 10.64.0.0/16 then accept;",
        "if net ~ 10.65.0.0/16 then accept;",
    ]
    assert body(text, "function calico_export_v6")[-1] == "if net ~ fd65::/48 then accept;"
    assert "  preference = 200" not in body(text, "function calico_priority_v4")
    assert "bgp_local_pref > 2147483547" in text, "2147483647 less the priority"


def with_ends(node):
    """The node with a tunnel address of every kind."""
    bgp = replace(node.spec.bgp, ipv4_ipip_tunnel_addr="10.2.0.1")
    ends = {"ipv4_vxlan_tunnel_addr": "10.1.0.1", "ipv6_vxlan_tunnel_addr": "fd01::1"}
    return replace(node, spec=replace(node.spec, bgp=bgp, **ends))


POOLS = [
    pool("10.1.0.0/16", vxlan_mode="CrossSubnet"),
    pool("10.2.0.0/16", ipip_mode="Always"),
    pool("10.3.0.0/16", ipip_mode="Never", vxlan_mode="Never"),
    pool("fd01::/48", vxlan_mode="Always"),
    pool("fd03::/48"),
]


@pytest.mark.parametrize(
    ("setting", "no_encap"),
    [
        (None, "accept"),
        ("EnabledNoEncapOnly", "accept"),
        ("Enabled", "accept"),
        ("EnabledIPIPOnly", "reject"),
        ("Disabled", "reject"),
        ("unheard of", "accept"),
    ],
)
def test_who_programs_what(rendered, setting, no_encap):
    text = rendered(A, with_ends(B), pools=POOLS, program_cluster_routes=setting)
    assert body(text, "filter calico_kernel_programming_v4")[-4:] == [
        "if net ~ 10.1.0.0/16 then reject;",
        "if net ~ 10.2.0.0/16 then reject;",
        f"if net ~ 10.3.0.0/16 then {no_encap};",
        "accept;",
    ]
    in_ipv6 = [step for step in body(text, "filter calico_kernel_programming_v6") if "fd0" in step]
    expected = ["if net ~ fd01::/48 then reject;"]
    expected += ["if net ~ fd03::/48 then reject;"] if no_encap == "reject" else []
    assert in_ipv6 == expected, "IPv6 says only what it rejects"


def test_the_way_to_a_node_without_a_tunnel_end_stays(rendered):
    text = rendered(pools=POOLS)
    for version, address in ((4, "10.0.0.10"), (6, "fd00::a")):
        steps = body(text, f"filter calico_kernel_programming_v{version}")
        cidr = "10.1.0.0/16" if version == 4 else "fd01::/48"
        exception = (
            f"if net ~ {cidr} && source = RTS_BGP && bgp_next_hop ~ [{address}] then accept;"
        )
        assert steps[steps.index(exception) + 1] == f"if net ~ {cidr} then reject;"
    assert "10.3.0.0/16 &&" not in text, "no tunnel, nothing to wait for"
    assert "bgp_next_hop ~" not in rendered(A, with_ends(B), pools=POOLS)


def test_without_an_own_subnet_pools_do_not_matter_to_ipv4(rendered):
    text = rendered(node("a", ipv6="fd00::9/64"), B, pools=POOLS)
    assert "10.1.0.0/16" not in "".join(body(text, "filter calico_kernel_programming_v4"))
    assert "fd01::/48" in "".join(body(text, "filter calico_kernel_programming_v6"))


def test_interfaces_that_are_not_told(rendered):
    ignored = ("eth7", "dummy*", 'evil", "', "much-too-long-for-an-interface")
    text = rendered(ignored_interfaces=ignored)
    assert body(text, "protocol direct direct1")[-1] == (
        'interface -"eth7", -"dummy*", -"cali*", -"kube-ipvs*", "*";'
    )


@pytest.mark.parametrize(
    ("level", "own_level", "expected"),
    [
        ("", "", "debug protocols { states };"),
        ("Info", "", "debug protocols { states };"),
        ("Debug", "", "debug protocols all;"),
        ("Warning", "", None),
        ("Debug", "Error", None),
        ("Error", "Debug", "debug protocols all;"),
    ],
)
def test_log_level(rendered, level, own_level, expected):
    own = {"a": configuration(log_severity_screen=own_level)}
    text = rendered(log_severity_screen=level, node_configurations=own)
    found = re.search(r"^debug .*$", text, re.MULTILINE)
    assert (found and found[0]) == expected
    assert ("debug { states, routes, filters, events };" in text) == (level in {"", "Info"})
