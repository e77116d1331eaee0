"""BGPFilters, communities and reflected services as BIRD has them, parsed by the real BIRD."""

import pytest

from bgp_resources import bgp_filter, body, cluster, configuration, has, named, node, peer
from bird_daemon import parses
from calico.core.model.bgp import (
    BGPFilterAddCommunity,
    BGPFilterCommunityMatch,
    BGPFilterOperation,
    BGPFilterPrefixLength,
    BGPFilterPrependASPath,
    BGPFilterRule,
    BGPFilterSetPriority,
    Community,
    PrefixAdvertisement,
    ServiceIPBlock,
)
from calico.core.render.bird import BirdInputs, render_bird
from calico.core.render.bird_rules import function_name

pytestmark = pytest.mark.bird

A = node("a", "10.0.0.9/24", "fd00::9/64")
REJECT = BGPFilterRule(action="Reject")
PEER = peer("p", peer_ip="10.0.0.1", as_number=64600, filters=("f",))


@pytest.fixture
def rendered(tmp_path):
    def render(*filters, nodes=(A,), peers=(PEER,), **options):
        found = cluster(*nodes, peers=peers, **options)
        result = render_bird(BirdInputs(found, filters=named(filters)))
        parses(result.text, tmp_path)
        return result

    return render


def accept(**rule):
    return BGPFilterRule(action="Accept", **rule)


def length(least=None, most=None):
    return BGPFilterPrefixLength(min=least, max=most)


def communities(value):
    return BGPFilterCommunityMatch(values=(value,))


IN = {"cidr": "10.1.0.0/16", "match_operator": "In"}
NOT_IN = {"cidr": "10.1.0.0/16", "match_operator": "NotIn"}


@pytest.mark.parametrize(
    ("rule", "condition"),
    [
        (accept(cidr="10.1.2.3/16", match_operator="Equal"), "net = 10.1.0.0/16"),
        (accept(cidr="10.1.0.0/16", match_operator="NotEqual"), "net != 10.1.0.0/16"),
        (accept(**IN), "net ~ 10.1.0.0/16"),
        (accept(**NOT_IN), "net !~ 10.1.0.0/16"),
        (accept(prefix_length=length(), **IN), "net ~ [ 10.1.0.0/16{16,32} ]"),
        (accept(prefix_length=length(24, 26), **IN), "net ~ [ 10.1.0.0/16{24,26} ]"),
        (accept(prefix_length=length(8, 40), **NOT_IN), "net !~ [ 10.1.0.0/16{16,32} ]"),
        (accept(prefix_length=length(None, 8), **IN), "false"),
        (accept(prefix_length=length(26, 24), **NOT_IN), "true"),
        (accept(cidr="10.1.0.0/16", match_operator="Equal", prefix_length=length()), "false"),
        (accept(cidr="10.1.0.0/16", match_operator="NotEqual", prefix_length=length()), "true"),
        (accept(source="RemotePeers"), "source = RTS_BGP"),
        (accept(interface="eth*"), 'ifname != "" && ifname ~ "eth*"'),
        (accept(peer_type="iBGP"), "to_ibgp"),
        (accept(peer_type="eBGP"), "!to_ibgp"),
        (accept(communities=communities("65000:7")), "(65000, 7) ~ bgp_community"),
        (accept(communities=communities("65000:7:8")), "(65000, 7, 8) ~ bgp_large_community"),
        (accept(as_path_prefix=(1, 4294967295)), "bgp_path ~ [= 1 4294967295 * =]"),
        (accept(priority=512), "defined(bgp_local_pref) && bgp_local_pref = 2147483135"),
        (
            accept(peer_type="eBGP", source="RemotePeers", **IN),
            "!to_ibgp && net ~ 10.1.0.0/16 && source = RTS_BGP",
        ),
    ],
)
def test_a_condition(rendered, rule, condition):
    result = rendered(bgp_filter("f", import_v4=(rule,), export_v4=(REJECT, rule)))
    expected = f"if {condition} then {{ accept; }}"
    assert body(result.text, "function 'bgp_f_importFilterV4'(bool to_ibgp)") == [expected]
    exported = body(result.text, "function 'bgp_f_exportFilterV4'(bool to_ibgp)")
    assert exported == ["reject;", expected]


def test_what_a_rule_does(rendered):
    operations = (
        BGPFilterOperation(add_community=BGPFilterAddCommunity(value="1:2")),
        BGPFilterOperation(add_community=BGPFilterAddCommunity(value="1:2:3")),
        BGPFilterOperation(prepend_as_path=BGPFilterPrependASPath(prefix=(7, 8))),
        BGPFilterOperation(set_priority=BGPFilterSetPriority(value=100)),
    )
    text = rendered(bgp_filter("f", import_v4=(accept(), accept(operations=operations)))).text
    unconditional, changing = body(text, "function 'bgp_f_importFilterV4'(bool to_ibgp)")
    assert unconditional == "accept;"
    assert changing.split("; ") == [
        "bgp_community.add((1, 2))",
        "bgp_large_community.add((1, 2, 3))",
        "bgp_path.prepend(8)",
        "bgp_path.prepend(7)",
        "bgp_local_pref = 2147483547",
        "accept;",
    ]


