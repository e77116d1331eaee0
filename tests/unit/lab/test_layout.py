"""What a topology file may say; and for what cannot be built, one error that says it all."""

from pathlib import Path

import pytest

from calico.core.analysis.matrix import Port
from calico.lab.layout import parse_topology
from calico.lab.shape import Route
from calico.lab.topology import LabError, read_file

EXAMPLES = Path(__file__).parents[3] / "examples"

GOOD = """\
segments:
  - {name: rack, subnets: [172.30.1.0/24, "fd30:1::/64"]}
  - {name: other, subnets: [172.30.2.0/24], mtu: 9000}
routers:
  - name: gateway
    interfaces:
      - {segment: rack, addresses: [172.30.1.1, "fd30:1::1"]}
      - {segment: other, addresses: [172.30.2.1]}
nodes:
  - name: node-1
    interfaces: [{segment: rack, addresses: [172.30.1.11, "fd30:1::11"]}]
  - name: node-2
    interfaces: [{segment: other, addresses: [172.30.2.12], name: ens4}]
hosts:
  - name: laptop
    interfaces: [{segment: other, addresses: [172.30.2.99]}]
    routes: [{to: 0.0.0.0/0, via: 172.30.2.254}]
namespaces: [{name: shop, labels: {team: sales}}]
pods:
  - {pod: shop/web, node: node-1, labels: {app: web}, ports: [tcp/80]}
  - {pod: dev/box, node: node-2}
"""


def parse(tmp_path, text):
    file = tmp_path / "lab.yaml"
    file.write_text(text)
    return parse_topology(read_file(file), "lab")


def test_a_whole_topology(tmp_path):
    topology = parse(tmp_path, GOOD)
    assert topology.name == "lab"
    assert topology.node_names == ("node-1", "node-2")
    assert [(s.name, s.mtu_bytes) for s in topology.segments] == [("rack", 1500), ("other", 9000)]
    by_name = {station.name: station for station in topology.stations}
    assert by_name["node-1"].interfaces[0].addresses == ("172.30.1.11/24", "fd30:1::11/64")
    assert by_name["node-2"].interfaces[0].name == "ens4"
    web, box = topology.pods
    assert (web.full_name, web.labels, web.ports) == (
        "shop/web",
        {"app": "web"},
        (Port("tcp", 80),),
    )
    assert box.ports == (Port("tcp", 80), Port("udp", 53))
    namespaces = {namespace.name: namespace.labels for namespace in topology.namespaces}
    assert namespaces == {"shop": {"team": "sales"}, "dev": {}}


def test_default_routes_lead_to_the_first_router_on_the_segment(tmp_path):
    by_name = {station.name: station for station in parse(tmp_path, GOOD).stations}
    assert by_name["node-1"].routes == (
        Route("0.0.0.0/0", "172.30.1.1"),
        Route("::/0", "fd30:1::1"),
    )
    assert by_name["node-2"].routes == (Route("0.0.0.0/0", "172.30.2.1"),), "no IPv6 there"
    assert by_name["laptop"].routes == (Route("0.0.0.0/0", "172.30.2.254"),), "its own wins"
    assert by_name["gateway"].routes == ()


