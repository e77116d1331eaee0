import json

import pytest
import yaml

from calico.calicoctl.kinds import TABLES, TableContext, kind_named, show_float
from calico.calicoctl.output import (
    render_box,
    render_json,
    render_table,
    render_yaml,
)

POOL = {
    "kind": "IPPool",
    "metadata": {"name": "pool-a"},
    "spec": {"cidr": "10.65.0.0/16", "nodeSelector": "all()"},
}


def table(kind, document, *headings):
    rows = render_table(kind, [document], headings, TableContext("64512")).splitlines()
    return rows[1].split()


def test_a_table_as_calicoctl_prints_it():
    text = render_table("IPPool", [POOL], ("NAME", "CIDR", "SELECTOR"), TableContext())
    assert text == ("NAME     CIDR           SELECTOR   \npool-a   10.65.0.0/16   all()      \n\n")


@pytest.mark.parametrize(
    ("kind", "spec", "heading", "cell"),
    [
        ("IPPool", {}, "IPIPMODE", "Never"),
        ("IPPool", {}, "NAT", "false"),
        ("IPPool", {}, "ASSIGNMENTMODE", "<nil>"),
        ("GlobalNetworkPolicy", {}, "ORDER", "<nil>"),
        ("GlobalNetworkPolicy", {"order": 1000000}, "ORDER", "1e+06"),
        ("Tier", {"order": 100.5}, "ORDER", "100.5"),
        ("BGPConfiguration", {}, "MESHENABLED", "-"),
        ("BGPConfiguration", {"nodeToNodeMeshEnabled": True}, "MESHENABLED", "true"),
        ("BGPPeer", {}, "NODE", "(global)"),
        ("BGPPeer", {"nodeSelector": "has(x)"}, "NODE", "has(x)"),
        ("BGPFilter", {"exportV4": [{}, {}]}, "NUMEXPORTV4", "2"),
        ("Node", {"bgp": {"ipv4Address": "192.0.2.1/24"}}, "ASN", "(64512)"),
        ("Node", {"bgp": {"asNumber": 65001}}, "ASN", "65001"),
        ("Profile", {"labelsToApply": {"b": "2", "a": "1"}}, "LABELS", "a=1,b=2"),
        ("WorkloadEndpoint", {"pod": "web"}, "WORKLOAD", "web"),
        ("WorkloadEndpoint", {"workload": "w", "pod": "web"}, "WORKLOAD", "w"),
        ("WorkloadEndpoint", {"ipNetworks": ["10.0.0.1/32", "fd00::1/128"]}, "NETWORKS",
         "10.0.0.1/32,fd00::1/128"),
        ("GlobalNetworkSet", {"nets": ["10.0.0.0/8"] * 20}, "NETS", ("10.0.0.0/8," * 7) + "..."),
    ],
)  # fmt: skip
def test_cells(kind, spec, heading, cell):
    document = {"metadata": {"name": "x"}, "spec": spec}
    assert table(kind, document, "NAME", heading) == ["x", cell]


@pytest.mark.parametrize(
    ("value", "text"),
    [(1000.0, "1000"), (0.1, "0.1"), (1e6, "1e+06"), (1.5e6, "1.5e+06"), (1e21, "1e+21")],
)
def test_floats_as_go(value, text):
    assert show_float(value) == text


def test_unknown_heading_lists_the_valid_ones():
    with pytest.raises(ValueError, match=r"unknown heading X, valid values are: .*CIDR"):
        render_table("IPPool", [POOL], ("X",), TableContext())


def test_json_escapes_as_go():
    text = render_json([{"spec": {"selector": "a && b < 'ü'"}}])
    assert "a \\u0026\\u0026 b \\u003c 'ü'" in text
    assert not text.endswith("\n")
    assert json.loads(text)["spec"]["selector"] == "a && b < 'ü'"
    assert json.loads(render_json([POOL, POOL])) == [POOL, POOL]


def test_yaml_keeps_text_text():
    values = {"yes": "true", "number": "12", "time": "2026-08-01T09:31:00Z", "none": "null",
              "colon": "a: b", "lines": "a\nb\n", "long": "x " * 100}  # fmt: skip
    text = render_yaml([values])
    assert 'yes: "true"' in text.replace("'yes'", "yes").replace('"yes"', "yes")
    assert 'number: "12"' in text
    assert yaml.safe_load(text) == values
    assert list(values) != sorted(values)
    assert next(line.split(":")[0] for line in text.splitlines()) == "colon"


def test_box():
    assert render_box(("Property", "Value"), [("StrictAffinity", "false")]) == (
        "+----------------+-------+\n"
        "| PROPERTY       | VALUE |\n"
        "+----------------+-------+\n"
        "| StrictAffinity | false |\n"
        "+----------------+-------+\n"
    )


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("gnp", "GlobalNetworkPolicy"), ("GLOBALNETWORKPOLICIES", "GlobalNetworkPolicy"),
        ("np", "NetworkPolicy"), ("policies", "NetworkPolicy"), ("nps", None),
        ("wep", "WorkloadEndpoint"), ("no", "Node"), ("nodes", "Node"), ("pool", "IPPool"),
        ("caliconodestatuses", "CalicoNodeStatus"), ("nodestatuses", "CalicoNodeStatus"),
        ("tiers", "Tier"), ("pod", None),
    ],
)  # fmt: skip
def test_names_of_kinds(name, kind):
    assert kind_named(name) == kind


def test_every_column_of_every_kind_prints_an_empty_resource():
    for kind in TABLES:
        document = {"metadata": {"name": "x"}, "spec": {}}
        for heading, column in kind.columns.items():
            assert isinstance(column(document, TableContext()), str), (kind.kind, heading)
