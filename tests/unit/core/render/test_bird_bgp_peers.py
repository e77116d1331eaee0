"""What BGPPeers come to on a node; each text is parsed by the real BIRD."""

import pytest

from bgp_resources import body, cluster, configuration, has, node, password, peer
from bird_daemon import parses
from calico.core.model.duration import of_seconds
from calico.core.render.bird import BirdInputs, render_bird
from calico.core.render.bird_bgp_peers import peerings
from calico.core.render.bird_peers import SecretKey

pytestmark = pytest.mark.bird

A = node("a", "10.0.0.9/24", "fd00::9/64", {"rack": "1"})
B = node("b", "10.0.0.10/24", "fd00::a/64", {"rack": "2"})
C = node("c", "10.0.0.11/24", labels={"rack": "2"})
RR = node("rr", "10.0.0.50/24", labels={"rr": "yes"}, route_reflector_cluster_id="1.0.0.1")
RR2 = node("rr2", "10.0.0.51/24", labels={"rr": "yes"}, route_reflector_cluster_id="1.0.0.1")


def found(*peers, own="a", nodes=(A, B, C), version=4, **options):
    """The sessions by name, the mesh switched off."""
    options = {"node_to_node_mesh_enabled": False, **options}
    return peerings(cluster(*nodes, own=own, peers=peers, **options), version).found


def names(*peers, **options):
    return sorted(found(*peers, **options))


@pytest.fixture
def rendered(tmp_path):
    def render(*peers, own="a", nodes=(A, B, C), **options):
        options = {"node_to_node_mesh_enabled": False, **options}
        result = render_bird(BirdInputs(cluster(*nodes, own=own, peers=peers, **options)))
        parses(result.text, tmp_path)
        return result

    return render


def session(result, name):
    return body(result.text, f"protocol bgp {name}")


TOR = {"peer_ip": "10.0.0.1", "as_number": 64600}


@pytest.mark.parametrize(
    ("why", "spec", "expected"),
    [
        ("global", TOR, ["Global_10_0_0_1"]),
        ("this node", {"node": "a", **TOR}, ["Node_10_0_0_1"]),
        ("another node", {"node": "b", **TOR}, []),
        ("nodes with a label", {"node_selector": "rack == '1'", **TOR}, ["Node_10_0_0_1"]),
        ("others with a label", {"node_selector": "rack == '2'", **TOR}, []),
        ("a port", {**TOR, "peer_ip": "10.0.0.1:1790"}, ["Global_10_0_0_1_port_1790"]),
        ("BGP's own port", {**TOR, "peer_ip": "10.0.0.1:179"}, ["Global_10_0_0_1_port_179"]),
        ("the other family", {**TOR, "peer_ip": "fd00::1"}, []),
        ("nodes", {"peer_selector": "rack == '2'"}, ["Global_10_0_0_10", "Global_10_0_0_11"]),
        (
            "all nodes, but itself",
            {"peer_selector": "all()"},
            ["Global_10_0_0_10", "Global_10_0_0_11"],
        ),
        ("its own address", {"peer_ip": "10.0.0.9", "as_number": 1}, []),
    ],
)
def test_who(why, spec, expected):
    assert names(peer("p", **spec)) == expected


def test_both_families():
    wanted = peer("p", peer_selector="rack == '2'")
    assert names(wanted, version=6) == ["Global_fd00__a"]
    assert names(peer("p", peer_ip="[fd00::1]:1790", as_number=1), version=6) == [
        "Global_fd00__1_port_1790"
    ]
    assert names(wanted, own="c", version=6) == [], "a node without an address of the family"


def test_as_numbers():
    wanted = peer("p", peer_selector="rack == '2'")
    nodes = (
        node("a", "10.0.0.9/24", as_number=65009),
        B,
        node("c", "10.0.0.11/24", labels={"rack": "2"}, as_number=65011),
    )
    sessions = found(wanted, nodes=nodes, as_number=65000)
    assert sessions["Global_10_0_0_10"].as_number == 65000, "the cluster's, unlike in the mesh"
    assert sessions["Global_10_0_0_11"].as_number == 65011
    assert sessions["Global_10_0_0_11"].own_as_number == 65009
    local = found(peer("p", local_as_number=65123, **TOR))["Global_10_0_0_1"]
    assert local.own_as_number == 65123
    by_selector = found(peer("p", peer_selector="rack == '2'", local_as_number=65123))
    assert by_selector["Global_10_0_0_10"].own_as_number == 64512, "only for peers given by address"


