"""The fewest changes that make a routing table equal to its intent; pure.

    intended x actual, at some keys --plan--> deletions, then replacements

A route is replaced in one step wherever that is safe. An address that changes hands is not: its
old route goes first, so that in between its connections can be forgotten.

Source: felix spec 6.8; felix/routetable/conntrack_owner_tracker.go for what changes hands.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple, TypeAlias

from msgspec.structs import replace

from calico.core.intent.keys import RouteKey
from calico.core.intent.routes import Change, Delete, Replace, Route

Routes: TypeAlias = Mapping[RouteKey, Route]

IPV6_DEFAULT_METRIC = 1024  # what the kernel makes of 0


class Plan(NamedTuple):
    """What to do, in this order."""

    deletions: list[Change]
    replacements: list[Change]


def as_read_back(route: Route) -> Route:
    """Say the same in the kernel's words: IPv6 knows neither metric 0 nor scopes."""
    if ":" not in route.destination:
        return route
    metric = route.metric or IPV6_DEFAULT_METRIC
    if metric == route.metric and route.scope == "universe":
        return route
    return replace(route, metric=metric, scope="universe")


def plan(intended: Routes, actual: Routes, keys: Iterable[RouteKey]) -> Plan:
    """List the fewest changes that make `actual` equal `intended` at these keys.

    Routes that are already right are left alone, so a resync never disturbs traffic. Those without
    a gateway come first: a gateway must be reachable before it is used.
    """
    deletions: list[Change] = []
    replacements: list[Change] = []
    for key in sorted(set(keys)):
        new, old = intended.get(key), actual.get(key)
        if new == old:
            continue
        if old is not None and (new is None or changes_hands(old, new)):
            deletions.append(Delete(old))
        if new is not None:
            replacements.append(Replace(new))
    replacements.sort(key=lambda change: bool(change.route.gateway))
    return Plan(deletions, replacements)


def changes_hands(old: Route, new: Route | None) -> bool:
    """Tell whether one address leaves the workload here, or comes from elsewhere to one here."""
    if not is_of_one_address(old):
        return False
    if new is None:
        return not old.gateway
    is_remote = bool(old.gateway) and bool(new.gateway)
    return old.interface != new.interface and not is_remote


def is_of_one_address(route: Route) -> bool:
    """Tell whether a route leads to one workload, here or on another node."""
    single = "/128" if ":" in route.destination else "/32"
    return route.kind == "unicast" and route.destination.endswith(single)


def is_between_nodes(route: Route) -> bool:
    """Tell whether a route leads to other nodes' workloads."""
    return route.kind == "unicast" and bool(route.gateway)


def address_of(destination: str) -> str:
    """Return a destination without its length."""
    return destination.partition("/")[0]
