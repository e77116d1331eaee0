"""What policies and profiles come to, once selectors have become IP sets.

Source: the evaluation model of Calico's rules, shared/spec policy-semantics 3.4, 3.5.
"""

from typing import Literal, TypeAlias

from msgspec import Struct

Action: TypeAlias = Literal["Allow", "Deny", "Log", "Pass"]
PortSpan: TypeAlias = tuple[int, int]  # first, last; both included


class Side(Struct, frozen=True):
    """What a rule asks of the packet's source or destination. Empty means no restriction.

    `ip_sets` and `ip_port_sets` are each a logical AND of sets. `ports` and `named_ports` are
    alternatives of one another: the port is in a span, or (address, protocol, port) in a set.
    """

    nets: tuple[str, ...] = ()  # canonical CIDRs, any of them
    not_nets: tuple[str, ...] = ()  # none of them
    ip_sets: tuple[str, ...] = ()  # ids: the address is in all of them
    not_ip_sets: tuple[str, ...] = ()  # the address is in none of them
    ip_port_sets: tuple[str, ...] = ()  # ids: (address, protocol, port) is in all (services)
    ports: tuple[PortSpan, ...] = ()
    named_ports: tuple[str, ...] = ()  # ids of address_port sets
    not_ports: tuple[PortSpan, ...] = ()
    not_named_ports: tuple[str, ...] = ()


class IcmpMatch(Struct, frozen=True):
    """An ICMP (or ICMPv6) type, and a code if one is asked for."""

    type: int
    code: int | None = None


class Rule(Struct, frozen=True):
    """One rule. All that is present must hold. Protocols are numbers; None is "any"."""

    action: Action
    ip_version: Literal[4, 6] | None = None
    protocol: int | None = None
    not_protocol: int | None = None
    icmp: IcmpMatch | None = None
    not_icmp: IcmpMatch | None = None
    source: Side = Side()
    destination: Side = Side()
    annotations: tuple[tuple[str, str], ...] = ()  # shown as the rule's comment


class Policy(Struct, frozen=True):
    """The rules of one policy that some local endpoint uses."""

    tier: str
    ingress: tuple[Rule, ...] = ()
    egress: tuple[Rule, ...] = ()


class Profile(Struct, frozen=True):
    """The rules of one profile that some local endpoint uses."""

    ingress: tuple[Rule, ...] = ()
    egress: tuple[Rule, ...] = ()
