"""Policies, profiles and tiers as people write them -> where they stand and what they say.

    record --> placement: what it selects, its tier, order and directions     applied_policies.py
           --> rules, and the IP sets that they refer to                      active_rules.py

Policies that are doNotTrack or preDNAT never concern workloads, so they have no placement. A
record whose rules cannot be read denies everything: the checks in front of the datastore let no
such record through, and if one came through after all, this is the safe reading.

Source: policy-semantics 3.3, 3.5.1; datastore-etcd 1.6.
"""

from collections.abc import Sequence
from math import inf
from typing import NamedTuple, TypeAlias

from calico.core.calc.applied_policies import Placement, TierPlacement
from calico.core.calc.rule_conversion import Converted, converted_rules
from calico.core.calc.selector_texts import (
    global_network_policy_selector,
    network_policy_selector,
)
from calico.core.calc.set_specs import SetSpec
from calico.core.intent import policies as intent
from calico.core.model.policy import GlobalNetworkPolicy, NetworkPolicy
from calico.core.model.profile import Profile, ProfileSpec
from calico.core.model.rule import Rule
from calico.core.model.tier import DEFAULT_TIER, Tier
from calico.core.selector.parser import SelectorError, parse_selector

PolicyRecord: TypeAlias = NetworkPolicy | GlobalNetworkPolicy

EVERY_NODE = "AssumeNeededOnEveryNode"
DEFAULT_ALLOW = "projectcalico-default-allow"  # a profile that exists without being stored
ALLOW_EVERYTHING = Profile(
    spec=ProfileSpec(ingress=(Rule(action="Allow"),), egress=(Rule(action="Allow"),))
)
NOTHING = Converted((), ())
DENY = Converted((intent.Rule("Deny"),), ())


class PolicyRules(NamedTuple):
    """A policy as the kernel side sees it, and the sets of its rules."""

    policy: intent.Policy
    sets: tuple[SetSpec, ...]


class ProfileRules(NamedTuple):
    """A profile as the kernel side sees it, and the sets of its rules."""

    profile: intent.Profile
    sets: tuple[SetSpec, ...]


def placement(record: PolicyRecord) -> Placement | None:
    """Return where a policy stands for workloads; None if it never concerns them."""
    try:
        text = _selector_text(record)
        selector = None if text is None else parse_selector(text)
    except SelectorError:
        return None
    if selector is None:
        return None
    spec = record.spec
    return Placement(
        selector=selector,
        tier=spec.tier or DEFAULT_TIER,
        order=inf if spec.order is None else spec.order,
        ingress=_governs(record, "ingress"),
        egress=_governs(record, "egress"),
    )


def _selector_text(record: PolicyRecord) -> str | None:
    if isinstance(record, NetworkPolicy):
        return network_policy_selector(record.metadata.namespace, record.spec)
    if record.spec.do_not_track or record.spec.pre_dnat:
        return None
    return global_network_policy_selector(record.spec)


def _governs(record: PolicyRecord, direction: str) -> bool:
    types = record.spec.types
    # An empty list is old data, and means both.
    return not types or any(name.lower() == direction for name in types)


def is_needed_everywhere(record: PolicyRecord) -> bool:
    """Tell whether each node should have the rules, whether it uses them or not."""
    return EVERY_NODE in record.spec.performance_hints and placement(record) is not None


def policy_rules(record: PolicyRecord) -> PolicyRules:
    """Return the rules of the directions that a policy governs."""
    namespace, spec = record.metadata.namespace, record.spec
    ingress = _converted(spec.ingress, namespace) if _governs(record, "ingress") else NOTHING
    egress = _converted(spec.egress, namespace) if _governs(record, "egress") else NOTHING
    policy = intent.Policy(spec.tier or DEFAULT_TIER, ingress.rules, egress.rules)
    return PolicyRules(policy, ingress.sets + egress.sets)


def _converted(rules: Sequence[Rule], namespace: str) -> Converted:
    try:
        return converted_rules(rules, namespace)
    except ValueError:
        return DENY


def profile_rules(record: Profile | None) -> ProfileRules:
    """Return the rules of a profile. One that is missing denies; it hides those after it."""
    if record is None:
        return ProfileRules(intent.Profile(DENY.rules, DENY.rules), ())
    ingress = _converted(record.spec.ingress, "")
    egress = _converted(record.spec.egress, "")
    return ProfileRules(intent.Profile(ingress.rules, egress.rules), ingress.sets + egress.sets)


def tier_placement(record: Tier) -> TierPlacement:
    """Return where a tier stands. Whatever is not Pass acts as Deny."""
    order = inf if record.spec.order is None else record.spec.order
    return TierPlacement(order, "Pass" if record.spec.default_action == "Pass" else "Deny")