BAD = [
    ("duplicate node", "name: node-2", "name: node-1", 12, "nodes[1].name",
     "machine name node-1 is taken by {file}, line 10, nodes[0].name"),
    ("a router's name", "name: node-2", "name: gateway", 12, "nodes[1].name", "is taken by"),
    ("duplicate address", "addresses: [172.30.2.12]", "addresses: [172.30.2.1]", 13,
     "nodes[1].interfaces[0].addresses[0]",
     "address 172.30.2.1 is taken by {file}, line 8, routers[0].interfaces[1].addresses[0]"),
    ("overlapping segments", "subnets: [172.30.2.0/24]", "subnets: [172.30.0.0/16]", 3,
     "segments[1].subnets[0]", "172.30.0.0/16 overlaps 172.30.1.0/24 of {file}, line 2"),
    ("unknown segment", "segment: other, addresses: [172.30.2.12]",
     "segment: moon, addresses: [172.30.2.12]", 13, "nodes[1].interfaces[0].segment",
     "no segment is called 'moon': there are: rack, other"),
    ("pod on an unknown node", "pod: dev/box, node: node-2", "pod: dev/box, node: node-9", 21,
     "pods[1].node", "no node is called 'node-9': there are: node-1, node-2"),
    ("pod on a router", "pod: dev/box, node: node-2", "pod: dev/box, node: gateway", 21,
     "pods[1].node", "no node is called 'gateway'"),
    ("duplicate pod", "pod: dev/box", "pod: shop/web", 21, "pods[1].pod", "pod shop/web is taken"),
    ("duplicate segment", "name: other,", "name: rack,", 3, "segments[1].name", "is taken by"),
    ("address elsewhere", "[172.30.2.12]", "[172.30.1.12]", 13,
     "nodes[1].interfaces[0].addresses[0]",
     "172.30.1.12 is not on segment other: write one in 172.30.2.0/24"),
    ("no address", "[172.30.2.12]", "[172.30.2]", 13, "nodes[1].interfaces[0].addresses[0]",
     "'172.30.2' is no address: write one without /length"),
    ("no subnet", "172.30.2.0/24", "172.30.2.1/24", 3, "segments[1].subnets[0]",
     "'172.30.2.1/24' is no subnet"),
    ("two subnets of one version", "[172.30.2.0/24]", "[172.30.2.0/24, 172.30.3.0/24]", 3,
     "segments[1].subnets", "write one IPv4 subnet"),
    ("unknown key", "mtu: 9000", "mut: 9000", 3, "segments[1].mut",
     "unknown key 'mut': known here are name, subnets, mtu"),
    ("bad number", "mtu: 9000", "mtu: huge", 3, "segments[1].mtu", "from 1280 to 65535"),
    ("bad name", "name: node-2", "name: Node_2", 12, "nodes[1].name", "'Node_2' is no name"),
    ("reserved name", "name: node-2", "name: etcd", 12, "nodes[1].name", "'etcd' is a machine"),
    ("bad port", "ports: [tcp/80]", "ports: [http]", 20, "pods[0].ports[0]", "'http' is no port"),
    ("bad pod name", "pod: dev/box", "pod: box", 21, "pods[1].pod", "write <namespace>/<name>"),
    ("written twice", "node: node-2}", "node: node-2, node: node-1}", 21, "pods[1].node",
     "'node' is written twice"),
    ("missing key", "pod: dev/box, node: node-2", "pod: dev/box", 21, "pods[1]",
     "'node' is missing"),
    ("mixed route", "via: 172.30.2.254", 'via: "fd30:1::1"', 17, "hosts[0].routes[0].via",
     "is of the other IP version"),
    ("not a list", "[{segment: other, addresses: [172.30.2.99]}]", "none", 16,
     "hosts[0].interfaces", "a list belongs here"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "line", "path", "text"),
    [(case[1:3], *case[3:]) for case in BAD],
    ids=[case[0] for case in BAD],
)
def test_what_cannot_be_built_is_refused(tmp_path, change, line, path, text):
    old, new = change
    assert GOOD.count(old) >= 1
    last = GOOD.rindex(old)  # the later one is the mistake
    with pytest.raises(LabError) as refused:
        parse(tmp_path, GOOD[:last] + new + GOOD[last + len(old) :])
    file = tmp_path / "lab.yaml"
    assert str(refused.value).startswith(f"{file}, line {line}, {path}: ")
    assert text.format(file=file) in str(refused.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("nodes: []\nsegments: []\n", "a lab needs a node"),
        ("", "is empty"),
        ("nodes: [", "line 1: not YAML"),
        ("- a\n", "a mapping belongs here"),
    ],
)
def test_files_that_are_no_topology(tmp_path, text, told):
    with pytest.raises(LabError, match=told):
        parse(tmp_path, text)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(LabError, match=r"nowhere\.yaml: cannot be read: No such file"):
        read_file(tmp_path / "nowhere.yaml")


def test_the_example():
    topology = parse_topology(read_file(EXAMPLES / "three-nodes.yaml"), "x")
    assert topology.name == "three-nodes"
    assert len(topology.node_names) == 3
    assert len(topology.resources) == 2
