import pytest

from calico.core.intent.keys import PolicyKey
from calico.core.intent.policies import IcmpMatch, Policy, Profile, Rule, Side
from calico.core.nftables.vocabulary import (
    Chain,
    Counter,
    Is,
    Limit,
    Log,
    Reject,
    SetMark,
    Verdict,
)
from calico.core.nftables.vocabulary import Rule as KernelRule
from calico.core.render.names import ProfileKey
from calico.core.render.rules import has_pass, held_rules, judge, judge_chain
from calico.core.render.settings import RenderSettings

KEY = PolicyKey("NetworkPolicy", "shop", "web")
COUNT = Counter()
DEFAULTS = RenderSettings()


def chain(*rules, key=KEY, direction="ingress", family="ip", settings=DEFAULTS, kinds=None):
    held = Policy("gold", rules, rules) if isinstance(key, PolicyKey) else Profile(rules, rules)
    kinds = kinds or {}
    return judge_chain(judge(key, held, direction, kinds), family, kinds, settings)


@pytest.mark.parametrize(
    ("why", "rendered", "expected"),
    [
        ("ingress allows by itself", chain(Rule("Allow")), (COUNT, Verdict("accept"))),
        (
            "egress leaves a mark",
            chain(Rule("Allow"), direction="egress"),
            (COUNT, SetMark(0x10000, 0x10000), Verdict("return")),
        ),
        ("deny", chain(Rule("Deny")), (COUNT, Verdict("drop"))),
        (
            "deny may refuse",
            chain(Rule("Deny"), settings=RenderSettings(filter_deny_action="Reject")),
            (COUNT, Reject()),
        ),
        (
            "pass leaves another mark",
            chain(Rule("Pass")),
            (COUNT, SetMark(0x20000, 0x20000), Verdict("return")),
        ),
        (
            "a profile's pass just returns",
            chain(Rule("Pass"), key=ProfileKey("kns.shop")),
            (COUNT, Verdict("return")),
        ),
        (
            "log counts what it logs",
            chain(Rule("Log"), settings=RenderSettings(log_limit=Limit(3))),
            (Limit(3), COUNT, Log("calico-packet: ", 6)),
        ),
        ("no rules", chain(), (COUNT,)),
        ("no rules in this family", chain(Rule("Deny", 6)), (COUNT,)),
    ],
)
def test_actions(why, rendered, expected):
    assert [rule.expressions for rule in rendered.rules] == [expected], why


def test_comments():
    annotated = Rule("Allow", not_icmp=IcmpMatch(3, 1), annotations=(("by", "me"),))
    first, second, third = chain(annotated, Rule("Deny")).rules
    assert first.comment == "NetworkPolicy shop/web ingress by=me"
    assert second.comment == "by=me"
    assert third.comment == ""
    (empty,) = chain(key=PolicyKey("GlobalNetworkPolicy", "", "x"), direction="egress").rules
    assert empty.comment == "GlobalNetworkPolicy x egress"
    (profile,) = chain(Rule("Allow"), key=ProfileKey("kns.shop")).rules
    assert profile.comment == "Profile kns.shop ingress"


def test_a_policy_that_cannot_be_rendered_drops():
    rendered = chain(Rule("Allow"), Rule("Allow", source=Side(ip_sets=("s:gone",))))
    text = "NetworkPolicy shop/web ingress cannot be rendered: no set of addresses s:gone"
    assert rendered == Chain((KernelRule((COUNT, Verdict("drop")), text),))


def test_the_other_direction_is_not_concerned():
    broken = Policy("t", (Rule("Allow", source=Side(nets=("x",))),), (Rule("Allow"),))
    assert judge(KEY, broken, "ingress", {}).refusal == "not a CIDR x"
    assert judge(KEY, broken, "egress", {}).refusal == ""


@pytest.mark.parametrize(
    ("prefix", "key", "expected"),
    [
        ("calico-packet", KEY, "calico-packet: "),
        ("", KEY, "calico-packet: "),
        ("%t %k %n %p %x", KEY, "gold np web shop/web %x: "),
        ("%t %k %n %p", PolicyKey("GlobalNetworkPolicy", "", "all"), "gold gnp all all: "),
        ("%t%k %n %p", ProfileKey("kns.shop"), "pro kns.shop kns.shop: "),
        ("x" * 200, KEY, "x" * 127),
    ],
)
def test_log_prefix(prefix, key, expected):
    rendered = chain(Rule("Log"), key=key, settings=RenderSettings(log_prefix=prefix))
    assert rendered.rules[0].expressions[-1] == Log(expected, 6)


def test_tests_come_before_the_action():
    rendered = chain(Rule("Deny", protocol=6, source=Side(nets=("10.0.0.0/8",))))
    tests = (Is("l4proto", 6), Is("saddr", "10.0.0.0/8"))
    assert rendered.rules[0].expressions == (*tests, COUNT, Verdict("drop"))


def test_has_pass():
    policy = Policy("t", (Rule("Allow"), Rule("Pass")), (Rule("Allow"),))
    assert has_pass(policy, "ingress")
    assert not has_pass(policy, "egress")


def test_held_rules():
    policy, profile = Policy("t"), Profile()
    assert held_rules(KEY, {KEY: policy}, {}) is policy
    assert held_rules(ProfileKey("a"), {}, {"a": profile}) is profile
    assert held_rules(ProfileKey("b"), {}, {"a": profile}) is None
