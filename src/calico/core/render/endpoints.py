"""The chains of a workload endpoint: its own part, and the part it shares.

    tw-cali1 --> rate limit --> connection? --> limit --.
                 over: drop     known: accept   reset    `--> gi-<path>: tiers, profiles, deny
    tw-cali2 -->  ...           invalid: deny     ... ---'

Endpoints that ask the same policies in the same order go to one group chain, which is rendered
and kept once. A short path stands in the endpoint's own chain.

Marks are looked at only where they can be set. The accept mark, by egress policies (ingress
policies accept by themselves); the pass mark, in tiers where some policy passes. The jump to a
policy is guarded by "no mark is set"; what was accepted returns after every fifth policy.

Source: policy-semantics 3.5; felix/rules/endpoints.go.
"""

from collections.abc import Iterator
from typing import Final

from calico.core.intent.endpoints import QosControls, WorkloadEndpoint
from calico.core.nftables.vocabulary import (
    Chain,
    ConnectionLimit,
    CtState,
    Is,
    Limit,
    Reject,
    Rule,
    SetMark,
    Verdict,
)
from calico.core.render.names import INTERFACE_NAME, Direction, comment, rules_chain
from calico.core.render.paths import Path, Step, TierPath
from calico.core.render.rules import ACCEPT, COUNT, DROP, RETURN, deny
from calico.core.render.settings import RenderSettings

KNOWN_CONNECTION: Final = CtState(frozenset({"established", "related"}))
INVALID_CONNECTION: Final = CtState(frozenset({"invalid"}))
TCP: Final = Is("l4proto", 6)
UDP: Final = Is("l4proto", 17)
IPIP: Final = Is("l4proto", 4)
DEFAULT_PACKET_BURST: Final = 5
RETURN_STRIDE: Final = 5  # policies between two looks at the accept mark


def endpoint_chain(asked: Path, qos: QosControls, settings: RenderSettings) -> Chain:
    """Render the chain of one endpoint and direction."""
    own = _connections(asked.direction, qos, settings)
    if asked.is_inline:
        return Chain((*own, *_group(asked, settings)))
    return Chain((*own, Rule((COUNT, Verdict("goto", asked.group_chain)))))


def group_chain(asked: Path, settings: RenderSettings) -> Chain:
    """Render the chain that all endpoints with this path go to."""
    return Chain(tuple(_group(asked, settings)))


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


def _group(asked: Path, settings: RenderSettings) -> Iterator[Rule]:
    """Ask everyone on the path, then deny.

    What is accepted on egress falls off the end; every deny is guarded by the marks.
    """
    if asked.direction == "egress" and asked.steps:
        yield from _before_egress(settings)
    for tier in asked.tiers:
        yield from _tier(tier, asked.direction, settings)
    if asked.tiers and asked.tiers[-1].is_end:
        return
    rules, may_be_set = _ask(asked.profiles, asked.direction, settings)
    yield from rules
    if asked.profiles and not asked.profiles[-1].known:
        return
    text = f"{settings.filter_deny_action} if no profiles matched"
    yield Rule((*_unless(may_be_set), COUNT, deny(settings)), text)


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
    if tier.may_pass:
        yield Rule((SetMark(settings.pass_mark, 0),), comment("Start of tier", tier.name))
    rules, may_be_set = _ask(tier.steps, direction, settings)
    yield from rules
    if tier.default_action == "Deny" and tier.steps[-1].known:
        text = comment(
            f"End of tier {tier.name}.",
            f"{settings.filter_deny_action} if no policies passed packet",
        )
        yield Rule((*_unless(may_be_set), COUNT, deny(settings)), text)
    if may_be_set & settings.accept_mark and not tier.is_end:
        yield _return_if_accepted(settings)


def _ask(
    steps: tuple[Step, ...], direction: Direction, settings: RenderSettings
) -> tuple[list[Rule], int]:
    """Jump to each unless one before has decided; return also which marks may be set then."""
    rules: list[Rule] = []
    may_be_set = 0
    for number, step in enumerate(steps):
        if may_be_set & settings.accept_mark and number % RETURN_STRIDE == 0:
            rules.append(_return_if_accepted(settings))
            may_be_set &= ~settings.accept_mark
        if not step.known:
            text = comment(step.key.name, "is missing")
            rules.append(Rule((*_unless(may_be_set), COUNT, deny(settings)), text))
            continue
        jump = Verdict("jump", rules_chain(step.key, direction))
        rules.append(Rule((*_unless(may_be_set), COUNT, jump)))
        if direction == "egress":
            may_be_set |= settings.accept_mark
        if step.may_pass:
            may_be_set |= settings.pass_mark
    return rules, may_be_set


def _unless(marks: int) -> tuple[Is, ...]:
    """Guard a rule: none of these marks is set."""
    return (Is("mark", 0, mask=marks),) if marks else ()


def _return_if_accepted(settings: RenderSettings) -> Rule:
    accepted = Is("mark", settings.accept_mark, mask=settings.accept_mark)
    return Rule((accepted, COUNT, RETURN), "Return on verdict")


def arp_chain(endpoint: WorkloadEndpoint) -> Chain:
    """Render what keeps the host's proxy ARP from answering for the workload's own addresses."""
    reply = Is("arp_operation", 2)
    rules = (
        Rule((reply, Is("arp_saddr_ip", address), COUNT, DROP))
        for address in endpoint.ipv4_addresses
    )
    return Chain(tuple(rules))


def has_interface(endpoint: WorkloadEndpoint) -> bool:
    """Say whether it names an interface as validation allows; if not, it is as if it had none."""
    return INTERFACE_NAME.fullmatch(endpoint.interface) is not None
