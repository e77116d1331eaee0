"""Who is asked about an endpoint's traffic, in which order, up to where nothing more is reached.

    WorkloadEndpoint --path--> tiers (policies) --> profiles
                                  |
                                  `--> its group chain, the same for all endpoints with this path

A tier with a policy for this direction ends in its default action. When that is Deny and none of
the tier's policies can pass, nothing behind it is reached, or rendered.

A policy or a profile that the endpoint names and that is not there denies: fail closed.

In a family of which the endpoint has no address nobody is asked, and so all is denied, but
neighbour discovery and answers to its host: nothing is routed to it, and the source check lets
through no more than what a link-local address sends to the host. Its policies need not be in
that family's table then, which halves the work on a node with one family.

Source: policy-semantics 3.5; felix/rules/endpoints.go.
"""

from base64 import urlsafe_b64encode
from collections.abc import Container, Iterator, Mapping
from hashlib import sha256
from typing import Final, Literal

from msgspec import Struct, json

from calico.core.intent.endpoints import WorkloadEndpoint
from calico.core.intent.keys import PolicyKey
from calico.core.intent.policies import Policy
from calico.core.render.names import GROUP_ID_LENGTH, Direction, IpFamily, ProfileKey, RulesKey
from calico.core.render.rules import has_pass

MOST_STEPS_INLINE: Final = 2


class Step(Struct, frozen=True):
    """One policy or profile that is asked."""

    key: RulesKey
    known: bool  # we have its rules
    may_pass: bool = False


class TierPath(Struct, frozen=True):
    """The policies of one tier that are asked, in order."""

    name: str
    default_action: Literal["Deny", "Pass"]
    steps: tuple[Step, ...]

    @property
    def may_pass(self) -> bool:
        """A packet may leave this tier without a verdict."""
        return any(step.may_pass for step in self.steps)

    @property
    def is_end(self) -> bool:
        """Nothing behind this tier is reached."""
        denies = self.default_action == "Deny" or not all(step.known for step in self.steps)
        return denies and not self.may_pass


class Path(Struct, frozen=True):
    """All that an endpoint asks in one direction. Equal paths are equal rules."""

    direction: Direction
    tiers: tuple[TierPath, ...] = ()
    profiles: tuple[Step, ...] = ()

    @property
    def steps(self) -> tuple[Step, ...]:
        """Everyone who is asked."""
        return (*(step for tier in self.tiers for step in tier.steps), *self.profiles)

    @property
    def is_inline(self) -> bool:
        """So short that it is no use to share it: no chain of its own."""
        return len(self.steps) <= MOST_STEPS_INLINE

    @property
    def group_chain(self) -> str:
        """The chain that holds it; named as Calico names its policy groups."""
        way = "i" if self.direction == "ingress" else "o"
        digest = urlsafe_b64encode(sha256(json.encode(self)).digest()).decode()
        return f"filter-cali-g{way}-{digest[:GROUP_ID_LENGTH]}"


def is_served(endpoint: WorkloadEndpoint, family: IpFamily) -> bool:
    """Say whether packets of this family can be the endpoint's."""
    addresses = endpoint.ipv4_addresses if family == "ip" else endpoint.ipv6_addresses
    others = any((":" in net) == (family == "ip6") for net in endpoint.allowed_source_prefixes)
    return bool(addresses) or others


def path(
    endpoint: WorkloadEndpoint,
    direction: Direction,
    policies: Mapping[PolicyKey, Policy],
    profiles: Container[str],
) -> Path:
    """Follow a packet of this direction through tiers and profiles."""
    tiers = []
    for tier in endpoint.tiers:
        keys = tier.ingress if direction == "ingress" else tier.egress
        steps = tuple(_steps(keys, direction, policies))
        if steps:
            tiers.append(TierPath(tier.name, tier.default_action, steps))
            if tiers[-1].is_end:
                return Path(direction, tuple(tiers))
    asked: list[Step] = []
    for name in endpoint.profiles:
        asked.append(Step(ProfileKey(name), name in profiles))
        if not asked[-1].known:
            break
    return Path(direction, tuple(tiers), tuple(asked))


def _steps(
    keys: tuple[PolicyKey, ...], direction: Direction, policies: Mapping[PolicyKey, Policy]
) -> Iterator[Step]:
    """Walk the policies of a tier; one that is missing denies, so nothing is asked after it."""
    for key in keys:
        if key.kind.startswith("Staged"):
            continue
        policy = policies.get(key)
        if policy is None:
            yield Step(key, known=False)
            return
        yield Step(key, known=True, may_pass=has_pass(policy, direction))
