"""Decide the addresses that a node registers, from what the user asked for and what is there.

    environment IP, IP6, methods ---+
    interfaces ---------------------+--> decide --> NodeAddresses, with how each was found
    the Node as stored -------------+

Source: shared/spec bgp-confd 5.1, the table of IP and IP6.
"""

from collections.abc import Callable, Mapping, Sequence
from ipaddress import ip_interface

from msgspec import Struct

from calico.core.net.detection import (
    Detection,
    Interface,
    Method,
    Version,
    describe,
    detect,
    parse_method,
)

# Asks the world for an address: (method, version) -> local address, "" if it has none.
Ask = Callable[[Method, Version], str]


class StartupError(Exception):
    """The node cannot start; says which setting, its value and the fix."""


class Wish(Struct, frozen=True):
    """What the user asked for one family."""

    variable: str  # "IP" or "IP6"
    value: str  # "autodetect", "none", an address, a CIDR or ""
    method_variable: str
    method: str

    @property
    def detects(self) -> bool:
        """Whether the address may be found anew."""
        return self.value == "autodetect"


class Decided(Struct, frozen=True):
    """One family's address in CIDR form, "" for none, and how it came about."""

    address: str
    how: str
    detection: Detection | None = None


def wishes(environment: Mapping[str, str]) -> dict[Version, Wish]:
    """Read IP, IP6 and their methods."""
    return {
        4: Wish("IP", environment.get("IP", "").strip(), "IP_AUTODETECTION_METHOD",
                environment.get("IP_AUTODETECTION_METHOD", "")),
        6: Wish("IP6", environment.get("IP6", "").strip(), "IP6_AUTODETECTION_METHOD",
                environment.get("IP6_AUTODETECTION_METHOD", "")),
    }  # fmt: skip


def decide(
    wish: Wish, version: Version, stored: str, interfaces: Sequence[Interface], ask: Ask
) -> Decided:
    """Decide one family's address. Raises StartupError for a wish that cannot be read or met."""
    if wish.value == "none":
        return Decided(stored, f"{wish.variable}=none: kept as stored" if stored else "none wanted")
    if wish.detects or (not wish.value and not stored and version == 4):
        return _detect(wish, version, stored, interfaces, ask)
    if not wish.value:
        return Decided(stored, "kept as stored" if stored else "none wanted")
    return _given(wish, version, interfaces)


def _detect(
    wish: Wish, version: Version, stored: str, interfaces: Sequence[Interface], ask: Ask
) -> Decided:
    try:
        method = parse_method(wish.method)
    except ValueError as error:
        raise StartupError(f"{wish.method_variable}: {error}") from error
    asks = method.kind in {"can-reach", "kubernetes-internal-ip"}
    detection = detect(method, interfaces, version, ask(method, version) if asks else "")
    if detection.chosen is not None:
        return Decided(detection.chosen.address, detection.reason, detection)
    if stored:
        return Decided(stored, f"kept as stored: {detection.reason}", detection)
    if version == 6 and not asks:
        return Decided("", detection.reason, detection)
    looked_at = ", ".join(
        f"{candidate.address} on {candidate.interface} ({candidate.refused})"
        for candidate in detection.considered
    )
    raise StartupError(
        f"{wish.method_variable}={describe(method)}: {detection.reason}; looked at: "
        f"{looked_at or 'no address at all'}. Name another method, or set {wish.variable}"
    )


def _given(wish: Wish, version: Version, interfaces: Sequence[Interface]) -> Decided:
    try:
        given = ip_interface(wish.value)
    except ValueError:
        given = None
    if given is None or given.version != version:
        raise StartupError(
            f"{wish.variable}={wish.value!r} is no IPv{version} address; use autodetect, none, "
            "an address or an address/prefix"
        )
    if "/" not in wish.value and version == 4:
        for interface in interfaces:
            for address in map(ip_interface, interface.addresses):
                if address.ip == given.ip:
                    how = f"{wish.variable}={wish.value}, prefix from {interface.name}"
                    return Decided(str(address), how)
    return Decided(str(given), f"{wish.variable}={wish.value}")