def test_ports_of_nodes():
    ports = {"b": configuration(listen_port=1790)}
    by_selector = names(
        peer("p", peer_selector="rack == '2'"), node_configurations=ports, listen_port=1799
    )
    assert by_selector == ["Global_10_0_0_10_port_1790", "Global_10_0_0_11_port_1799"]
    by_address = peer("p", peer_ip="10.0.0.10", as_number=64512)
    assert "Global_10_0_0_10_port_1790" in names(by_address, node_configurations=ports)
    other_as = peer("p", peer_ip="10.0.0.10", as_number=1)
    assert names(other_as, node_configurations=ports) == ["Global_10_0_0_10"], "not that node"


def test_the_first_by_name_has_the_place_and_global_precedes_node():
    one = peer("x-global", **TOR)
    of_node = peer("a-node", node="a", peer_ip="10.0.0.1:179", as_number=1)
    twin = peer("y-global", peer_ip="10.0.0.1", as_number=2)
    for order in ((one, of_node, twin), (twin, of_node, one)):
        (kept,) = found(*order).values()
        assert (kept.name, kept.as_number) == ("Global_10_0_0_1", 64600)
    assert names(one, peer("z", peer_ip="10.0.0.1:1790", as_number=3)) == [
        "Global_10_0_0_1",
        "Global_10_0_0_1_port_1790",
    ]


def test_reverse_peerings():
    to_reflectors = peer("p", node_selector="rack == '1'", peer_selector="rack == '2'")
    assert names(to_reflectors, own="b") == ["Node_10_0_0_9"]
    assert names(to_reflectors, own="a") == ["Node_10_0_0_10", "Node_10_0_0_11"]
    assert (
        names(peer("p", peer_selector="rack == '2'", node="a", reverse_peering="Manual"), own="b")
        == []
    )
    by_address = peer("p", peer_ip="10.0.0.10", as_number=64512, node="a")
    assert names(by_address, own="b") == ["Node_10_0_0_9"]
    assert names(by_address, own="b", version=6) == [], "only the family of peerIP"
    assert names(by_address, own="c") == []
    everybody = peer("p", peer_ip="10.0.0.10", as_number=64512)
    assert names(everybody, own="b") == ["Node_10_0_0_11", "Node_10_0_0_9"]
    assert names(peer("p", peer_ip="10.0.0.10", as_number=7), own="b") == [], "of another AS"


@pytest.mark.parametrize(
    ("port", "own", "default", "expected"),
    [
        (1790, 0, 0, True),
        (1790, 1790, 0, True),
        (1790, 0, 1790, True),
        (1790, 1791, 0, False),
        (1790, 1790, 1799, False),
    ],
)
def test_reverse_peerings_to_a_port(port, own, default, expected):
    wanted = peer("p", peer_ip=f"10.0.0.10:{port}", as_number=64512, node="a")
    ports = {"b": configuration(listen_port=own)}
    sessions = found(wanted, own="b", node_configurations=ports, listen_port=default)
    assert bool(sessions) == expected


def test_an_explicit_session_takes_the_place_of_the_meshs():
    wanted = peer(
        "p", peer_selector="rack == '2' && has(rack)", node="a", keepalive_time=of_seconds(9)
    )
    both = names(wanted, nodes=(A, B, C, node("d", "10.0.0.12/24")), node_to_node_mesh_enabled=True)
    assert both == ["Mesh_10_0_0_12", "Node_10_0_0_10", "Node_10_0_0_11"]


def test_passive_is_one_side_of_a_global_session_between_nodes():
    to_b = peer("p", peer_ip="10.0.0.10", as_number=64512)
    assert not found(to_b)["Global_10_0_0_10"].is_passive, "as text 10.0.0.10 precedes 10.0.0.9"
    to_a = peer("p", peer_ip="10.0.0.9", as_number=64512)
    assert found(to_a, own="b")["Global_10_0_0_9"].is_passive
    assert not found(peer("p", peer_ip="10.0.0.99", as_number=1))["Global_10_0_0_99"].is_passive


