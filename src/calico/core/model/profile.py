"""Profiles: labels and last rules that endpoints share, one per namespace or service account.

Source: api/pkg/apis/projectcalico/v3/profile.go; policy-semantics 3.2.
"""

from collections.abc import Mapping

from msgspec import field

from calico.core.model.metadata import ApiStruct, Resource
from calico.core.model.rule import Rule


class ProfileSpec(ApiStruct, frozen=True):
    """Rules for traffic that no tier decided, and labels for the endpoints that refer to it."""

    ingress: tuple[Rule, ...] = ()
    egress: tuple[Rule, ...] = ()
    labels_to_apply: Mapping[str, str] = {}


class Profile(Resource, frozen=True):
    """What endpoints of one namespace or service account share."""

    spec: ProfileSpec = field(default_factory=ProfileSpec)
