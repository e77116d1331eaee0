"""Tiers: the order in which groups of policies judge, and what happens at the end of one.

Source: api/pkg/apis/projectcalico/v3/tier.go; datastore-etcd 1.2.6, 1.5.
"""

from collections.abc import Iterator

from msgspec import field

from calico.core.model.constraints import fields, one_of, problem
from calico.core.model.metadata import ApiStruct, Condition, Resource
from calico.core.model.naming import LONGEST_LABEL, metadata, tier_name
from calico.core.model.problem import Problem

DEFAULT_TIER = "default"


class TierSpec(ApiStruct, frozen=True):
    """`default_action` is Deny or Pass, for traffic that no policy of the tier decided."""

    order: float | None = None
    default_action: str | None = None


class TierStatus(ApiStruct, frozen=True):
    """What controllers say of the tier."""

    conditions: tuple[Condition, ...] = ()


class Tier(Resource, frozen=True):
    """A group of policies, with its place among the others."""

    spec: TierSpec = field(default_factory=TierSpec)
    status: TierStatus = field(default_factory=TierStatus)


BUILT_IN = {  # name: order and default action, which must stay
    "default": (1_000_000, "Deny"),
    "kube-admin": (1_000, "Pass"),
    "kube-baseline": (10_000_000, "Pass"),
}


def check_tier(tier: Tier) -> Iterator[Problem]:
    """Yield all that is wrong with a tier, defaults filled in."""
    yield from metadata(tier.metadata, tier_name, LONGEST_LABEL)
    yield from fields(tier.spec, "spec", {"default_action": one_of("Deny", "Pass")})
    order, action = BUILT_IN.get(tier.metadata.name, (None, None))
    if order is not None and tier.spec.order != order:
        reason = f"tier {tier.metadata.name} must have order {order}"
        yield from problem("spec.order", tier.spec.order, reason)
    if action is not None and tier.spec.default_action != action:
        reason = f"tier {tier.metadata.name} must have defaultAction {action}"
        yield from problem("spec.defaultAction", tier.spec.default_action, reason)
