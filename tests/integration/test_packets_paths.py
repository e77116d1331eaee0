"""Whom a packet meets on its way, and in which order, asked of a real kernel."""

import pytest
from msgspec import structs

from calico.core.intent.endpoints import Tier, WorkloadEndpoint
from calico.core.intent.keys import EndpointKey, PolicyKey
from calico.core.intent.nat import Pool
from calico.core.intent.policies import Policy, Profile, Rule, Side
from calico.core.render.settings import RenderSettings
from calico.kernel import netns
from calico.kernel.run import run
from intents import OPEN, intent, pod, policies, tier
from packets import by_hand, icmp, icmp6, tcp, udp

pytestmark = pytest.mark.netns

DEFAULTS = RenderSettings()
ALLOW, DENY, PASS = Rule("Allow"), Rule("Deny"), Rule("Pass")
HTTP = Rule("Allow", protocol=6, destination=Side(ports=((80, 80),)))
LOG = Rule("Log", protocol=6, destination=Side(ports=((80, 80),)))
UNKNOWN_SET = Rule("Allow", source=Side(ip_sets=("s:nowhere",)))
POOL = {"10.65.0.0/16": Pool("10.65.0.0/16", nat_outgoing=True)}

RULES = {
    "nothing": (), "allow": (ALLOW,), "deny": (DENY,), "passes": (PASS,), "http": (HTTP,),
    "log": (LOG,), "broken": (UNKNOWN_SET, ALLOW), "passes_udp": (Rule("Pass", protocol=17),),
    "passes_then_deny": (PASS, DENY),
}  # fmt: skip
SIDES = {
    "ingress": policies(**{name: (rules, ()) for name, rules in RULES.items()}),
    "egress": policies(**{name: ((), rules) for name, rules in RULES.items()}),
}

MARKS_EVERYTHING = """
table ip others {
  chain marks { type filter hook prerouting priority -200; meta mark set 0xffffffff; }
}
"""


def t(*names, default="Deny", name="default"):
    return names, default, name


# tiers -> profiles -> does TCP to port 80 arrive; does UDP?
TIERS = {
    "no policy: the profile": ([], ("open",), True, True),
    "no policy, no profile: deny": ([], (), False, False),
    "one that allows": ([t("allow")], (), True, True),
    "one that denies": ([t("deny")], ("open",), False, False),
    "allowed in part, the end of the tier denies the rest": ([t("http")], ("open",), True, False),
    "no rules at all: the end of the tier denies": ([t("nothing")], ("open",), False, False),
    "the first match wins": ([t("http", "deny", "allow")], (), True, False),
    "and not a later one": ([t("deny", "allow")], (), False, False),
    "no match: the next policy": ([t("nothing", "http", "allow")], (), True, True),
    "log goes on": ([t("log", "http")], (), True, False),
    "the end of a tier may pass": ([t("http", default="Pass")], ("open",), True, True),
    "passed to a profile that is not there": ([t("nothing", default="Pass")], (), False, False),
    "pass leaves the tier": ([t("passes", "deny")], ("open",), True, True),
    "pass in part": ([t("passes_udp", "http")], ("open",), True, True),
    "pass in part, the rest is denied": ([t("passes_udp")], ("open",), False, True),
    "a rule after a pass is not reached": ([t("passes_then_deny")], ("open",), True, True),
    "pass to the next tier": ([t("passes"), t("http", name="two")], ("open",), True, False),
    "pass twice": ([t("passes"), t("passes", "deny", name="two")], ("open",), True, True),
    "a pass counts for its own tier": (
        [t("passes"), t("nothing", name="two", default="Deny")],
        ("open",),
        False,
        False,
    ),
    "a pass counts for its own tier, where others pass too": (
        [t("passes"), t("passes_udp", name="two")],
        ("open",),
        False,
        True,
    ),
    "accepted in the first tier, never asked in the second": (
        [t("http", default="Pass"), t("deny", name="two")],
        ("open",),
        True,
        False,
    ),
    "a tier without policies in this direction": ([t(name="empty")], ("open",), True, True),
    "a policy that is missing denies": ([t("missing", "allow")], ("open",), False, False),
    "unless another decided before": ([t("http", "missing", "allow")], ("open",), True, False),
    "a policy that cannot be rendered drops": ([t("broken", "allow")], ("open",), False, False),
    "unless another decided before it": ([t("http", "broken")], ("open",), True, False),
    "profiles in order": ([], ("http", "open"), True, True),
    "a profile that denies": ([], ("http", "closed", "open"), True, False),
    "a profile that passes": ([], ("passing", "http"), True, False),
    "a profile that is missing denies": ([], ("http", "missing", "open"), True, False),
}
PROFILES = {
    **OPEN,
    "http": Profile((HTTP,), (HTTP,)),
    "closed": Profile((DENY,), (DENY,)),
    "passing": Profile((PASS, DENY), (PASS, DENY)),
}


