"""The rules that this node needs, and the IP sets that they refer to.

    policies, profiles (records)   --+
    policies that apply            --+--> ActiveRules --> {policy: rules, or None once unneeded}
    endpoints, with their profiles --+                    {profile: rules, or None once unneeded}
                                                          {set id: spec, or None once unneeded}

A policy is needed while it applies to a local endpoint, or always if it says that every node
needs it; a profile, while an endpoint has it, whether anybody defined it or not (policy_records.py
says what an undefined one does). Rules are converted when they become needed, not before.

Invariant: the sets are exactly those that the reported rules refer to.
Source: felix/calc/{active_rules_calculator,rule_scanner}.go; policy-semantics 3.2, 3.3.4.
"""

from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple, TypeAlias

from calico.core.calc.policy_records import (
    ALLOW_EVERYTHING,
    DEFAULT_ALLOW,
    PolicyRecord,
    is_needed_everywhere,
    policy_rules,
    profile_rules,
)
from calico.core.calc.set_specs import SetSpec
from calico.core.intent.keys import EndpointKey, PolicyKey
from calico.core.intent.policies import Policy, Profile
from calico.core.model import profile as model

Used: TypeAlias = Mapping[PolicyKey, Literal[True] | None]
User: TypeAlias = PolicyKey | str  # a policy, or a profile by name: what refers to sets


class RulesInUse(NamedTuple):
    """All rules that are needed, and their sets."""

    policies: Mapping[PolicyKey, Policy]
    profiles: Mapping[str, Profile]
    sets: Mapping[str, SetSpec]


class RulesDelta(NamedTuple):
    """What changed; None means "no longer"."""

    policies: Mapping[PolicyKey, Policy | None]
    profiles: Mapping[str, Profile | None]
    sets: Mapping[str, SetSpec | None]


def needed_policies(
    records: Mapping[PolicyKey, PolicyRecord], applied: Iterable[PolicyKey]
) -> set[PolicyKey]:
    """Define the policies that are needed."""
    applied = set(applied)
    return {k for k, record in records.items() if k in applied or is_needed_everywhere(record)}


def rules_in_use(
    policies: Mapping[PolicyKey, PolicyRecord],
    applied: Iterable[PolicyKey],
    profiles: Mapping[str, model.Profile],
    names: Iterable[str],
) -> RulesInUse:
    """Define the answer, from scratch; `names` are the profiles that local endpoints have."""
    known = {**profiles, DEFAULT_ALLOW: ALLOW_EVERYTHING}
    of_policies = {k: policy_rules(policies[k]) for k in needed_policies(policies, applied)}
    of_profiles = {name: profile_rules(known.get(name)) for name in names}
    return RulesInUse(
        {key: rules.policy for key, rules in of_policies.items()},
        {name: rules.profile for name, rules in of_profiles.items()},
        {
            spec.id: spec
            for sets in (
                *(rules.sets for rules in of_policies.values()),
                *(rules.sets for rules in of_profiles.values()),
            )
            for spec in sets
        },
    )


