"""Protocols in rules and named ports, as numbers, whichever way they were written."""

from calico.core.net.ports import PROTOCOL_NUMBERS

TCP = PROTOCOL_NUMBERS["TCP"]
UDP = PROTOCOL_NUMBERS["UDP"]
SCTP = PROTOCOL_NUMBERS["SCTP"]
ICMP = PROTOCOL_NUMBERS["ICMP"]
ICMPV6 = PROTOCOL_NUMBERS["ICMPv6"]

NUMBERS = {name.lower(): number for name, number in PROTOCOL_NUMBERS.items()}
PORT_PROTOCOL_NAMES = {TCP: "tcp", UDP: "udp", SCTP: "sctp"}


def protocol_number(protocol: int | str) -> int | None:
    """Return the number of a protocol; None if the name is unknown."""
    return protocol if isinstance(protocol, int) else NUMBERS.get(protocol.lower())