@pytest.mark.parametrize("why", TIERS)
@pytest.mark.parametrize("side", ["ingress", "egress"])
@pytest.mark.parametrize("version", [4, 6])
def test_tiers(net, why, side, version):
    tiers, profiles, tcp_arrives, udp_arrives = TIERS[why]
    judged = [tier(**{side: names}, default=end, name=name) for names, end, name in tiers]
    source, destination = pod(net, "a"), pod(net, "b", *judged, profiles=profiles)
    if side == "egress":
        source, destination = pod(net, "a", *judged, profiles=profiles), pod(net, "b")
    held = intent(source, destination, policies=SIDES[side], profiles=PROFILES)
    net.load(held, DEFAULTS)
    assert bool(net.sends("a", "b", tcp(80, version))) == tcp_arrives
    assert bool(net.sends("a", "b", udp(80, version))) == udp_arrives


@pytest.mark.parametrize("side", ["ingress", "egress"])
def test_marks_that_others_left_mean_nothing(net, side):
    judged = tier(**{side: ["http"]}, default="Pass"), tier(**{side: ["passes_udp"]}, name="two")
    source, destination = pod(net, "a"), pod(net, "b", *judged)
    if side == "egress":
        source, destination = pod(net, "a", *judged), pod(net, "b")
    net.load(intent(source, destination, policies=SIDES[side]), DEFAULTS)
    with netns.inside(net["node"].namespace):
        run(["nft", "-f", "-"], MARKS_EVERYTHING)
    try:
        assert net.sends("a", "b", tcp(80))
        assert not net.sends("a", "b", tcp(81))
        assert net.sends("a", "b", udp(80))
    finally:
        with netns.inside(net["node"].namespace):
            run(["nft", "delete table ip others"])


def test_staged_policies_do_not_count(net):
    staged = PolicyKey("StagedGlobalNetworkPolicy", "", "s")
    judged = Tier("default", "Deny", ingress=(staged,))
    held = intent(pod(net, "a"), pod(net, "b", judged), policies={staged: Policy("default")})
    net.load(held, DEFAULTS)
    assert net.sends("a", "b", tcp(80))


def test_both_ends_must_accept(net):
    both = policies(out=((), (HTTP,)), into=((HTTP,), ()))
    for ends, arrives in (
        ((pod(net, "a", tier(egress=["out"])), pod(net, "b", tier(["into"]))), (True, False)),
        ((pod(net, "a", profiles=()), pod(net, "b")), (False, False)),
        ((pod(net, "a"), pod(net, "b", profiles=())), (False, False)),
    ):
        net.load(intent(*ends, policies=both), DEFAULTS)
        assert (bool(net.sends("a", "b", tcp(80))), bool(net.sends("a", "b", udp(80)))) == arrives


@pytest.mark.parametrize("version", [4, 6])
def test_an_unknown_workload_neither_sends_nor_receives(net, version):
    net.load(intent(pod(net, "a")), DEFAULTS)
    for source, destination in (("x", "a"), ("a", "x"), ("x", "outside"), ("outside", "x")):
        assert not net.sends(source, destination, udp(9, version))
    assert not net.sends("x", "node", udp(9, version))
    net.load(intent(pod(net, "a"), pod(net, "x")), DEFAULTS)
    for source, destination in (("x", "a"), ("a", "x"), ("x", "outside"), ("outside", "x")):
        assert net.sends(source, destination, udp(9, version))


def test_an_unknown_workload_does_not_even_answer_the_host(net):
    net.load(intent(), DEFAULTS)
    assert net.sends("node", "x", udp(9)), "what the host sends is not judged"
    assert net.connect(net["node"], net["x"], tcp(80)) is None


def test_an_interface_that_is_too_long_poisons_nothing(net):
    bad = {EndpointKey("k8s", "shop/z", "eth0"): WorkloadEndpoint("cali-with-a-long-name")}
    net.load(intent(pod(net, "a"), pod(net, "b"), bad), DEFAULTS)
    assert net.sends("a", "b", tcp(80))


@pytest.mark.parametrize(
    ("action", "arrives"), [("Drop", False), ("Return", True), ("Accept", True)]
)
@pytest.mark.parametrize("version", [4, 6])
def test_to_the_host(net, action, arrives, version):
    settings = RenderSettings(endpoint_to_host_action=action)
    net.load(intent(pod(net, "a")), settings)
    assert bool(net.sends("a", "node", tcp(80, version))) == arrives
    net.load(intent(pod(net, "a", profiles=())), settings)
    assert not net.sends("a", "node", tcp(80, version)), "the policy is asked first"


@pytest.mark.parametrize("version", [4, 6])
def test_the_host_may_talk_to_its_workloads(net, version):
    net.load(intent(pod(net, "a", profiles=())), DEFAULTS)
    ends = net.connect(net["node"], net["a"], tcp(80, version))
    assert ends, "neither the request is judged, nor the answer, though nothing else may come back"
    assert not net.sends("a", "node", udp(9, version))


