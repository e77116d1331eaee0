"""One BGP session as BIRD's configuration has it.

    Peering, what all sessions share, calls of BGPFilters --session--> the lines of a protocol

Whatever comes in has been checked by who made the Peering; only the password is people's own
text, and what cannot be written in quotes makes no Peering.

Source: BIRD's user guide, "BGP"; bgp-confd 5.3, 5.4.
"""

from collections.abc import Sequence

from msgspec import Struct

from calico.core.render.bird_filters import Told, export_filter, import_filter
from calico.core.render.bird_peers import Peering

_HOLD_SECONDS = 240  # BIRD's default


class Manner(Struct, frozen=True):
    """What all sessions of a node share."""

    own_port: int = 0
    binds_strictly: bool = False  # listen on the own address only
    is_logged: bool = False
    uses_bfd: bool = False
    cluster_id: str = ""  # of a route reflector, an address


class Calls(Struct, frozen=True):
    """Lines that call a session's BGPFilters, in order."""

    on_import: Sequence[str] = ()
    on_export: Sequence[str] = ()


def session(peering: Peering, told: Told, manner: Manner, calls: Calls) -> list[str]:
    """Render a session."""
    to_ibgp = peering.is_internal
    channel = [
        *block("import filter", [*calls.on_import, *import_filter(told)], end="};"),
        *block("export filter", export_filter(told, calls.on_export, to_ibgp=to_ibgp), end="};"),
        "add paths on;",
        "gateway recursive;",
        *when(bool(peering.next_hop), f"next hop {peering.next_hop};"),
    ]
    own_address = f" {peering.own_address}" if peering.own_address else ""
    return [
        'description "Connection to BGP peer";',
        *when(manner.is_logged, "debug { states, routes, filters, events };"),
        f"local{own_address}{_port(manner.own_port)} as {peering.own_as_number};",
        f"neighbor {peering.address}{_port(peering.port)} as {peering.as_number};",
        *_distance(peering),
        *when(manner.binds_strictly and bool(own_address), "strict bind on;"),
        *when(manner.uses_bfd and bool(own_address), "bfd on;"),
        *when(peering.is_passive, "passive on;"),
        "connect delay time 2;",
        "connect retry time 5;",
        "error wait time 5, 30;",
        *_times(peering),
        *_reflection(peering, manner),
        *when(peering.allowed_own_as > 0, f"allow local as {peering.allowed_own_as};"),
        *when(bool(peering.password), f'password "{peering.password}";'),
        *block(f"ipv{peering.version}", channel, end="};"),
    ]


def _distance(peering: Peering) -> list[str]:
    if not peering.ttl_hops:
        return ["multihop;"]
    return [f"multihop {peering.ttl_hops};", "ttl security on;"]


def _times(peering: Peering) -> list[str]:
    restart, keepalive = peering.restart_seconds, peering.keepalive_seconds
    return [
        "graceful restart on;",
        *when(restart is not None, f"graceful restart time {restart};"),
        *when(keepalive is not None, f"keepalive time {keepalive};"),
        # BIRD refuses to keep alive more seldom than the other side may hang up
        *when((keepalive or 0) > _HOLD_SECONDS, f"hold time {3 * (keepalive or 0)};"),
    ]


def _reflection(peering: Peering, manner: Manner) -> list[str]:
    if not peering.is_client:
        return []
    return ["rr client;", *when(bool(manner.cluster_id), f"rr cluster id {manner.cluster_id};")]


def when(condition: bool, line: str) -> list[str]:
    """Return a line that is there under a condition."""
    return [line] if condition else []


def block(head: str, lines: Sequence[str], end: str = "}") -> list[str]:
    """Put lines into braces; a block of the first level is followed by an empty line."""
    last = [end] if end == "};" else [end, ""]
    return [f"{head} {{", *(f"  {line}" for line in lines), *last]


def _port(number: int) -> str:
    return f" port {number}" if number else ""
