"""Is a packet allowed, and by what: egress of its source first, then ingress of its destination.

    Packet -+
    Intent of the source's node ------+--> judge egress --Allow--> judge ingress --> Verdict
    Intent of the destination's node -+          `--Deny--> Verdict

An end that is no workload endpoint of its node's intent (a node itself, the world outside) has no
policy here. A node reaches its own workloads without being judged; a workload that talks to its
own node is judged on egress and then by the node's DefaultEndpointToHostAction.

Invariant: a packet between two workloads needs an Allow from both.
Source: shared/spec policy-semantics 3.5, 3.6.
"""

from typing import Literal, TypeAlias

from msgspec import Struct

from calico.core.analysis.packet import Packet
from calico.core.analysis.trace import Direction, Step, steps
from calico.core.intent.delta import Intent
from calico.core.intent.keys import EndpointKey

Action: TypeAlias = Literal["Allow", "Deny"]
_TO_OWN_NODE: dict[Action, str] = {
    "Allow": "a node accepts what its own workloads send to it",
    "Deny": "a node drops what its own workloads send to it",
}


class Judgement(Struct, frozen=True):
    """What one endpoint's policies say, and everything that was tried; `reason` is the last."""

    endpoint: EndpointKey
    direction: Direction
    steps: tuple[Step, ...]

    @property
    def reason(self) -> Step:
        """The step that decided."""
        return self.steps[-1]

    @property
    def action(self) -> Action:
        """Allow, or Deny."""
        return "Allow" if self.reason.outcome == "Allow" else "Deny"


class Verdict(Struct, frozen=True):
    """Both judgements; None where an end has no policy. `note` says what else decided, if so."""

    action: Action
    egress: Judgement | None = None
    ingress: Judgement | None = None
    note: str = ""

    @property
    def reason(self) -> Step | None:
        """The step that decided: of the judgement that denied, or of the last one."""
        decisive = self.ingress or self.egress
        return decisive.reason if decisive else None


def endpoint_of(address: str, intent: Intent) -> EndpointKey | None:
    """Find the workload endpoint that has this address; None if it is no local workload's."""
    for key, endpoint in intent.endpoints.items():
        if address in endpoint.ipv4_addresses or address in endpoint.ipv6_addresses:
            return key
    return None


def judge(packet: Packet, key: EndpointKey, direction: Direction, intent: Intent) -> Judgement:
    """Run the packet through one endpoint's policies."""
    tried = steps(packet, intent.endpoints[key], direction, intent)
    return Judgement(key, direction, tuple(tried))


def verdict(
    packet: Packet,
    source: Intent | None,
    destination: Intent | None,
    to_own_node: Action = "Deny",
) -> Verdict:
    """Judge a packet. None: that end is outside every node (nothing of ours judges it there).

    `to_own_node` is what the source's node does with what its workloads send to itself.
    """
    if packet.source == packet.destination:
        return Verdict("Allow", note="it never leaves its network namespace")
    sender = endpoint_of(packet.source, source) if source else None
    receiver = endpoint_of(packet.destination, destination) if destination else None
    if sender is None and receiver is not None and source is destination:
        return Verdict("Allow", note="a node reaches its own workloads")
    egress = judge(packet, sender, "egress", source) if sender and source else None
    if egress and egress.action == "Deny":
        return Verdict("Deny", egress)
    if sender and not receiver and source is destination:
        return Verdict(to_own_node, egress, note=_TO_OWN_NODE[to_own_node])
    ingress = judge(packet, receiver, "ingress", destination) if receiver and destination else None
    return Verdict(ingress.action if ingress else "Allow", egress, ingress)
