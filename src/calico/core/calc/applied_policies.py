"""Which policies apply to each local endpoint, by tier and direction, in evaluation order.

    endpoints (labels) --+
    profiles  (labels) --+--> AppliedPolicies --> {endpoint: (tier, tier, ...), or None once gone}
    policies (placement)-+                        {policy: True once it applies, None once not}
    tiers     (order)  --+

`applied_tiers` is the definition: short, slow, plainly right. `AppliedPolicies` keeps its answer
up to date at a cost set by what changed; a property test holds the two equal. Endpoints with
equal labels have equal answers, so one tuple is computed, and shared, for all of them.

Invariant: the output depends on the current inputs alone, never on their history or order.
(The original keeps the default action of a tier that was deleted under its policies until it
restarts; here it becomes Deny at once, as after a restart.)
Source: felix/calc/policy_sorter.go, policy_resolver.go; policy-semantics 3.3.3, 3.5.
"""

from collections.abc import Iterable, Mapping
from itertools import groupby
from math import inf
from typing import Literal, NamedTuple, TypeAlias

from msgspec import Struct

from calico.core.calc.label_index import LabelIndex, groups_of
from calico.core.calc.labels import Labelled, Labels
from calico.core.intent.endpoints import Tier
from calico.core.intent.keys import EndpointKey, PolicyKey
from calico.core.selector.ast import Selector

Tiers: TypeAlias = tuple[Tier, ...]
Rank: TypeAlias = tuple[bool, float, str, float, str]


class Placement(Struct, frozen=True):
    """Where a policy stands: what it selects, when it is asked, about which directions."""

    selector: Selector
    tier: str
    order: float = inf
    ingress: bool = True
    egress: bool = True


class TierPlacement(Struct, frozen=True):
    """Where a tier stands, and what happens at its end."""

    order: float = inf
    default_action: Literal["Deny", "Pass"] = "Deny"


class AppliedDelta(NamedTuple):
    """What changed; None means "no longer"."""

    tiers: Mapping[EndpointKey, Tiers | None]
    policies: Mapping[PolicyKey, Literal[True] | None]


def rank(key: PolicyKey, placement: Placement, tiers: Mapping[str, TierPlacement]) -> Rank:
    """Sort by tier (known tiers first, then order, then name), then by policy order, then name.

    The last comparison is of one joined string, as in Calico: "a-b/ns" precedes "a/ns".
    """
    known = placement.tier in tiers
    tier_order = tiers[placement.tier].order if known else inf
    name = f"{key.name}/{key.namespace}/{key.kind}"
    return not known, tier_order, placement.tier, placement.order, name


def by_tier(
    ordered: Iterable[PolicyKey],
    placements: Mapping[PolicyKey, Placement],
    tiers: Mapping[str, TierPlacement],
) -> Tiers:
    """Group policies that are in evaluation order. A tier that nobody defined ends in Deny."""
    result = []
    placed = [(key, placements[key]) for key in ordered]
    for name, group in groupby(placed, lambda pair: pair[1].tier):
        policies = list(group)
        action = tiers[name].default_action if name in tiers else "Deny"
        ingress = tuple([key for key, placement in policies if placement.ingress])
        egress = tuple([key for key, placement in policies if placement.egress])
        result.append(Tier(name, action, ingress, egress))
    return tuple(result)


def applied_tiers(
    labels: Labels,
    placements: Mapping[PolicyKey, Placement],
    tiers: Mapping[str, TierPlacement],
) -> Tiers:
    """Define the answer for one endpoint, from scratch."""
    matching = [key for key, policy in placements.items() if policy.selector.matches(labels)]
    ordered = sorted(matching, key=lambda key: rank(key, placements[key], tiers))
    return by_tier(ordered, placements, tiers)


