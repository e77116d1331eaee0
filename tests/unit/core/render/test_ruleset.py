"""What a change touches, in names: the cost of a change is what is written for it."""

import pytest

from calico.core.intent.delta import Intent, IntentDelta
from calico.core.intent.endpoints import QosControls, Tier, WorkloadEndpoint
from calico.core.intent.ip_sets import IpSet
from calico.core.intent.keys import EndpointKey, PolicyKey
from calico.core.intent.nat import Pool
from calico.core.intent.policies import Policy, Profile, Rule, Side
from calico.core.render.definition import by_interface
from calico.core.render.ruleset import RuleSets, rule_sets
from calico.core.render.settings import RenderSettings

KEYS = [PolicyKey("GlobalNetworkPolicy", "", name) for name in "abcd"]
READS = Rule("Allow", source=Side(ip_sets=("s:1",)))
OPEN = Profile((Rule("Allow"),), (Rule("Allow"),))


def policy(*rules):
    return Policy("t", rules, (Rule("Allow"),))


def endpoint(interface, policies=KEYS[:3], **more):
    tier = Tier("t", "Deny", tuple(policies), tuple(policies))
    more = {"profiles": ("kns.a",), "ipv4_addresses": ("10.0.0.1",), **more}
    return WorkloadEndpoint(interface, tiers=(tier,), **more)


def named(name):
    return EndpointKey("k8s", f"shop/{name}", "eth0")


WORLD = IntentDelta(
    ip_sets={"s:1": IpSet("address", frozenset({"10.0.0.9"}))},
    policies={KEYS[0]: policy(READS), KEYS[1]: policy(), KEYS[2]: policy(), KEYS[3]: policy()},
    profiles={"kns.a": OPEN},
    endpoints={named(n): endpoint(f"cali{n}") for n in "123"},
    pools={"10.0.0.0/8": Pool("10.0.0.0/8")},
)


@pytest.fixture
def view():
    made = RuleSets(RenderSettings())
    made.feed(WORLD)
    made.flush()
    return made


def touched(view, **delta):
    """Chains by family, in Calico's short names, and the number of elements."""
    view.feed(IntentDelta(**delta))
    deltas = view.flush()
    chains = {
        (family, name.removeprefix("filter-cali-")[: 12 if name[12:14] in {"gi", "go"} else None])
        for family, table in deltas.items()
        for name in table.chains
    }
    names = {(family, "group" if n[:3] in {"gi-", "go-"} else n) for family, n in chains}
    return names, sum(len(table.elements) for table in deltas.values())


def test_a_rule_is_its_policys_chain(view):
    assert touched(view, policies={KEYS[0]: policy(READS, Rule("Deny"))}) == (
        {("ip", "pi-gnp/a")},
        0,
    )


def test_the_same_again_is_nothing(view):
    view.feed(WORLD)
    assert view.flush() == {}


def test_a_member_is_an_element(view):
    assert touched(view, members={("s:1", "10.0.0.8"): True}) == (set(), 1)
    assert touched(view, members={("s:1", "fd00::8"): True}) == (set(), 1)


def test_a_kind_is_its_readers_chains(view):
    kind = {"s:1": IpSet("net", frozenset({"10.0.0.0/30"}))}
    assert touched(view, ip_sets=kind) == ({("ip", "pi-gnp/a")}, 1)


def test_a_first_pass_is_its_path_as_well(view):
    chains, _ = touched(view, policies={KEYS[1]: policy(Rule("Pass"))})
    assert chains == {
        *(("ip", f"tw-cali{n}") for n in "123"),
        ("ip", "group"),
        ("ip", "pi-gnp/b"),
        ("ip", "pri-kns.a"),  # reached now
    }


def test_one_more_endpoint_with_a_known_path_is_two_short_chains(view):
    chains, elements = touched(view, endpoints={named("4"): endpoint("cali4")})
    own = {(family, f"{way}-cali4") for family in ("ip", "ip6") for way in ("fw", "tw")}
    assert chains == {*own, ("arp", "arp-cali4")}
    assert elements == 5


def test_an_endpoint_with_limits_keeps_them_to_itself(view):
    limited = endpoint("cali1", qos=QosControls(egress_packet_rate=5))
    chains, _ = touched(view, endpoints={named("1"): limited})
    assert chains == {("ip", "fw-cali1"), ("ip6", "fw-cali1")}


def test_policies_come_into_use_and_fall_out_of_it(view):
    chains, _ = touched(view, endpoints={named("1"): endpoint("cali1", KEYS)})
    assert {("ip", "pi-gnp/d"), ("ip", "po-gnp/d")} < chains
    assert not {("ip6", "pi-gnp/d"), ("ip6", "po-gnp/d")} & chains, "there is no IPv6 address"
    six = endpoint("cali1", KEYS, ipv6_addresses=("fd00::1",))
    chains, _ = touched(view, endpoints={named("1"): six})
    assert {("ip6", f"p{way}-gnp/{name}") for way in "io" for name in "abcd"} < chains
    chains, _ = touched(view, endpoints={named("1"): None})
    assert {("ip", "pi-gnp/d"), ("ip6", "pi-gnp/a")} < chains
    assert ("ip", "pi-gnp/a") not in chains, "others still ask it"


def test_unused_policies_are_not_there(view):
    tables = rule_sets(Intent(policies=WORLD.policies, profiles=WORLD.profiles), RenderSettings())
    assert not any("-gnp/" in name or "-kns" in name for name in tables["ip"].chains)
    assert touched(view, policies={KEYS[3]: policy(Rule("Deny"))}) == (set(), 0)


def test_refusals(view):
    assert view.refusals == {}
    touched(view, ip_sets={"s:1": None})
    assert view.refusals == {(KEYS[0], "ingress"): "no set of addresses s:1"}
    touched(view, policies={KEYS[0]: policy()})
    assert view.refusals == {}


def test_hosts_are_excluded_once_they_are_known():
    view = RuleSets(RenderSettings(nat_exclude_hosts=True))
    view.feed(IntentDelta(pools={"10.0.0.0/8": Pool("10.0.0.0/8", nat_outgoing=True)}))
    view.flush()
    hosts = {"all-hosts-net": IpSet("address", frozenset({"192.0.2.1"}))}
    view.feed(IntentDelta(ip_sets=hosts))
    chains = {(f, name) for f, table in view.flush().items() for name in table.chains}
    assert chains == {("ip", "nat-cali-nat-outgoing")}


def test_one_family():
    view = RuleSets(RenderSettings(ipv6=False))
    view.feed(WORLD)
    assert set(view.flush()) == {"ip", "arp"}
    assert set(rule_sets(Intent(), RenderSettings(ipv6=False))) == {"ip", "arp"}


def test_the_tables_are_there_before_any_intent():
    deltas = RuleSets(RenderSettings()).flush()
    assert set(deltas) == {"ip", "ip6", "arp"}
    assert "filter-FORWARD" in deltas["ip"].chains


def test_by_interface():
    endpoints = {
        EndpointKey("k8s", "b/x", "eth0"): endpoint("cali1"),
        EndpointKey("cni", "c/x", "eth0"): endpoint("cali1", ()),
        EndpointKey("k8s", "a/x", "eth0"): endpoint("cali0"),
        EndpointKey("k8s", "a/y", "eth0"): endpoint("far-too-long-for-a-name"),
    }
    owners = by_interface(endpoints)
    assert list(owners) == ["cali0", "cali1"]
    assert owners["cali1"] == endpoint("cali1", ()), "cni before k8s"
