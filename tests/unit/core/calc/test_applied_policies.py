"""The order in which policies are asked: what definition and class share, from the source."""

from math import inf

import pytest

from calico.core.calc.applied_policies import (
    AppliedPolicies,
    Placement,
    TierPlacement,
    applied_tiers,
)
from calico.core.calc.labels import labelled
from calico.core.intent.endpoints import Tier
from calico.core.intent.keys import EndpointKey, PolicyKey
from calico.core.selector.ast import All, Has


def key(name, namespace="n", kind="NetworkPolicy"):
    return PolicyKey(kind, namespace, name)


def order_of(policies, tiers):
    placements = {k: Placement(All(), tier, order) for k, tier, order in reversed(policies)}
    placed = {name: TierPlacement(order) for name, order in tiers.items()}
    return [k for tier in applied_tiers({}, placements, placed) for k in tier.ingress]


@pytest.mark.parametrize(
    ("why", "tiers", "policies"),
    [
        ("tiers by order", {"z": 1.0, "a": 2.0}, [(key("p"), "z", inf), (key("q"), "a", 0.0)]),
        (
            "tiers without order last",
            {"z": 1.0, "a": inf},
            [(key("p"), "z", 1.0), (key("q"), "a", 1.0)],
        ),
        ("equal tiers by name", {"a": 1.0, "z": 1.0}, [(key("q"), "a", 2.0), (key("p"), "z", 1.0)]),
        (
            "unknown tiers after known ones",
            {"z": inf},
            [(key("p"), "z", 1.0), (key("q"), "a", 1.0)],
        ),
        ("unknown tiers by name", {}, [(key("q"), "a", 9.0), (key("p"), "z", 1.0)]),
        ("policies by order", {}, [(key("z"), "t", 1.0), (key("a"), "t", 2.0)]),
        ("policies without order last", {}, [(key("z"), "t", 1.0), (key("a"), "t", inf)]),
        ("equal policies by name", {}, [(key("a"), "t", 1.0), (key("b"), "t", 1.0)]),
        ("'-' before the end of a name", {}, [(key("a-b"), "t", 1.0), (key("a"), "t", 1.0)]),
        ("'.' before the end of a name", {}, [(key("a.b"), "t", 1.0), (key("a"), "t", 1.0)]),
        ("then by namespace", {}, [(key("a", ""), "t", 1.0), (key("a", "n"), "t", 1.0)]),
        (
            "then by kind",
            {},
            [(key("a", "n", "A"), "t", 1.0), (key("a", "n", "B"), "t", 1.0)],
        ),
    ],
)
def test_order(why, tiers, policies):
    assert order_of(policies, tiers) == [k for k, _, _ in policies], why


def test_tiers_hold_the_directions_of_what_matches():
    placements = {
        key("both"): Placement(All(), "t", 1.0),
        key("in"): Placement(All(), "t", 2.0, egress=False),
        key("out"): Placement(All(), "u", 1.0, ingress=False),
        key("other"): Placement(Has("a"), "v", 1.0),
    }
    tiers = {"t": TierPlacement(1.0, "Pass"), "v": TierPlacement(2.0, "Pass")}
    assert applied_tiers({}, placements, tiers) == (
        Tier("t", "Pass", ingress=(key("both"), key("in")), egress=(key("both"),)),
        Tier("u", "Deny", egress=(key("out"),)),
    )


def test_a_profile_gives_and_takes():
    view, endpoint, policy = AppliedPolicies(), EndpointKey("k8s", "n/w", "eth0"), key("p")
    view.set_endpoint(endpoint, labelled({}, ("profile",)))
    view.set_policy(policy, Placement(Has("a"), "t"))
    assert view.flush() == ({endpoint: ()}, {})
    view.set_profile("profile", {"a": "1"})
    assert view.flush() == ({endpoint: (Tier("t", "Deny", (policy,), (policy,)),)}, {policy: True})
    view.set_profile("profile", None)
    assert view.flush() == ({endpoint: ()}, {policy: None})
