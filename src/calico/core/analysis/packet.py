"""The first packet of a connection, as policy sees it.

    who asks: "10.65.0.1 -> 10.65.1.1, TCP, port 80" --> Packet --> verdict, trace, matrix

Only first packets matter here: what belongs to an accepted connection is accepted before any
policy (rule 3 of the evaluation model).

Source: shared/spec policy-semantics 3.5.
"""

from ipaddress import ip_address
from typing import Literal

from msgspec import Struct

ICMP, TCP, UDP, ICMPV6, SCTP = 1, 6, 17, 58, 132
WITH_PORTS = frozenset({TCP, UDP, SCTP})
PROTOCOL_NUMBERS = {
    "icmp": ICMP, "ipip": 4, "tcp": TCP, "udp": UDP, "icmpv6": ICMPV6, "sctp": SCTP, "udplite": 136,
}  # fmt: skip
ECHO_REQUEST = {4: 8, 6: 128}


class Packet(Struct, frozen=True):
    """Addresses are canonical text; ports are None where the protocol has none."""

    source: str
    destination: str
    protocol: int
    destination_port: int | None = None
    source_port: int | None = None
    icmp_type: int | None = None
    icmp_code: int | None = None

    @property
    def ip_version(self) -> Literal[4, 6]:
        """Which of the two tables judges it."""
        return 6 if ":" in self.destination else 4


def echo_request(source: str, destination: str) -> Packet:
    """Make the packet that `ping` sends."""
    source, destination = str(ip_address(source)), str(ip_address(destination))
    version = ip_address(destination).version
    protocol = ICMP if version == 4 else ICMPV6
    return Packet(source, destination, protocol, icmp_type=ECHO_REQUEST[version], icmp_code=0)


def connection(source: str, destination: str, protocol: int, port: int) -> Packet:
    """Make the first packet of a TCP, UDP or SCTP exchange, from a port that nobody names."""
    source, destination = str(ip_address(source)), str(ip_address(destination))
    return Packet(source, destination, protocol, port, source_port=None)