def test_where_filters_are_called(rendered):
    filters = (
        bgp_filter("one", import_v4=(REJECT,), export_v4=(REJECT,)),
        bgp_filter("two", export_v4=(REJECT,), import_v6=(REJECT,)),
        bgp_filter("unused", import_v4=(REJECT,)),
    )
    wanted = peer("p", peer_ip="10.0.0.1", as_number=64600, filters=("two", "unheard-of", "one"))
    inner = peer("q", peer_ip="10.0.0.2", as_number=64512, filters=("one",))
    text = rendered(*filters, peers=(wanted, inner)).text
    lines = body(text, "protocol bgp Global_10_0_0_1")
    at = lines.index("import filter {")
    assert lines[at + 1] == "'bgp_one_importFilterV4'(false);"
    assert lines[at + 2].startswith("if defined(bgp_local_pref)")
    at = lines.index("export filter {")
    assert lines[at + 1 : at + 6] == [
        "calico_priority_v4();",
        "'bgp_two_exportFilterV4'(false);",
        "'bgp_one_exportFilterV4'(false);",
        "calico_export_v4(false);",
        "reject;",
    ]
    assert "'bgp_one_importFilterV4'(true);" in body(text, "protocol bgp Global_10_0_0_2")
    assert "bgp_unused" not in text
    assert "bgp_two_importFilterV6" not in text, "no session of that family uses it"


def test_long_names(rendered):
    name = "x" * 50
    assert function_name(name, "import", 4) == f"'bgp_{'x' * 28}_77CF12060D47183E_importFilterV4'"
    wanted = peer("p", peer_ip="10.0.0.1", as_number=1, filters=(name, "a.b-c"))
    text = rendered(
        bgp_filter(name, import_v4=(REJECT,)),
        bgp_filter("a.b-c", import_v4=(REJECT,)),
        peers=[wanted],
    ).text
    assert "'bgp_a.b-c_importFilterV4'(false);" in text


@pytest.mark.parametrize(
    "rule",
    [
        BGPFilterRule(action="Maybe"),
        accept(cidr="fd00::/8", match_operator="In"),
        accept(cidr="10.0.0.0/8"),
        accept(match_operator="In"),
        accept(source="Everywhere"),
        accept(interface='x"; reject; #'),
        accept(peer_type="both"),
        accept(communities=communities("65536:1")),
        accept(communities=communities("1:2:3:4")),
        accept(communities=BGPFilterCommunityMatch()),
        accept(as_path_prefix=(1 << 32,)),
        accept(priority=0),
        accept(operations=(BGPFilterOperation(),)),
        accept(operations=(BGPFilterOperation(add_community=BGPFilterAddCommunity(value="x")),)),
    ],
)
def test_a_filter_that_cannot_be_said_takes_its_sessions_along(rendered, rule):
    plain = peer("q", peer_ip="10.0.0.2", as_number=1)
    result = rendered(bgp_filter("f", import_v4=(REJECT,), export_v4=(rule,)), peers=(PEER, plain))
    assert list(result.left_out) == ["Global_10_0_0_1"], "without it, it would let all through"
    assert result.left_out["Global_10_0_0_1"].startswith("its BGPFilter f: ")
    assert has(result.text, "protocol bgp Global_10_0_0_2")
    assert "'bgp_f_" not in result.text


MARKED = {
    "communities": (
        Community("rack", "65000:7"),
        Community("large", "1:2:3"),
        Community("bad", "x"),
    ),
    "prefix_advertisements": (
        PrefixAdvertisement("10.1.0.0/16", ("rack", "65000:1", "rack", "unknown", "bad")),
        PrefixAdvertisement("fd01::/48", ("large",)),
        PrefixAdvertisement("nonsense", ("rack",)),
        PrefixAdvertisement("10.2.0.0/16", ("unknown",)),
    ),
}


def test_communities_of_prefixes(rendered):
    text = rendered(**MARKED).text
    marks = [line for line in body(text, "function calico_export_v4") if "add(" in line]
    added = "bgp_community.add((65000, 1)); bgp_community.add((65000, 7));"
    assert marks == [f"if net ~ 10.1.0.0/16 then {{ {added} }}"]
    marks = [line for line in body(text, "function calico_export_v6") if "add(" in line]
    assert marks == ["if net ~ fd01::/48 then { bgp_large_community.add((1, 2, 3)); }"]


def test_communities_of_the_node_hide_the_clusters(rendered):
    own = configuration(
        communities=(Community("rack", "65000:9"),),
        prefix_advertisements=(PrefixAdvertisement("10.3.0.0/16", ("rack", "large")),),
    )
    text = rendered(node_configurations={"a": own}, **MARKED).text
    assert "if net ~ 10.3.0.0/16 then { bgp_community.add((65000, 9)); }" in text
    assert "10.1.0.0/16" not in text
    assert "fd01::/48" not in text, "neither of the other family"
    others = rendered(node_configurations={"b": own}, **MARKED).text
    assert "10.1.0.0/16" in others


def test_a_reflector_passes_services_on(rendered):
    services = {
        "service_load_balancer_ips": (ServiceIPBlock("10.5.0.0/16"), ServiceIPBlock("x")),
        "service_external_ips": (ServiceIPBlock("10.6.0.0/16"), ServiceIPBlock("fd06::/48")),
    }
    reflector = node("a", "10.0.0.9/24", route_reflector_cluster_id="1.1.1.1")
    steps = body(rendered(nodes=(reflector,), **services).text, "function calico_export_v4")
    assert steps[-2:] == ["if net ~ 10.5.0.0/16 then accept;", "if net ~ 10.6.0.0/16 then accept;"]
    assert "10.5.0.0/16" not in rendered(**services).text