def test_the_attributes_of_a_session(rendered):
    result = rendered(
        peer(
            "p",
            node="a",
            local_as_number=64999,
            ttl_security=3,
            max_restart_time=of_seconds(30.6),
            keepalive_time=of_seconds(7),
            num_allowed_local_as_numbers=2,
            next_hop_mode="Self",
            reachable_by="10.0.0.254",
            **{**TOR, "peer_ip": "10.7.0.1:1790"},
        )
    )
    lines = session(result, "Node_10_7_0_1_port_1790")
    assert [line for line in lines if line.split()[0] != "connect"][2:12] == [
        "local 10.0.0.9 as 64999;",
        "neighbor 10.7.0.1 port 1790 as 64600;",
        "multihop 3;",
        "ttl security on;",
        "error wait time 5, 30;",
        "graceful restart on;",
        "graceful restart time 31;",
        "keepalive time 7;",
        "allow local as 2;",
        "ipv4 {",
    ]
    assert "next hop self;" in lines
    assert body(result.text, "protocol static static1") == [
        "ipv4;",
        "route 10.7.0.1/32 via 10.0.0.254;",
    ]


@pytest.mark.parametrize(("seconds", "expected"), [(0, 1), (240, 240), (300, 300), (10**6, 21845)])
def test_any_keepalive_time(rendered, seconds, expected):
    lines = session(
        rendered(peer("p", keepalive_time=of_seconds(seconds), **TOR)), "Global_10_0_0_1"
    )
    assert f"keepalive time {expected};" in lines


@pytest.mark.parametrize(
    ("spec", "as_number", "expected"),
    [
        ({}, 64600, None),
        ({"next_hop_mode": "Auto"}, 64600, None),
        ({"next_hop_mode": "Self"}, 64512, "next hop self;"),
        ({"next_hop_mode": "Keep"}, 64512, "next hop keep;"),
        ({"keep_original_next_hop": True}, 64600, "next hop keep;"),
        ({"keep_original_next_hop": True}, 64512, None),
        ({"keep_original_next_hop": True, "next_hop_mode": "Auto"}, 64600, None),
    ],
)
def test_next_hop(rendered, spec, as_number, expected):
    lines = session(
        rendered(peer("p", peer_ip="10.0.0.1", as_number=as_number, **spec)), "Global_10_0_0_1"
    )
    assert ([line for line in lines if line.startswith("next hop")] or [None]) == [expected]


def test_source_address(rendered):
    unset = peer("p", source_address="None", **TOR)
    assert "local as 64512;" in session(rendered(unset), "Global_10_0_0_1")
    bound = session(rendered(unset, bind_mode="NodeIP"), "Global_10_0_0_1")
    assert "local 10.0.0.9 as 64512;" in bound, "BIRD binds strictly only to an address"
    assert "strict bind on;" in bound


def test_reflectors(rendered):
    wanted = peer("p", node_selector="all()", peer_selector="has(rr)")
    nodes = (A, B, RR, RR2)
    on_client = rendered(wanted, nodes=nodes, node_to_node_mesh_enabled=True)
    assert sorted(peerings(cluster(*nodes, peers=[wanted]), 4).found) == [
        "Mesh_10_0_0_10",
        "Node_10_0_0_50",
        "Node_10_0_0_51",
    ]
    assert "rr client;" not in on_client.text
    on_reflector = rendered(wanted, own="rr", nodes=nodes, node_to_node_mesh_enabled=True)
    assert "Mesh_" not in on_reflector.text
    client = session(on_reflector, "Node_10_0_0_9")
    assert client[client.index("rr client;") + 1] == "rr cluster id 1.0.0.1;"
    assert "rr client;" not in session(on_reflector, "Node_10_0_0_51"), "of the same cluster"
    outside = (
        peer("ibgp", peer_ip="10.9.0.1", as_number=64512),
        peer("ebgp", peer_ip="10.9.0.2", as_number=1),
    )
    on_reflector = rendered(*outside, own="rr", nodes=nodes)
    assert "rr client;" in session(on_reflector, "Global_10_9_0_1"), "its cluster is not known"
    assert "rr client;" not in session(on_reflector, "Global_10_9_0_2")


