"""Tiers: the order in which groups of policies judge, and what happens at the end of one.

Source: api/pkg/apis/projectcalico/v3/tier.go; datastore-etcd 1.2.6, 1.5.
"""

from msgspec import field

from calico.core.model.metadata import ApiStruct, Condition, Resource

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
