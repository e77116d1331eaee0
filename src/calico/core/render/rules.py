"""The chain of one direction of a policy or a profile.

    Policy --> filter-cali-pi-np/shop/web    for what goes to a workload that it selects
          `--> filter-cali-po-np/shop/web    for what comes from one

The chain is the same for every endpoint that jumps to it, so a changed rule is one changed chain,
however many endpoints there are. What it decides reaches the endpoint chain like this:

    Allow, ingress   accept: nothing else judges a packet on its way to a local workload
    Allow, egress    accept mark and return: the packet may go to another local workload
    Deny             drop (or reject) at once
    Pass             policy: pass mark and return; profile: return, the next profile is asked
    no match         return without a mark: the next policy is asked

Every rule counts its packets. A policy that cannot be rendered drops all that reaches it, and
says why in its comment; the other policies are not touched.

Source: policy-semantics 3.4.1, 3.5; felix/rules/policy.go (comments, log prefix).
"""

import re
from collections.abc import Mapping
from typing import Final, assert_never

from msgspec import Struct

from calico.core.intent.keys import PolicyKey
from calico.core.intent.policies import Action, Policy, Profile, Rule
from calico.core.nftables.vocabulary import (
    Chain,
    Counter,
    Expression,
    Log,
    Reject,
    SetMark,
    Verdict,
)
from calico.core.nftables.vocabulary import Rule as KernelRule
from calico.core.render.matches import SetKinds, complaint, matches
from calico.core.render.names import SHORT_KINDS, Direction, IpFamily, ProfileKey, RulesKey, comment
from calico.core.render.settings import RenderSettings

ACCEPT: Final = Verdict("accept")
DROP: Final = Verdict("drop")
RETURN: Final = Verdict("return")
COUNT: Final = Counter()
_REJECT: Final = Reject()

LOG_LEVEL_INFO: Final = 6  # felix/nftables/actions.go; iptables mode uses 5
LOG_PREFIX_LENGTH: Final = 127

_SPECIFIER: Final = re.compile(r"%[tknp]")


class Judge(Struct, frozen=True):
    """One direction of a policy or a profile: what a chain is rendered from."""

    key: RulesKey
    direction: Direction
    tier: str
    rules: tuple[Rule, ...]
    refusal: str  # why it cannot be rendered; "" if it can


def held_rules(
    key: RulesKey, policies: Mapping[PolicyKey, Policy], profiles: Mapping[str, Profile]
) -> Policy | Profile | None:
    """Find the policy or profile of this key."""
    return profiles.get(key.name) if isinstance(key, ProfileKey) else policies.get(key)


def judge(key: RulesKey, held: Policy | Profile, direction: Direction, kinds: SetKinds) -> Judge:
    """Take one direction of a policy or a profile, and look whether it can be rendered."""
    rules = held.ingress if direction == "ingress" else held.egress
    refusal = next((reason for rule in rules if (reason := complaint(rule, kinds))), "")
    tier = held.tier if isinstance(held, Policy) else ""
    return Judge(key, direction, tier, rules, refusal)


def has_pass(policy: Policy, direction: Direction) -> bool:
    """Say whether some rule may pass: only then do endpoint chains look at the pass mark."""
    rules = policy.ingress if direction == "ingress" else policy.egress
    return any(rule.action == "Pass" for rule in rules)


def deny(settings: RenderSettings) -> Expression:
    """Give the last word of a rule that denies."""
    return _REJECT if settings.filter_deny_action == "Reject" else DROP


def judge_chain(judge: Judge, family: IpFamily, kinds: SetKinds, settings: RenderSettings) -> Chain:
    """Render the chain for one family."""
    title = _title(judge)
    if judge.refusal:
        reason = comment(title, "cannot be rendered:", judge.refusal)
        return Chain((KernelRule((COUNT, DROP), reason),))
    rows: list[KernelRule] = []
    for rule in judge.rules:
        action = _action(rule.action, judge, settings)
        notes = [f"{key}={value}" for key, value in rule.annotations]
        for row in matches(rule, family, kinds):
            texts = notes if rows else [title, *notes]
            rows.append(KernelRule((*row, *action), comment(*texts) if texts else ""))
    return Chain(tuple(rows) or (KernelRule((COUNT,), comment(title)),))


def _title(judge: Judge) -> str:
    """Name the policy as people do, for the comment of its first rule."""
    match judge.key:
        case ProfileKey(name):
            return f"Profile {name} {judge.direction}"
        case PolicyKey(kind, "", name):
            return f"{kind} {name} {judge.direction}"
        case PolicyKey(kind, namespace, name):
            return f"{kind} {namespace}/{name} {judge.direction}"
        case _:
            assert_never(judge.key)


def _action(action: Action, judge: Judge, settings: RenderSettings) -> tuple[Expression, ...]:
    """Render what is done with a packet that matches."""
    match action:
        case "Allow" if judge.direction == "ingress":
            return (COUNT, ACCEPT)
        case "Allow":
            return (COUNT, SetMark(settings.accept_mark, settings.accept_mark), RETURN)
        case "Deny":
            return (COUNT, deny(settings))
        case "Pass" if isinstance(judge.key, ProfileKey):
            return (COUNT, RETURN)
        case "Pass":
            return (COUNT, SetMark(settings.pass_mark, settings.pass_mark), RETURN)
        case "Log":
            limit = () if settings.log_limit is None else (settings.log_limit,)
            return (*limit, COUNT, Log(log_prefix(judge, settings), LOG_LEVEL_INFO))
        case _:
            assert_never(action)


def log_prefix(judge: Judge, settings: RenderSettings) -> str:
    """Fill in tier, kind, name and namespace/name for %t, %k, %n, %p."""
    key = judge.key
    if isinstance(key, ProfileKey):
        kind, name, full = "pro", key.name, key.name
    else:
        kind, name = SHORT_KINDS.get(key.kind, key.kind), key.name
        full = f"{key.namespace}/{name}" if key.namespace else name
    known = {"%t": judge.tier, "%k": kind, "%n": name, "%p": full}
    prefix = _SPECIFIER.sub(lambda found: known[found[0]], settings.log_prefix or "calico-packet")
    return f"{prefix}: "[:LOG_PREFIX_LENGTH]
