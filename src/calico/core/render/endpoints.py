"""The two chains of a workload endpoint, and who is asked in which order.

    packet --> rate limit --> connection? --> limit --> tunnelled? --> tiers --> profiles --> deny
               over: drop     known: accept   reset     deny (egress)
                              invalid: deny

`path` decides what can be reached at all; the chain, and the count of who uses a policy's chain,
both follow it. A tier with a policy for this direction ends in its default action. When that is
Deny and none of the tier's policies can pass, nothing behind it is reached, or rendered.

Marks are looked at only where they can be set: the accept mark after each egress policy
(ingress policies accept by themselves), the pass mark in tiers where some policy passes.

A policy or a profile that the endpoint names and that is not there denies: fail closed.

Source: policy-semantics 3.5; felix/rules/endpoints.go.
"""

from collections.abc import Container, Iterator, Mapping
from typing import Final, Literal

from msgspec import Struct

from calico.core.intent.endpoints import QosControls, WorkloadEndpoint
from calico.core.intent.keys import PolicyKey
from calico.core.intent.policies import Policy
from calico.core.nftables.vocabulary import (
    Chain,
    ConnectionLimit,
    CtState,
    Expression,
    Is,
    Limit,
    Reject,
    Rule,
    SetMark,
    Verdict,
)
from calico.core.render.names import (
    INTERFACE_NAME_LENGTH,
    Direction,
    ProfileKey,
    RulesKey,
    comment,
    rules_chain,
)
from calico.core.render.rules import ACCEPT, COUNT, DROP, RETURN, deny, has_pass
from calico.core.render.settings import RenderSettings

KNOWN_CONNECTION: Final = CtState(frozenset({"established", "related"}))
INVALID_CONNECTION: Final = CtState(frozenset({"invalid"}))
TCP: Final = Is("l4proto", 6)
UDP: Final = Is("l4proto", 17)
IPIP: Final = Is("l4proto", 4)
DEFAULT_PACKET_BURST: Final = 5


class Step(Struct, frozen=True):
    """One policy or profile that is asked."""

    key: RulesKey
    known: bool  # we have its rules
    may_pass: bool = False


class TierPath(Struct, frozen=True):
    """The policies of one tier that are asked, in order."""

    name: str
    default_action: Literal["Deny", "Pass"]
    steps: tuple[Step, ...]

    @property
    def may_pass(self) -> bool:
        """A packet may leave this tier without a verdict."""
        return any(step.may_pass for step in self.steps)

    @property
    def is_end(self) -> bool:
        """Nothing behind this tier is reached."""
        denies = self.default_action == "Deny" or not all(step.known for step in self.steps)
        return denies and not self.may_pass


class Path(Struct, frozen=True):
    """All that an endpoint asks for one direction, up to where nothing more is reached."""

    tiers: tuple[TierPath, ...] = ()
    profiles: tuple[Step, ...] = ()

    @property
    def steps(self) -> Iterator[Step]:
        """Everyone who is asked."""
        for tier in self.tiers:
            yield from tier.steps
        yield from self.profiles


def path(
    endpoint: WorkloadEndpoint,
    direction: Direction,
    policies: Mapping[PolicyKey, Policy],
    profiles: Container[str],
) -> Path:
    """Follow a packet of this direction through tiers and profiles."""
    tiers = []
    for tier in endpoint.tiers:
        keys = tier.ingress if direction == "ingress" else tier.egress
        steps = tuple(_steps(keys, direction, policies))
        if steps:
            tiers.append(TierPath(tier.name, tier.default_action, steps))
            if tiers[-1].is_end:
                return Path(tuple(tiers))
    asked: list[Step] = []
    for name in endpoint.profiles:
        asked.append(Step(ProfileKey(name), name in profiles))
        if not asked[-1].known:
            break
    return Path(tuple(tiers), tuple(asked))


def _steps(
    keys: tuple[PolicyKey, ...], direction: Direction, policies: Mapping[PolicyKey, Policy]
) -> Iterator[Step]:
    """Walk the policies of a tier; one that is missing denies, so nothing is asked after it."""
    for key in keys:
        if key.kind.startswith("Staged"):
            continue
        policy = policies.get(key)
        if policy is None:
            yield Step(key, known=False)
            return
        yield Step(key, known=True, may_pass=has_pass(policy, direction))


