"""Profiles: labels and last rules that endpoints share, one per namespace or service account.

Source: api/pkg/apis/projectcalico/v3/profile.go; policy-semantics 3.2.
"""

from collections.abc import Iterator, Mapping

from msgspec import field

from calico.core.model.constraints import fields
from calico.core.model.metadata import ApiStruct, Metadata, Resource
from calico.core.model.naming import labels, metadata
from calico.core.model.problem import Problem
from calico.core.model.rule import Rule
from calico.core.model.rule_checks import rules, usable_rules

DEFAULT_ALLOW = "projectcalico-default-allow"  # always there, never stored


class ProfileSpec(ApiStruct, frozen=True):
    """Rules for traffic that no tier decided, and labels for the endpoints that refer to it."""

    ingress: tuple[Rule, ...] = ()
    egress: tuple[Rule, ...] = ()
    labels_to_apply: Mapping[str, str] = {}


class Profile(Resource, frozen=True):
    """What endpoints of one namespace or service account share."""

    spec: ProfileSpec = field(default_factory=ProfileSpec)


def check_profile(profile: Profile) -> Iterator[Problem]:
    """Yield all that is wrong with a profile."""
    yield from metadata(profile.metadata)
    yield from fields(profile.spec, "spec", {"labels_to_apply": labels})
    yield from rules(profile.spec.ingress, "spec.ingress", "ingress")
    yield from rules(profile.spec.egress, "spec.egress", "egress")


def usable_profile(profile: Profile) -> Iterator[Problem]:
    """Yield what makes a profile impossible to obey."""
    yield from usable_rules(profile.spec.ingress, "spec.ingress")
    yield from usable_rules(profile.spec.egress, "spec.egress")


def default_allow() -> Profile:
    """Return the profile that every cluster has without storing it."""
    allow = (Rule(action="Allow"),)
    return Profile(
        metadata=Metadata(name=DEFAULT_ALLOW, resource_version="1"),
        spec=ProfileSpec(ingress=allow, egress=allow),
    )
