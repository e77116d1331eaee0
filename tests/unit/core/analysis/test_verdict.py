"""The evaluation model: order, ends of tiers, profiles, and the two directions together."""

import pytest

from calico.core.analysis.explain import explain, reason, sentence
from calico.core.analysis.packet import TCP, UDP, Packet, connection, echo_request
from calico.core.analysis.trace import (
    Encapsulated,
    MissingProfile,
    NothingAllowed,
    ProfileStep,
    RuleStep,
    TierEnd,
)
from calico.core.analysis.verdict import endpoint_of, judge, verdict
from calico.core.intent.delta import Intent
from calico.core.intent.endpoints import Tier, WorkloadEndpoint
from calico.core.intent.keys import EndpointKey, PolicyKey
from calico.core.intent.policies import Policy, Profile, Rule, Side

WEB = EndpointKey("k8s", "shop/web", "eth0")
DB = EndpointKey("k8s", "shop/db", "eth0")
TCP_80 = connection("10.0.1.1", "10.0.0.1", TCP, 80)
ALLOW, DENY, PASS, LOG = (Rule(action) for action in ("Allow", "Deny", "Pass", "Log"))
NEVER = Rule("Allow", source=Side(nets=("203.0.113.0/24",)))


def key(name, kind="NetworkPolicy"):
    return PolicyKey(kind, "shop", name)


def node(policies=None, tiers=(), profiles=(), existing=None):
    """One node with one workload, `shop/web` at 10.0.0.1."""
    return Intent(
        policies={
            key(name): Policy("t", ingress=rules) for name, rules in (policies or {}).items()
        },
        profiles={name: Profile(ingress=rules) for name, rules in (existing or {}).items()},
        endpoints={WEB: WorkloadEndpoint("cali1", ("10.0.0.1",), tiers=tiers, profiles=profiles)},
    )


def tier(name, *policies, default="Deny"):
    return Tier(name, default, ingress=tuple(key(p) for p in policies))


ALLOW_ALL = {"allow": (ALLOW,)}
WORLDS = [
    ("no policy and no profile", node(), NothingAllowed()),
    ("first rule that matches", node({"a": (NEVER, ALLOW, DENY)}, (tier("t", "a"),)),
     RuleStep("t", key("a"), 1, "Allow")),
    ("log goes on", node({"a": (LOG, DENY)}, (tier("t", "a"),)),
     RuleStep("t", key("a"), 1, "Deny")),
    ("the next policy of the tier", node({"a": (NEVER,), "b": (ALLOW,)}, (tier("t", "a", "b"),)),
     RuleStep("t", key("b"), 0, "Allow")),
    ("end of tier denies, also before other tiers",
     node({"a": (NEVER,), "b": (ALLOW,)}, (tier("t", "a"), tier("u", "b"))), TierEnd("t", "Deny")),
    ("a policy without rules still closes its tier", node({"a": ()}, (tier("t", "a"),)),
     TierEnd("t", "Deny")),
    ("end of tier passes",
     node({"a": (NEVER,), "b": (ALLOW,)}, (tier("t", "a", default="Pass"), tier("u", "b"))),
     RuleStep("u", key("b"), 0, "Allow")),
    ("pass leaves the tier at once",
     node({"a": (PASS, DENY), "b": (DENY,), "c": (ALLOW,)}, (tier("t", "a", "b"), tier("u", "c"))),
     RuleStep("u", key("c"), 0, "Allow")),
    ("pass out of the last tier reaches the profiles",
     node({"a": (PASS,)}, (tier("t", "a"),), ("p",), {"p": (ALLOW,)}),
     ProfileStep("p", 0, "Allow")),
    ("profiles are not reached past a tier that applies",
     node({"a": (NEVER,)}, (tier("t", "a"),), ("p",), {"p": (ALLOW,)}), TierEnd("t", "Deny")),
    ("a tier without a policy in this direction does nothing",
     node({}, (Tier("t", "Deny", egress=(key("a"),)),), ("p",), {"p": (ALLOW,)}),
     ProfileStep("p", 0, "Allow")),
    ("profiles in order; pass tries the next",
     node({}, (), ("p", "q"), {"p": (PASS, DENY), "q": (DENY,)}), ProfileStep("q", 0, "Deny")),
    ("no rule of a profile matched: the next profile",
     node({}, (), ("p", "q"), {"p": (NEVER,), "q": (ALLOW,)}), ProfileStep("q", 0, "Allow")),
    ("a missing profile denies, also before one that allows",
     node({}, (), ("gone", "p"), {"p": (ALLOW,)}), MissingProfile("gone")),
    ("nothing after the last profile", node({}, (), ("p",), {"p": (PASS,)}), NothingAllowed()),
    ("staged policies are not in force, nor do they close a tier",
     Intent(
         profiles={"p": Profile(ingress=(ALLOW,))},
         endpoints={WEB: WorkloadEndpoint(
             "cali1", ("10.0.0.1",), profiles=("p",),
             tiers=(Tier("t", "Deny", ingress=(key("a", "StagedNetworkPolicy"),)),))},
     ), ProfileStep("p", 0, "Allow")),
]  # fmt: skip


