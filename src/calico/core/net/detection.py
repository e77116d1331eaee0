"""Which address of a node is the node's own: candidates in order, each with the reason.

    interfaces + method (+ what a route look-up or Kubernetes said) --> ranked --> Detection

The one place that ranks them: the node's start-up uses the choice, the doctor and the lab print
the reasons.

Source: shared/spec bgp-confd 5.1, the table of methods.
"""

import re
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Interface, IPv6Interface, ip_interface, ip_network
from typing import Literal, TypeAlias

from msgspec import Struct

Version: TypeAlias = Literal[4, 6]
MethodKind: TypeAlias = Literal[
    "first-found", "can-reach", "interface", "skip-interface", "cidr", "kubernetes-internal-ip"
]

METHOD_FORMS = (
    "first-found, can-reach=<host>, interface=<regex>[,...], skip-interface=<regex>[,...], "
    "cidr=<cidr>[,...] or kubernetes-internal-ip"
)

NOT_GLOBAL = "not a global unicast address"  # loopback, link-local ...: refused by every method

# Never a node's own interface, unless a method names it.
EXCLUDED_NAMES = (
    "^docker", "^cbr", "^dummy", "^podman", "^virbr", "^lxcbr", "^veth", "^lo", "^br-", "^cali",
    "^tunl", "^flannel", "^kube-ipvs", "^cni", r"^vxlan\.calico", r"^vxlan-v6\.calico",
    r"^wireguard\.cali", r"^wg-v6\.cali", "^nodelocaldns",
)  # fmt: skip


class Method(Struct, frozen=True):
    """How to detect: a kind, and its host, regexes or CIDRs."""

    kind: MethodKind
    arguments: tuple[str, ...] = ()


class Interface(Struct, frozen=True):
    """One interface and its addresses, each in CIDR form, in the kernel's order."""

    name: str
    addresses: tuple[str, ...] = ()


class Candidate(Struct, frozen=True):
    """One address that was looked at. `refused` is empty for one that would do."""

    address: str  # CIDR form, "192.0.2.10/24"
    interface: str
    refused: str = ""


class Detection(Struct, frozen=True):
    """The chosen address, or None and why; and all that was considered, best first."""

    chosen: Candidate | None
    reason: str
    considered: tuple[Candidate, ...] = ()


def parse_method(text: str) -> Method:
    """Read a method as in IP_AUTODETECTION_METHOD. Raises ValueError with the forms there are."""
    kind, separator, rest = text.strip().partition("=")
    if kind in {"", "first-found"} and not separator:
        return Method("first-found")
    if kind == "kubernetes-internal-ip" and not separator:
        return Method("kubernetes-internal-ip")
    if kind == "can-reach" and rest.strip():
        return Method("can-reach", (rest.strip(),))
    arguments = tuple(part.strip() for part in rest.split(",") if part.strip())
    if not arguments:
        raise ValueError(f"{text!r} is no autodetection method; use {METHOD_FORMS}")
    if kind == "interface":
        return Method("interface", _checked_regexes(text, arguments))
    if kind == "skip-interface":
        return Method("skip-interface", _checked_regexes(text, arguments))
    if kind == "cidr":
        return Method("cidr", _checked_cidrs(text, arguments))
    raise ValueError(f"{text!r} is no autodetection method; use {METHOD_FORMS}")


def _checked_regexes(text: str, arguments: tuple[str, ...]) -> tuple[str, ...]:
    for argument in arguments:
        try:
            re.compile(argument)
        except re.error as error:
            raise ValueError(f"{text!r}: {argument!r} is no regular expression: {error}") from error
    return arguments


def _checked_cidrs(text: str, arguments: tuple[str, ...]) -> tuple[str, ...]:
    for argument in arguments:
        try:
            ip_network(argument, strict=False)
        except ValueError as error:
            raise ValueError(f"{text!r}: {argument!r} is no CIDR: {error}") from error
    return arguments


def detect(
    method: Method, interfaces: Sequence[Interface], version: Version, known_address: str = ""
) -> Detection:
    """Choose the address of one family.

    `known_address` is what the world outside said, for the two methods that ask it: the local
    address towards the host of can-reach, or Kubernetes' InternalIP; "" if it said nothing.
    """
    if method.kind in {"can-reach", "kubernetes-internal-ip"}:
        return _by_known_address(method, interfaces, version, known_address)
    considered = [
        Candidate(str(address), interface.name, _refusal(method, interface.name, address))
        for interface in reversed(interfaces)
        for address in _of_version(interface.addresses, version)
    ]
    considered.sort(key=lambda candidate: candidate.refused != "")  # stable: keeps the order
    best = considered[0] if considered and not considered[0].refused else None
    if best is None:
        reason = f"no interface has an IPv{version} address that {describe(method)} accepts"
    else:
        reason = f"{describe(method)}: first acceptable address, on {best.interface}"
    return Detection(best, reason, tuple(considered))


def describe(method: Method) -> str:
    """Print a method as the user writes it."""
    if not method.arguments:
        return method.kind
    return f"{method.kind}={','.join(method.arguments)}"


def _by_known_address(
    method: Method, interfaces: Sequence[Interface], version: Version, known: str
) -> Detection:
    everything = tuple(
        Candidate(str(address), interface.name, "" if str(address.ip) == known else "another one")
        for interface in interfaces
        for address in _of_version(interface.addresses, version)
    )
    for candidate in everything:
        if not candidate.refused:
            return Detection(
                candidate, f"{describe(method)}: answers with {known}", (candidate, *everything)
            )
    if not known:
        reason = f"{describe(method)} gave no IPv{version} address"
    else:
        reason = f"{describe(method)} gave {known}, which is on no local interface"
    return Detection(None, reason, everything)


def _of_version(
    addresses: Iterable[str], version: Version
) -> Iterable[IPv4Interface | IPv6Interface]:
    parsed = (ip_interface(address) for address in addresses)
    return (address for address in parsed if address.version == version)


def _refusal(method: Method, name: str, address: IPv4Interface | IPv6Interface) -> str:
    """Why this address will not do; "" if it will."""
    if not _is_global_unicast(address):
        return NOT_GLOBAL
    if method.kind == "cidr":
        networks = [ip_network(cidr, strict=False) for cidr in method.arguments]
        inside = any(address.ip in network for network in networks)
        return "" if inside else "in none of the CIDRs"
    if method.kind == "interface":
        return "" if _matches(name, method.arguments) else "interface name does not match"
    if method.kind == "skip-interface" and _matches(name, method.arguments):
        return "interface is to be skipped"
    return "interface is never a node's own" if _matches(name, EXCLUDED_NAMES) else ""


def _is_global_unicast(address: IPv4Interface | IPv6Interface) -> bool:
    ip = address.ip
    return not (
        ip.is_loopback or ip.is_multicast or ip.is_link_local or ip.is_unspecified
        or str(ip) == "255.255.255.255"
    )  # fmt: skip


def _matches(name: str, regexes: Iterable[str]) -> bool:
    return any(re.search(regex, name) for regex in regexes)