def test_another_cluster_of_reflectors_is_a_client(rendered):
    far = node("far", "10.0.0.60/24", labels={"rr": "yes"}, route_reflector_cluster_id="2.0.0.2")
    result = rendered(peer("p", peer_selector="has(rr)"), own="rr", nodes=(RR, far))
    assert "rr client;" in session(result, "Global_10_0_0_60")


def test_passwords(rendered):
    wanted = (
        peer("p", password=password("bgp", "rack"), **TOR),
        peer("q", peer_ip="10.0.0.2", as_number=1),
    )
    result = rendered(*wanted, secrets={SecretKey("bgp", "rack"): "s3cret \\é#"})
    assert 'password "s3cret \\é#";' in session(result, "Global_10_0_0_1")
    assert not [line for line in session(result, "Global_10_0_0_2") if "password" in line]
    assert result.left_out == {}


@pytest.mark.parametrize("secret", [None, "", 'with"quote', "two\nlines", "x" * 81])
def test_without_its_password_a_session_is_not_made_and_others_are(rendered, secret):
    secrets = {} if secret is None else {SecretKey("bgp", "password"): secret}
    wanted = (
        peer("a", password=password("bgp"), **TOR),
        peer("b", **TOR),
        peer("c", peer_ip="10.0.0.2", as_number=1),
    )
    result = rendered(*wanted, secrets=secrets)
    assert not has(result.text, "protocol bgp Global_10_0_0_1"), "b does not take its place"
    assert has(result.text, "protocol bgp Global_10_0_0_2")
    assert list(result.left_out) == ["Global_10_0_0_1"]
    assert "password" in result.left_out["Global_10_0_0_1"]
    assert "\n# left out: Global_10_0_0_1: its password" in result.text
    if secret:
        assert secret not in result.text


def test_the_password_of_the_mesh(rendered):
    options = {"node_to_node_mesh_enabled": True, "node_mesh_password": password("mesh", "key")}
    result = rendered(**options, secrets={SecretKey("mesh", "key"): "word"})
    assert 'password "word";' in session(result, "Mesh_10_0_0_10")
    assert 'password "word";' in session(result, "Mesh_fd00__a")
    result = rendered(peer("p", **TOR), **options)
    assert sorted(result.left_out) == ["Mesh_10_0_0_10", "Mesh_10_0_0_11", "Mesh_fd00__a"]
    assert has(result.text, "protocol bgp Global_10_0_0_1")


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ({}, "neither peerIP nor peerSelector"),
        ({"peer_ip": "10.0.0"}, "not an IP address"),
        ({"peer_ip": "10.0.0.1:99999", "as_number": 1}, "out of range"),
        ({"peer_ip": "10.0.0.1"}, "asNumber"),
        ({"peer_ip": "224.0.0.5", "as_number": 1}, "one machine"),
        ({"peer_ip": "fe80::1", "as_number": 1}, "one machine"),
        ({"peer_selector": "rack =="}, "expected"),
        ({"node_selector": "((", **TOR}, ""),
        ({"reachable_by": "fd00::1", **TOR}, "reachableBy"),
        ({"local_workload_selector": "all()", "as_number": 1}, "localWorkloadSelector"),
    ],
)
def test_what_makes_no_sense_is_named_and_others_go_on(rendered, spec, reason):
    result = rendered(peer("odd", **spec), peer("p", peer_ip="10.0.0.2", as_number=1))
    assert list(result.left_out) == ["BGPPeer odd"]
    assert reason in result.left_out["BGPPeer odd"]
    assert has(result.text, "protocol bgp Global_10_0_0_2")
    assert "# left out: BGPPeer odd: " in result.text


def test_bfd(tmp_path):
    wanted = (peer("p", **TOR), peer("q", peer_ip="10.0.0.2", as_number=1, source_address="None"))
    result = render_bird(BirdInputs(cluster(A, B, peers=wanted), uses_bfd=True))
    parses(result.text, tmp_path)
    assert has(result.text, "protocol bfd bfd1")
    for name in ("Mesh_10_0_0_10", "Global_10_0_0_1"):
        assert "bfd on;" in session(result, name)
    assert "bfd on;" not in session(result, "Global_10_0_0_2"), "BFD needs an own address"
    assert "bfd" not in render_bird(BirdInputs(cluster(A, B))).text