class ActiveRules:
    """The definition, maintained. In every setter, None means "it no longer exists"."""

    def __init__(self) -> None:
        self._policies: dict[PolicyKey, PolicyRecord] = {}
        self._profiles: dict[str, model.Profile] = {DEFAULT_ALLOW: ALLOW_EVERYTHING}
        self._applied: set[PolicyKey] = set()
        self._names: dict[EndpointKey, tuple[str, ...]] = {}
        self._endpoints: dict[str, set[EndpointKey]] = {}  # profile -> who has it
        self._dirty_policies: set[PolicyKey] = set()
        self._dirty_profiles: set[str] = set()
        self._reported_policies: dict[PolicyKey, Policy] = {}
        self._reported_profiles: dict[str, Profile] = {}
        self._sets_of: dict[User, tuple[SetSpec, ...]] = {}
        self._users: dict[str, set[User]] = {}  # set -> who refers to it
        self._specs: dict[str, SetSpec] = {}  # same keys
        self._dirty_sets: set[str] = set()
        self._reported_sets: set[str] = set()

    def set_policy(self, key: PolicyKey, record: PolicyRecord | None) -> None:
        """Cost: nothing now; a conversion at the next flush if the policy is needed."""
        self._policies.pop(key, None)
        if record is not None:
            self._policies[key] = record
        self._dirty_policies.add(key)

    def set_profile(self, name: str, record: model.Profile | None) -> None:
        """Cost: nothing now; a conversion at the next flush if the profile is needed."""
        if name == DEFAULT_ALLOW:
            return  # nobody can redefine it
        self._profiles.pop(name, None)
        if record is not None:
            self._profiles[name] = record
        self._dirty_profiles.add(name)

    def set_applied(self, applied: Used) -> None:
        """Learn which policies have begun or ceased to apply to local endpoints."""
        for key, applies in applied.items():
            if applies:
                self._applied.add(key)
            else:
                self._applied.discard(key)
            self._dirty_policies.add(key)

    def set_endpoint(self, key: EndpointKey, profiles: tuple[str, ...] | None) -> None:
        """Learn which profiles a local endpoint has."""
        for name in self._names.pop(key, ()):
            self._endpoints[name].discard(key)
            self._dirty_profiles.add(name)
        for name in profiles or ():
            self._endpoints.setdefault(name, set()).add(key)
            self._dirty_profiles.add(name)
        if profiles:
            self._names[key] = profiles

    def flush(self) -> RulesDelta:
        """Return what changed since the last flush, in key order."""
        policies, profiles = self._flush_policies(), self._flush_profiles()
        return RulesDelta(policies, profiles, self._flush_sets())

    def _flush_policies(self) -> dict[PolicyKey, Policy | None]:
        delta: dict[PolicyKey, Policy | None] = {}
        for key in sorted(self._dirty_policies):
            old, record = self._reported_policies.pop(key, None), self._policies.get(key)
            new = None
            if record is not None and (key in self._applied or is_needed_everywhere(record)):
                new, sets = policy_rules(record)
                self._reported_policies[key] = new
                self._refer(key, sets)
            else:
                self._refer(key, ())
            if new != old:
                delta[key] = new
        self._dirty_policies.clear()
        return delta

    def _flush_profiles(self) -> dict[str, Profile | None]:
        delta: dict[str, Profile | None] = {}
        for name in sorted(self._dirty_profiles):
            old, new = self._reported_profiles.pop(name, None), None
            if self._endpoints.get(name):
                new, sets = profile_rules(self._profiles.get(name))
                self._reported_profiles[name] = new
                self._refer(name, sets)
            else:
                self._endpoints.pop(name, None)
                self._refer(name, ())
            if new != old:
                delta[name] = new
        self._dirty_profiles.clear()
        return delta

    def _refer(self, user: User, sets: tuple[SetSpec, ...]) -> None:
        for spec in self._sets_of.pop(user, ()):
            self._users[spec.id].discard(user)
            self._dirty_sets.add(spec.id)
        for spec in sets:
            self._users.setdefault(spec.id, set()).add(user)
            self._specs[spec.id] = spec
            self._dirty_sets.add(spec.id)
        if sets:
            self._sets_of[user] = sets

    def _flush_sets(self) -> dict[str, SetSpec | None]:
        delta: dict[str, SetSpec | None] = {}
        for set_id in sorted(self._dirty_sets):
            if self._users[set_id]:
                if set_id not in self._reported_sets:
                    self._reported_sets.add(set_id)
                    delta[set_id] = self._specs[set_id]
            else:
                del self._users[set_id], self._specs[set_id]
                if set_id in self._reported_sets:
                    self._reported_sets.remove(set_id)
                    delta[set_id] = None
        self._dirty_sets.clear()
        return delta