@pytest.mark.parametrize("action", ["Drop", "Accept"])
def test_a_family_without_addresses(net, action):
    (key, b), *_ = pod(net, "b").items()
    four_only = {key: structs.replace(b, ipv6_addresses=())}
    held = intent(pod(net, "a"), four_only)
    net.load(held, RenderSettings(endpoint_to_host_action=action))
    assert net.sends("a", "b", tcp(80))
    assert not net.sends("a", "b", tcp(80, version=6))
    assert not net.sends("b", "a", tcp(80, version=6))
    assert not net.sends("b", "node", tcp(80, version=6))
    assert net.sends("b", "node", icmp6(135)), "neighbours are found"
    assert net.sends("node", "b", tcp(80, version=6)), "and its host is answered"


def test_neighbour_discovery_reaches_the_host(net):
    net.load(intent(), DEFAULTS)
    for type_ in (130, 131, 132, 133, 135, 136):
        assert net.sends("x", "node", icmp6(type_)), type_
    for type_ in (128, 134, 137, 143):
        assert not net.sends("x", "node", icmp6(type_)), type_
    assert not net.sends("x", "a", icmp6(136)), "the host alone"
    assert not net.sends("x", "node", icmp(8)), "version 6 alone"


def test_nobody_sends_under_anothers_address(net):
    net.load(intent(pod(net, "a"), pod(net, "b")), DEFAULTS)
    assert net.sends("a", "b", by_hand("udp", 9, source_ip="10.65.0.10"))
    for stolen in ("10.65.0.12", "192.0.2.2", "10.65.0.11", "8.8.8.8"):
        assert not net.sends("a", "b", by_hand("udp", 9, source_ip=stolen)), stolen
        assert not net.sends("a", "outside", by_hand("udp", 9, source_ip=stolen)), stolen


@pytest.mark.parametrize("configured", [True, False])
def test_save_those_who_may(net, configured):
    prefixes = ("203.0.113.0/28", "fd99::/64", "nonsense")
    held = intent(pod(net, "a", allowed_source_prefixes=prefixes), pod(net, "b"))
    net.load(held, RenderSettings(source_spoofing=configured))
    assert net.sends("a", "b", by_hand("udp", 9, source_ip="203.0.113.7")) == configured
    assert not net.sends("a", "b", by_hand("udp", 9, source_ip="203.0.113.17"))
    assert not net.sends("b", "a", by_hand("udp", 9, source_ip="203.0.113.7"))


def test_a_connection_outlives_the_policy_that_let_it_in(net):
    pods = pod(net, "a"), pod(net, "b", tier(["p"]))
    net.load(intent(*pods, policies=policies(p=((HTTP,), ()))), DEFAULTS)
    ends = net.connect(net["a"], net["b"], tcp(80))
    assert ends
    net.load(intent(*pods, policies=policies(p=((DENY,), ()))), DEFAULTS)
    assert net.carries(ends, "a", "b")
    assert net.carries(ends[::-1], "b", "a")
    assert net.connect(net["a"], net["b"], tcp(81)) is None


def test_invalid_packets(net):
    held = intent(pod(net, "a"), pod(net, "b"))
    net.load(held, DEFAULTS)
    broken = by_hand("tcp", 80)  # the bytes are a UDP header: no valid TCP header
    assert not net.sends("a", "b", broken)
    net.load(
        intent(pod(net, "a"), pod(net, "b")), RenderSettings(disable_conntrack_invalid_check=True)
    )
    assert net.sends("a", "b", broken)


def test_tunnelled_packets_are_not_for_workloads_to_send(net):
    held = intent(pod(net, "a"), pod(net, "b"))
    net.load(held, DEFAULTS)
    assert not net.sends("a", "b", udp(4789))
    assert not net.sends("a", "b", by_hand("ipip"))
    assert net.sends("outside", "b", udp(4789)), "to receive them is theirs"
    net.load(held, RenderSettings(vxlan_port=5000))
    assert net.sends("a", "b", udp(4789))
    assert not net.sends("a", "b", udp(5000))
    net.load(held, RenderSettings(allow_vxlan_from_workloads=True, allow_ipip_from_workloads=True))
    assert net.sends("a", "b", udp(4789))
    assert net.sends("a", "b", by_hand("ipip"))


def test_the_smaller_key_has_the_interface(net):
    first = pod(net, "b")
    (endpoint,) = pod(net, "b", profiles=()).values()
    second = {EndpointKey("k8s", "shop/bb", "eth0"): endpoint}
    net.load(intent(pod(net, "a"), first, second), DEFAULTS)
    assert net.sends("a", "b", tcp(80))
    third = {EndpointKey("cni", "shop/z", "eth0"): endpoint}
    net.load(intent(pod(net, "a"), first, third), DEFAULTS)
    assert not net.sends("a", "b", tcp(80))
