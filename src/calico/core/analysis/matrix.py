"""Who reaches whom: one cell per source, destination, IP version, protocol and port.

    parties, ports --> questions --+
    intent of every node ----------+--> verdicts {question: Verdict} --> matrix {question: bool}

This is the fake side of `lab.probe.Reachability`: the lab asks the same questions with real
packets, and the two answers must be equal.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple, TypeAlias

from msgspec import Struct

from calico.core.analysis.packet import PROTOCOL_NUMBERS, Packet, connection, echo_request
from calico.core.analysis.verdict import Action, Verdict, verdict
from calico.core.intent.delta import Intent

Protocol: TypeAlias = Literal["icmp", "tcp", "udp"]
Version: TypeAlias = Literal[4, 6]
VERSIONS: tuple[Version, ...] = (4, 6)


class Party(Struct, frozen=True):
    """Somebody who sends and receives: a pod, a node, or a host outside (`node` is "")."""

    name: str  # "shop/web-1", "node-1", "internet"
    node: str
    addresses: tuple[str, ...]

    def address(self, version: Version) -> str | None:
        """Its first address of this IP version; None if it has none."""
        return next((a for a in self.addresses if (":" in a) == (version == 6)), None)


class Question(NamedTuple):
    """One cell; `port` is 0 for ICMP. Names are those of parties."""

    source: str
    destination: str
    version: Version
    protocol: Protocol
    port: int


class Port(NamedTuple):
    """Something to knock at."""

    protocol: Protocol
    port: int = 0


def questions(
    sources: Iterable[Party], destinations: Sequence[Party], ports: Sequence[Port]
) -> list[Question]:
    """List every cell that both ends have addresses for."""
    return [
        Question(source.name, destination.name, version, protocol, port)
        for source in sources
        for destination in destinations
        for version in VERSIONS
        if source.address(version) and destination.address(version)
        for protocol, port in ports
    ]


def packet_of(question: Question, parties: Mapping[str, Party]) -> Packet:
    """Make the packet a question is about. Raises KeyError for a party nobody knows."""
    source = parties[question.source].address(question.version)
    destination = parties[question.destination].address(question.version)
    if source is None or destination is None:
        raise KeyError(f"{question.source} or {question.destination} has no such address")
    if question.protocol == "icmp":
        return echo_request(source, destination)
    return connection(source, destination, PROTOCOL_NUMBERS[question.protocol], question.port)


class Expected:
    """Answers questions by thinking. `intents` is {node: its intent}.

    `to_own_node` is {node: what it does with what its own workloads send to it}; default Deny.
    """

    def __init__(
        self,
        parties: Iterable[Party],
        intents: Mapping[str, Intent],
        to_own_node: Mapping[str, Action] | None = None,
    ) -> None:
        self._parties = {party.name: party for party in parties}
        self._intents = intents
        self._to_own_node = to_own_node or {}

    def verdict(self, question: Question) -> Verdict:
        """Answer one question, with the reasons."""
        packet = packet_of(question, self._parties)
        source = self._parties[question.source].node
        destination = self._parties[question.destination].node
        return verdict(
            packet,
            self._intents.get(source),
            self._intents.get(destination),
            self._to_own_node.get(source, "Deny"),
        )

    def matrix(self, asked: Sequence[Question]) -> Mapping[Question, bool]:
        """Answer many: True where an answer comes back."""
        return {question: self.verdict(question).action == "Allow" for question in asked}
