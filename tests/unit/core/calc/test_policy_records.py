"""Where records stand and what they say."""

from math import inf

import pytest

from calico.core.calc.applied_policies import TierPlacement
from calico.core.calc.policy_records import (
    is_needed_everywhere,
    placement,
    policy_rules,
    profile_rules,
    tier_placement,
)
from calico.core.intent.policies import Policy, Profile, Rule
from calico.core.model import rule as model
from calico.core.model.metadata import Metadata
from calico.core.model.policy import (
    GlobalNetworkPolicy,
    GlobalNetworkPolicySpec,
    NetworkPolicy,
    NetworkPolicySpec,
)
from calico.core.model.profile import Profile as ProfileRecord
from calico.core.model.profile import ProfileSpec
from calico.core.model.tier import Tier, TierSpec

ALLOW = (model.Rule(action="Allow"),)
UNREADABLE = (model.Rule(action="Allow", source=model.EntityRule(selector="a ==")),)


def policy(**parts):
    metadata = Metadata(name="p", namespace="shop")
    return NetworkPolicy(metadata=metadata, spec=NetworkPolicySpec(**parts))


def global_policy(**parts):
    return GlobalNetworkPolicy(metadata=Metadata(name="p"), spec=GlobalNetworkPolicySpec(**parts))


def test_placement_of_a_bare_policy():
    found = placement(policy())
    assert (found.tier, found.order, found.ingress, found.egress) == ("default", inf, True, True)


@pytest.mark.parametrize(
    ("types", "ingress", "egress"),
    [
        ((), True, True),
        (("Ingress",), True, False),
        (("egress",), False, True),
        (("Egress", "Ingress"), True, True),
    ],
)
def test_directions(types, ingress, egress):
    found = placement(policy(types=types))
    assert (found.ingress, found.egress) == (ingress, egress)
    rules = policy_rules(policy(types=types, ingress=ALLOW, egress=ALLOW)).policy
    assert (bool(rules.ingress), bool(rules.egress)) == (ingress, egress)


@pytest.mark.parametrize("flag", ["do_not_track", "pre_dnat"])
def test_policies_that_never_concern_workloads(flag):
    record = global_policy(**{flag: True}, performance_hints=("AssumeNeededOnEveryNode",))
    assert placement(record) is None
    assert not is_needed_everywhere(record)


def test_an_unreadable_selector_selects_nothing():
    assert placement(policy(selector="a ==")) is None
    assert placement(global_policy(namespace_selector="a ==")) is None


def test_unreadable_rules_deny():
    assert policy_rules(policy(ingress=UNREADABLE, egress=ALLOW)).policy == Policy(
        "default", (Rule("Deny"),), (Rule("Allow"),)
    )
    record = ProfileRecord(spec=ProfileSpec(ingress=ALLOW, egress=UNREADABLE))
    assert profile_rules(record).profile == Profile((Rule("Allow"),), (Rule("Deny"),))


def test_a_missing_profile_denies_both_ways():
    assert profile_rules(None).profile == Profile((Rule("Deny"),), (Rule("Deny"),))


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (TierSpec(), TierPlacement(inf, "Deny")),
        (TierSpec(5.0, "Pass"), TierPlacement(5.0, "Pass")),
        (TierSpec(5.0, "Allow"), TierPlacement(5.0, "Deny")),
    ],
)
def test_tiers(spec, expected):
    assert tier_placement(Tier(spec=spec)) == expected