class AppliedPolicies:
    """The definition, maintained. In every setter, None means "it no longer exists"."""

    def __init__(self) -> None:
        self._index: LabelIndex[PolicyKey] = LabelIndex()
        self._groups: dict[EndpointKey, int] = {}
        self._endpoints: dict[int, set[EndpointKey]] = {}  # the other way round
        self._placements: dict[PolicyKey, Placement] = {}
        self._tiers: dict[str, TierPlacement] = {}
        self._ranks: dict[PolicyKey, Rank] = {}
        self._dirty_endpoints: set[EndpointKey] = set()
        self._dirty_groups: set[int] = set()
        self._dirty_policies: set[PolicyKey] = set()
        self._computed: dict[int, Tiers] = {}
        self._reported: dict[EndpointKey, Tiers] = {}
        self._applied: set[PolicyKey] = set()

    def set_endpoint(self, key: EndpointKey, labels: Labelled | None) -> None:
        """Cost: an evaluation of the selectors that could match, if the labels are new here."""
        old = self._groups.pop(key, None)
        if labels is not None:
            new = self._index.hold(labels)
            self._groups[key] = new
            self._endpoints.setdefault(new, set()).add(key)
            self._dirty_policies |= self._index.selectors_of(new)
        if old is not None:
            self._let_go(key, old)
        self._dirty_endpoints.add(key)

    def set_profile(self, name: str, labels: Labels | None) -> None:
        """Cost: an evaluation per group of labels that inherits from the profile."""
        for change in self._index.set_profile(name, labels):
            self._index.relabel(change)
            self._dirty_policies |= change.gained | change.lost
            if change.gained or change.lost:
                self._dirty_groups.add(change.group)

    def set_policy(self, key: PolicyKey, placement: Placement | None) -> None:
        """Cost: one query, and a new order for the groups whose answer changes."""
        old = self._placements.pop(key, None)
        self._ranks.pop(key, None)
        matched = self._index.matching(key)
        changed = self._index.set_selector(key, placement.selector if placement else None)
        if placement is not None:
            self._placements[key] = placement
            self._ranks[key] = rank(key, placement, self._tiers)
        self._dirty_policies.add(key)
        if old is None or placement is None or _stands_elsewhere(old, placement):
            changed |= matched
        self._dirty_groups.update(groups_of(changed))

    def set_tier(self, name: str, tier: TierPlacement | None) -> None:
        """Cost: every group is put in order again at the next flush; tiers change rarely."""
        self._tiers.pop(name, None)
        if tier is not None:
            self._tiers[name] = tier
        for key, placement in self._placements.items():
            if placement.tier == name:
                self._ranks[key] = rank(key, placement, self._tiers)
        self._dirty_groups.update(self._endpoints)

    def flush(self) -> AppliedDelta:
        """Return what changed since the last flush, in key order."""
        for number in self._dirty_groups:
            if number in self._endpoints:
                old, new = self._computed.get(number), self._tiers_of(number)
                self._computed[number] = new
                if new != old:
                    self._dirty_endpoints |= self._endpoints[number]
        delta: dict[EndpointKey, Tiers | None] = {}
        for key in sorted(self._dirty_endpoints):
            old, current = self._reported.pop(key, None), self._current(key)
            if current is not None:
                self._reported[key] = current
            if current != old:
                delta[key] = current
        self._dirty_endpoints.clear()
        self._dirty_groups.clear()
        return AppliedDelta(delta, self._flush_policies())

    def reported(self, key: EndpointKey) -> Tiers:
        """Return the tiers of an endpoint, as of the last flush; none for an unknown one."""
        return self._reported.get(key, ())

    def _flush_policies(self) -> dict[PolicyKey, Literal[True] | None]:
        delta: dict[PolicyKey, Literal[True] | None] = {}
        for key in sorted(self._dirty_policies):
            applies = bool(self._index.matching(key))
            if applies and key not in self._applied:
                self._applied.add(key)
                delta[key] = True
            elif not applies and key in self._applied:
                self._applied.remove(key)
                delta[key] = None
        self._dirty_policies.clear()
        return delta

    def _let_go(self, key: EndpointKey, group: int) -> None:
        self._dirty_policies |= self._index.selectors_of(group)
        if self._groups.get(key) != group:
            self._endpoints[group].discard(key)
            if not self._endpoints[group]:
                del self._endpoints[group]
                self._computed.pop(group, None)
        self._index.release(group)

    def _current(self, key: EndpointKey) -> Tiers | None:
        group = self._groups.get(key)
        if group is None:
            return None
        if group not in self._computed:
            self._computed[group] = self._tiers_of(group)
        return self._computed[group]

    def _tiers_of(self, group: int) -> Tiers:
        ordered = sorted(self._index.selectors_of(group), key=self._ranks.__getitem__)
        return by_tier(ordered, self._placements, self._tiers)


def _stands_elsewhere(old: Placement, new: Placement) -> bool:
    before = old.tier, old.order, old.ingress, old.egress
    return before != (new.tier, new.order, new.ingress, new.egress)
