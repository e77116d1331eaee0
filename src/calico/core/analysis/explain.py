"""What applies to one endpoint, in order; and each step of a trace in a sentence.

Intent + endpoint + direction --> explain --> tiers, policies, rules, profiles
Step --> sentence --> "rule 2 of NetworkPolicy shop/web (tier default) allows it"
"""

from typing import assert_never

from msgspec import Struct

from calico.core.analysis.trace import (
    Direction,
    Encapsulated,
    MissingProfile,
    NothingAllowed,
    ProfileStep,
    RuleStep,
    Step,
    TierEnd,
    enforced_policies,
)
from calico.core.analysis.verdict import Judgement, Verdict
from calico.core.intent.delta import Intent
from calico.core.intent.keys import EndpointKey, PolicyKey
from calico.core.intent.policies import Policy, Profile, Rule

_VERBS = {"Allow": "allows it", "Deny": "denies it", "Pass": "passes it on", "Log": "logs it"}


class AppliedPolicy(Struct, frozen=True):
    """One policy in force and its rules in this direction."""

    key: PolicyKey
    rules: tuple[Rule, ...]


class AppliedTier(Struct, frozen=True):
    """A tier that has at least one policy in force for this endpoint and direction."""

    name: str
    default_action: str
    policies: tuple[AppliedPolicy, ...]


class AppliedProfile(Struct, frozen=True):
    """A profile of the endpoint; `rules` is None if no such profile exists (it denies)."""

    name: str
    rules: tuple[Rule, ...] | None


class Explanation(Struct, frozen=True):
    """All that judges an endpoint's traffic in one direction, in order."""

    endpoint: EndpointKey
    direction: Direction
    tiers: tuple[AppliedTier, ...]
    profiles: tuple[AppliedProfile, ...]


def explain(key: EndpointKey, direction: Direction, intent: Intent) -> Explanation:
    """List what applies to an endpoint. Raises KeyError if it is not of this node."""
    endpoint = intent.endpoints[key]
    tiers = []
    for tier in endpoint.tiers:
        keys = enforced_policies(tier.ingress if direction == "ingress" else tier.egress)
        if keys:
            applied = (AppliedPolicy(k, _rules(intent.policies[k], direction)) for k in keys)
            tiers.append(AppliedTier(tier.name, tier.default_action, tuple(applied)))
    profiles = []
    for name in endpoint.profiles:
        profile = intent.profiles.get(name)
        profiles.append(AppliedProfile(name, _rules(profile, direction) if profile else None))
    return Explanation(key, direction, tuple(tiers), tuple(profiles))


def _rules(rules_of: Policy | Profile, direction: Direction) -> tuple[Rule, ...]:
    return rules_of.ingress if direction == "ingress" else rules_of.egress


def policy_name(key: PolicyKey) -> str:
    """Write a policy as people do: "NetworkPolicy shop/web"."""
    return f"{key.kind} {key.namespace}/{key.name}" if key.namespace else f"{key.kind} {key.name}"


def sentence(step: Step) -> str:
    """Say what happened at one step. Rules are counted from 1, as people do."""
    match step:
        case RuleStep():
            where = f"rule {step.index + 1} of {policy_name(step.policy)} (tier {step.tier})"
            return f"{where} {_verb(step)}"
        case ProfileStep():
            return f"rule {step.index + 1} of profile {step.profile} {_verb(step)}"
        case TierEnd():
            does = "denies" if step.outcome == "Deny" else "passes on"
            return f"the end of tier {step.tier} {does} what no rule matched"
        case MissingProfile():
            return f"profile {step.profile} does not exist, which denies everything"
        case Encapsulated():
            return "a workload may not send tunnel packets"
        case NothingAllowed():
            return "no policy and no profile allows it"
        case _:
            assert_never(step)


def _verb(step: RuleStep | ProfileStep) -> str:
    return f"does not match ({step.mismatch})" if step.mismatch else _VERBS[step.outcome]


def reason(verdict: Verdict) -> str:
    """Say in one sentence what decided a packet's fate."""
    decisive: Judgement | None = verdict.ingress or verdict.egress
    if verdict.note or decisive is None:
        return verdict.note or "no policy of ours judges it"
    return f"{decisive.direction}: {sentence(decisive.reason)}"
