"""The path of one packet through one endpoint's policies, step by step.

    tiers in order -> policies in order -> rules in order -> end of tier -> profiles -> deny

`steps` is the evaluation model itself, written once: `verdict` takes its last step, `explain`
and `calicoctl policy why` show all of them.

Source: shared/spec policy-semantics 3.5, steps 7 to 10 (the earlier ones need a connection, a
rate or an administrative state, which a single packet does not have).
"""

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Literal, TypeAlias

from msgspec import Struct

from calico.core.analysis.match import mismatch
from calico.core.analysis.packet import UDP, Packet
from calico.core.intent.delta import Intent
from calico.core.intent.endpoints import Tier, WorkloadEndpoint
from calico.core.intent.keys import PolicyKey
from calico.core.intent.policies import Rule

Direction: TypeAlias = Literal["ingress", "egress"]
Outcome: TypeAlias = Literal["Allow", "Deny", "Pass", "Log", "next"]

FINAL = frozenset({"Allow", "Deny"})
PROTOCOL_IPIP = 4
PORT_VXLAN = 4789


class RuleStep(Struct, frozen=True, tag=True):
    """A rule of a policy was tried; `mismatch` names what did not hold (then outcome is next)."""

    tier: str
    policy: PolicyKey
    index: int  # from 0
    outcome: Outcome
    mismatch: str = ""


class TierEnd(Struct, frozen=True, tag=True):
    """No rule of the tier decided, so its default action did."""

    tier: str
    outcome: Literal["Deny", "Pass"]


class ProfileStep(Struct, frozen=True, tag=True):
    """A rule of a profile was tried."""

    profile: str
    index: int
    outcome: Outcome
    mismatch: str = ""


class MissingProfile(Struct, frozen=True, tag=True):
    """The endpoint refers to a profile that does not exist: deny."""

    profile: str
    outcome: Literal["Deny"] = "Deny"


class Encapsulated(Struct, frozen=True, tag=True):
    """Workloads may not send tunnel packets of their own: deny."""

    outcome: Literal["Deny"] = "Deny"


class NothingAllowed(Struct, frozen=True, tag=True):
    """The end was reached, and nothing had allowed the packet: deny."""

    outcome: Literal["Deny"] = "Deny"


Step: TypeAlias = RuleStep | TierEnd | ProfileStep | MissingProfile | Encapsulated | NothingAllowed


def steps(
    packet: Packet, endpoint: WorkloadEndpoint, direction: Direction, intent: Intent
) -> Iterator[Step]:
    """Try everything that applies, in order; the last step's outcome is Allow or Deny."""
    if direction == "egress" and _is_encapsulated(packet):
        yield Encapsulated()
        return
    stages = chain(
        (_tier_steps(packet, tier, direction, intent) for tier in endpoint.tiers),
        (_profile_steps(packet, name, direction, intent) for name in endpoint.profiles),
    )
    for stage in stages:
        tried = list(stage)
        yield from tried
        if tried and tried[-1].outcome in FINAL:
            return
    yield NothingAllowed()


def enforced_policies(keys: Sequence[PolicyKey]) -> list[PolicyKey]:
    """Leave out the staged ones: they are computed and never in force."""
    return [key for key in keys if not key.kind.startswith("Staged")]


def _tier_steps(
    packet: Packet, tier: Tier, direction: Direction, intent: Intent
) -> Iterator[RuleStep | TierEnd]:
    keys = tier.ingress if direction == "ingress" else tier.egress
    enforced = enforced_policies(keys)
    for key in enforced:
        policy = intent.policies[key]
        for index, rule in enumerate(_rules(policy.ingress, policy.egress, direction)):
            outcome, why = _try(rule, packet, intent)
            yield RuleStep(tier.name, key, index, outcome, why)
            if outcome in {"Allow", "Deny", "Pass"}:
                return
    if enforced:
        yield TierEnd(tier.name, tier.default_action)


def _profile_steps(
    packet: Packet, name: str, direction: Direction, intent: Intent
) -> Iterator[ProfileStep | MissingProfile]:
    profile = intent.profiles.get(name)
    if profile is None:
        yield MissingProfile(name)
        return
    for index, rule in enumerate(_rules(profile.ingress, profile.egress, direction)):
        outcome, why = _try(rule, packet, intent)
        yield ProfileStep(name, index, outcome, why)
        if outcome in {"Allow", "Deny", "Pass"}:
            return


def _rules(
    ingress: tuple[Rule, ...], egress: tuple[Rule, ...], direction: Direction
) -> tuple[Rule, ...]:
    return ingress if direction == "ingress" else egress


def _try(rule: Rule, packet: Packet, intent: Intent) -> tuple[Outcome, str]:
    why = mismatch(rule, packet, intent.ip_sets)
    return ("next", why) if why else (rule.action, "")


def _is_encapsulated(packet: Packet) -> bool:
    vxlan = packet.protocol == UDP and packet.destination_port == PORT_VXLAN
    return vxlan or packet.protocol == PROTOCOL_IPIP