@pytest.mark.parametrize(("why", "world", "last"), WORLDS, ids=[w[0] for w in WORLDS])
def test_decided_by(why, world, last):
    judgement = judge(TCP_80, WEB, "ingress", world)
    assert judgement.reason == last
    assert judgement.action == ("Allow" if last.outcome == "Allow" else "Deny")


def test_every_rule_tried_is_told_with_what_did_not_hold():
    world = node({"a": (NEVER,), "b": (ALLOW,)}, (tier("t", "a", "b"),))
    first, second = judge(TCP_80, WEB, "ingress", world).steps
    assert first == RuleStep("t", key("a"), 0, "next", "source.nets")
    assert sentence(first) == (
        "rule 1 of NetworkPolicy shop/a (tier t) does not match (source.nets)"
    )
    assert sentence(second) == "rule 1 of NetworkPolicy shop/b (tier t) allows it"


@pytest.mark.parametrize(
    "packet", [Packet("10.0.0.1", "10.0.9.9", 4), Packet("10.0.0.1", "10.0.9.9", UDP, 4789)]
)
def test_workloads_send_no_tunnel_packets(packet):
    world = Intent(
        profiles={"p": Profile(ingress=(ALLOW,), egress=(ALLOW,))},
        endpoints={WEB: WorkloadEndpoint("cali1", ("10.0.0.1",), profiles=("p",))},
    )
    assert judge(packet, WEB, "egress", world).reason == Encapsulated()
    assert judge(packet, WEB, "ingress", world).action == "Allow"


def two_nodes(egress, ingress):
    sending = Intent(
        profiles={"p": Profile(egress=(egress,))},
        endpoints={DB: WorkloadEndpoint("cali2", ("10.0.1.1",), ("fd00::1",), profiles=("p",))},
    )
    receiving = Intent(
        profiles={"p": Profile(ingress=(ingress,))},
        endpoints={WEB: WorkloadEndpoint("cali1", ("10.0.0.1",), ("fd00::2",), profiles=("p",))},
    )
    return sending, receiving


@pytest.mark.parametrize("packet", [TCP_80, echo_request("fd00::1", "fd00::2")])
@pytest.mark.parametrize("egress", [ALLOW, DENY])
@pytest.mark.parametrize("ingress", [ALLOW, DENY])
def test_both_ends_must_allow(packet, egress, ingress):
    answer = verdict(packet, *two_nodes(egress, ingress))
    assert answer.action == ("Allow" if (egress, ingress) == (ALLOW, ALLOW) else "Deny")
    assert (answer.ingress is None) == (egress is DENY), "ingress is not asked after a denial"
    decisive = answer.egress if egress is DENY else answer.ingress
    assert answer.reason == decisive.reason
    assert reason(answer).startswith(decisive.direction)


def test_ends_without_policy():
    sending, receiving = two_nodes(DENY, DENY)
    assert verdict(TCP_80, None, receiving).action == "Deny", "from outside: ingress alone"
    assert verdict(TCP_80, None, two_nodes(DENY, ALLOW)[1]).action == "Allow"
    assert verdict(TCP_80, sending, None).action == "Deny", "to the outside: egress alone"
    assert verdict(TCP_80, None, None).action == "Allow"


def test_a_node_and_its_own_workloads():
    allowing, denying = two_nodes(ALLOW, ALLOW)[0], two_nodes(DENY, DENY)[1]
    to_workload = connection("192.0.2.1", "10.0.0.1", TCP, 80)
    assert verdict(to_workload, denying, denying).action == "Allow"
    to_node = connection("10.0.1.1", "192.0.2.1", TCP, 22)
    assert verdict(to_node, allowing, allowing).action == "Deny"
    assert "node" in reason(verdict(to_node, allowing, allowing))
    accepting = verdict(to_node, allowing, allowing, "Allow")
    assert accepting.action == "Allow"
    assert "accepts" in reason(accepting)
    judged_first = connection("10.0.1.1", "192.0.2.1", TCP, 22)
    sending = two_nodes(DENY, ALLOW)[0]
    assert verdict(judged_first, sending, sending, "Allow").action == "Deny", "egress comes first"
    assert verdict(to_node, allowing, denying).action == "Allow", "another node is the world"


def test_a_workload_reaches_itself_whatever_the_policy():
    world = two_nodes(DENY, DENY)[0]
    itself = connection("10.0.1.1", "10.0.1.1", TCP, 80)
    assert verdict(itself, world, world).action == "Allow"


def test_endpoints_are_found_by_any_of_their_addresses():
    world = two_nodes(DENY, DENY)[0]
    assert endpoint_of("10.0.1.1", world) == endpoint_of("fd00::1", world) == DB
    assert endpoint_of("10.0.1.2", world) is None


def test_explain_lists_what_applies_in_order():
    world = node(
        {"a": (NEVER,), "b": (ALLOW,)},
        (Tier("other", "Deny", egress=(key("a"),)), tier("t", "b", "a", default="Pass")),
        ("p", "gone"),
        {"p": (DENY,)},
    )
    told = explain(WEB, "ingress", world)
    assert [(t.name, t.default_action) for t in told.tiers] == [("t", "Pass")]
    assert [(p.key, p.rules) for p in told.tiers[0].policies] == [
        (key("b"), (ALLOW,)),
        (key("a"), (NEVER,)),
    ]
    assert [(p.name, p.rules) for p in told.profiles] == [("p", (DENY,)), ("gone", None)]
