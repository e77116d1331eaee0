import pytest

from calico.core.intent.endpoints import Tier, WorkloadEndpoint
from calico.core.intent.keys import PolicyKey
from calico.core.intent.policies import Policy, Rule
from calico.core.render.names import ProfileKey
from calico.core.render.paths import Path, Step, TierPath, is_served, path

A, B, C = (PolicyKey("GlobalNetworkPolicy", "", name) for name in "abc")
STAGED = PolicyKey("StagedNetworkPolicy", "shop", "s")
POLICIES = {
    A: Policy("t", (Rule("Allow"),), (Rule("Pass"),)),
    B: Policy("t", (Rule("Pass"),), (Rule("Allow"),)),
    STAGED: Policy("t", (Rule("Pass"),)),
}
PROFILES = {"kns.a": None, "ksa.a.b": None}
KNS, KSA = Step(ProfileKey("kns.a"), known=True), Step(ProfileKey("ksa.a.b"), known=True)
ASK_A, PASS_B = Step(A, known=True), Step(B, known=True, may_pass=True)
NO_C = Step(C, known=False)


def walk(*tiers, profiles=("kns.a", "ksa.a.b")):
    return path(
        WorkloadEndpoint("cali1", tiers=tiers, profiles=profiles), "ingress", POLICIES, PROFILES
    )


def ingress(*tiers, profiles=()):
    return Path("ingress", tiers, profiles)


@pytest.mark.parametrize(
    ("why", "walked", "expected"),
    [
        ("no tiers: the profiles", walk(), ingress(profiles=(KNS, KSA))),
        (
            "denied at the end of the tier: nothing after it",
            walk(Tier("t", "Deny", (A,)), Tier("u", "Deny", (B,))),
            ingress(TierPath("t", "Deny", (ASK_A,))),
        ),
        (
            "the end passes: go on",
            walk(Tier("t", "Pass", (A,))),
            ingress(TierPath("t", "Pass", (ASK_A,)), profiles=(KNS, KSA)),
        ),
        (
            "a policy may pass: go on",
            walk(Tier("t", "Deny", (A, B))),
            ingress(TierPath("t", "Deny", (ASK_A, PASS_B)), profiles=(KNS, KSA)),
        ),
        (
            "no policy in this direction: no tier",
            walk(Tier("t", "Deny", (), (A,)), profiles=()),
            ingress(),
        ),
        (
            "staged policies alone: no tier",
            walk(Tier("t", "Deny", (STAGED,)), profiles=()),
            ingress(),
        ),
        (
            "a missing policy ends its tier, and what a pass does not reach",
            walk(Tier("t", "Pass", (C, A)), Tier("u", "Deny", (A,))),
            ingress(TierPath("t", "Pass", (NO_C,))),
        ),
        (
            "a missing policy after one that may pass",
            walk(Tier("t", "Deny", (B, C, A)), profiles=()),
            ingress(TierPath("t", "Deny", (PASS_B, NO_C))),
        ),
        (
            "a missing profile ends the list",
            walk(profiles=("kns.a", "gone", "ksa.a.b")),
            ingress(profiles=(KNS, Step(ProfileKey("gone"), known=False))),
        ),
    ],
)
def test_path(why, walked, expected):
    assert walked == expected, why


def test_direction():
    endpoint = WorkloadEndpoint("cali1", tiers=(Tier("t", "Deny", (), (A,)),), profiles=("kns.a",))
    asked = path(endpoint, "egress", POLICIES, PROFILES)
    may_pass = Step(A, known=True, may_pass=True)
    assert asked == Path("egress", (TierPath("t", "Deny", (may_pass,)),), (KNS,))
    assert asked.steps == (may_pass, KNS)


def test_group_chain():
    one = ingress(TierPath("t", "Deny", (ASK_A, PASS_B)), profiles=(KNS,))
    other = ingress(TierPath("t", "Pass", (ASK_A, PASS_B)), profiles=(KNS,))
    assert not one.is_inline
    assert ingress(profiles=(KNS, KSA)).is_inline
    assert one.group_chain != other.group_chain
    assert one.group_chain.startswith("filter-cali-gi-")
    assert Path("egress", one.tiers, one.profiles).group_chain.startswith("filter-cali-go-")
    assert len(one.group_chain) == len("filter-cali-gi-") + 20


@pytest.mark.parametrize(
    ("endpoint", "families"),
    [
        (WorkloadEndpoint("cali1", ("10.0.0.1",), ("fd00::1",)), {"ip", "ip6"}),
        (WorkloadEndpoint("cali1", ("10.0.0.1",)), {"ip"}),
        (WorkloadEndpoint("cali1", (), ("fd00::1",)), {"ip6"}),
        (WorkloadEndpoint("cali1", (), (), allowed_source_prefixes=("fd00::/64",)), {"ip6"}),
        (WorkloadEndpoint("cali1"), set()),
    ],
)
def test_is_served(endpoint, families):
    assert {family for family in ("ip", "ip6") if is_served(endpoint, family)} == families