def endpoint_chain(
    asked: Path, direction: Direction, qos: QosControls, settings: RenderSettings
) -> Chain:
    """Render the chain of one endpoint and direction; it is the same in both families."""
    rules = [*_connections(direction, qos, settings)]
    if direction == "egress":
        rules += _before_egress(settings)
    for tier in asked.tiers:
        rules += _tier(tier, direction, settings)
    if not (asked.tiers and asked.tiers[-1].is_end):
        for step in asked.profiles:
            rules += _step(step, (), direction, settings)
        text = f"{settings.filter_deny_action} if no profiles matched"
        rules.append(Rule((COUNT, deny(settings)), text))
    return Chain(tuple(rules))


def _connections(
    direction: Direction, qos: QosControls, settings: RenderSettings
) -> Iterator[Rule]:
    """Limit and judge by connection, before any policy is asked."""
    if direction == "ingress":
        rate, burst = qos.ingress_packet_rate, qos.ingress_packet_burst
        connections = qos.ingress_max_connections
    else:
        rate, burst = qos.egress_packet_rate, qos.egress_packet_burst
        connections = qos.egress_max_connections
    if rate:
        limit = Limit(rate, burst=burst or DEFAULT_PACKET_BURST, over=True)
        yield Rule((limit, COUNT, DROP), f"Drop packets over {direction} packet rate limit")
    yield Rule((KNOWN_CONNECTION, COUNT, ACCEPT))
    if not settings.disable_conntrack_invalid_check:
        yield Rule((INVALID_CONNECTION, COUNT, deny(settings)))
    if connections:
        reset = (TCP, ConnectionLimit(connections), COUNT, Reject("tcp-reset"))
        yield Rule(reset, f"Reject connections over {direction} connection limit")


def _before_egress(settings: RenderSettings) -> Iterator[Rule]:
    """Clear what we are about to look at; stop packets that hide others from the policy."""
    yield Rule((SetMark(settings.accept_mark, 0),))
    action = settings.filter_deny_action
    if not settings.allow_vxlan_from_workloads:
        text = f"{action} VXLAN encapped packets originating in workloads"
        yield Rule((UDP, Is("dport", settings.vxlan_port), COUNT, deny(settings)), text)
    if not settings.allow_ipip_from_workloads:
        text = f"{action} IPinIP encapped packets originating in workloads"
        yield Rule((IPIP, COUNT, deny(settings)), text)


def _tier(tier: TierPath, direction: Direction, settings: RenderSettings) -> Iterator[Rule]:
    """Ask the policies of one tier; deny what none of them decided, if the tier says so."""
    unless_passed: tuple[Expression, ...] = ()
    if tier.may_pass:
        yield Rule((SetMark(settings.pass_mark, 0),), comment("Start of tier", tier.name))
    for step in tier.steps:
        yield from _step(step, unless_passed, direction, settings)
        if step.may_pass:
            unless_passed = (Is("mark", 0, mask=settings.pass_mark),)
    if tier.default_action == "Deny" and tier.steps[-1].known:
        text = comment(
            f"End of tier {tier.name}.",
            f"{settings.filter_deny_action} if no policies passed packet",
        )
        yield Rule((*unless_passed, COUNT, deny(settings)), text)


def _step(
    step: Step, guard: tuple[Expression, ...], direction: Direction, settings: RenderSettings
) -> Iterator[Rule]:
    """Ask one policy or profile, and leave if it accepted."""
    if not step.known:
        yield Rule((*guard, COUNT, deny(settings)), comment(step.key.name, "is missing"))
        return
    jump = Verdict("jump", rules_chain(step.key, direction))
    yield Rule((*guard, COUNT, jump))
    if direction == "egress":
        accepted = Is("mark", settings.accept_mark, mask=settings.accept_mark)
        yield Rule((accepted, COUNT, RETURN))


def arp_chain(endpoint: WorkloadEndpoint) -> Chain:
    """Render what keeps the host's proxy ARP from answering for the workload's own addresses."""
    reply = Is("arp_operation", 2)
    rules = (
        Rule((reply, Is("arp_saddr_ip", address), COUNT, DROP))
        for address in endpoint.ipv4_addresses
    )
    return Chain(tuple(rules))


def has_interface(endpoint: WorkloadEndpoint) -> bool:
    """Say whether the kernel could have an interface of this name; if not, there is none."""
    name = endpoint.interface
    return 0 < len(name.encode()) <= INTERFACE_NAME_LENGTH and not {"/", "*", '"'} & set(name)
