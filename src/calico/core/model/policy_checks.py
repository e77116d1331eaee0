"""What policies, tiers apart, may say.

    check_policy(policy)   all that the API asks, on writing
    usable_policy(policy)  what makes it impossible to obey, on reading

Source: libcalico-go/lib/validator/v3/validator.go, CRD schemas; policy-semantics 3.9.
"""

from collections.abc import Iterator, Mapping

from msgspec.structs import replace

from calico.core.model.constraints import (
    Check,
    all_of,
    at_most,
    each,
    fields,
    no_repeats,
    one_of,
    plain_selector,
    problem,
    selector,
)
from calico.core.model.naming import dns_name, global_policy_name, metadata, policy_name
from calico.core.model.policy import (
    GlobalNetworkPolicy,
    GlobalNetworkPolicySpec,
    NetworkPolicy,
    NetworkPolicySpec,
    Policy,
    StagedGlobalNetworkPolicy,
    StagedGlobalNetworkPolicySpec,
    StagedKubernetesNetworkPolicy,
    StagedNetworkPolicy,
    StagedNetworkPolicySpec,
)
from calico.core.model.problem import Problem
from calico.core.model.rule import Rule
from calico.core.model.rule_checks import rules, usable_rules

STAGED_ACTIONS = one_of("Set", "Delete", "Learn", "Ignore")
NAMESPACED: Mapping[str, Check] = {
    "tier": dns_name,
    "selector": plain_selector,
    "types": all_of(at_most(2), no_repeats, each(one_of("Ingress", "Egress"))),
    "service_account_selector": plain_selector,
    "performance_hints": all_of(no_repeats, each(one_of("AssumeNeededOnEveryNode"))),
}
GLOBAL: Mapping[str, Check] = {**NAMESPACED, "namespace_selector": plain_selector}
USABLE: Mapping[str, Check] = {"selector": selector, "service_account_selector": selector}
USABLE_GLOBAL: Mapping[str, Check] = {**USABLE, "namespace_selector": selector}


def usable_policy(policy: Policy) -> Iterator[Problem]:
    """Yield what makes a policy impossible to obey."""
    of_cluster = isinstance(policy, GlobalNetworkPolicy | StagedGlobalNetworkPolicy)
    yield from fields(policy.spec, "spec", USABLE_GLOBAL if of_cluster else USABLE)
    yield from usable_rules(policy.spec.ingress, "spec.ingress")
    yield from usable_rules(policy.spec.egress, "spec.egress")


def check_network_policy(policy: NetworkPolicy) -> Iterator[Problem]:
    """Yield all that is wrong with a NetworkPolicy."""
    yield from metadata(policy.metadata, policy_name)
    yield from namespaced_spec(policy.spec)


def check_global_network_policy(policy: GlobalNetworkPolicy) -> Iterator[Problem]:
    """Yield all that is wrong with a GlobalNetworkPolicy."""
    yield from metadata(policy.metadata, global_policy_name)
    yield from global_spec(policy.spec)


def check_staged_network_policy(policy: StagedNetworkPolicy) -> Iterator[Problem]:
    """Yield all that is wrong with a StagedNetworkPolicy."""
    yield from metadata(policy.metadata, policy_name)
    yield from fields(policy.spec, "spec", {"staged_action": STAGED_ACTIONS})
    if policy.spec.staged_action != "Delete":
        yield from namespaced_spec(policy.spec)
    elif policy.spec != StagedNetworkPolicySpec(tier=policy.spec.tier, staged_action="Delete"):
        yield from only_tier()


def check_staged_global_network_policy(policy: StagedGlobalNetworkPolicy) -> Iterator[Problem]:
    """Yield all that is wrong with a StagedGlobalNetworkPolicy."""
    yield from metadata(policy.metadata, global_policy_name)
    yield from fields(policy.spec, "spec", {"staged_action": STAGED_ACTIONS})
    bare = StagedGlobalNetworkPolicySpec(tier=policy.spec.tier, staged_action="Delete")
    if policy.spec.staged_action != "Delete":
        yield from global_spec(policy.spec)
    elif policy.spec != bare:
        yield from only_tier()


def check_staged_kubernetes(policy: StagedKubernetesNetworkPolicy) -> Iterator[Problem]:
    """Yield all that is wrong with a StagedKubernetesNetworkPolicy."""
    yield from metadata(policy.metadata)
    types = all_of(at_most(2), no_repeats, each(one_of("Ingress", "Egress")))
    yield from fields(policy.spec, "spec", {"staged_action": STAGED_ACTIONS, "policy_types": types})
    bare = replace(StagedKubernetesNetworkPolicy().spec, staged_action="Delete")
    if policy.spec.staged_action == "Delete" and policy.spec != bare:
        yield from problem("spec", "", "must hold nothing but stagedAction when that is Delete")


def only_tier() -> Iterator[Problem]:
    """Complain of a staged deletion that says more than what it deletes."""
    yield from problem("spec", "", "must hold nothing but tier when stagedAction is Delete")


def namespaced_spec(spec: NetworkPolicySpec | StagedNetworkPolicySpec) -> Iterator[Problem]:
    """Check the spec of a policy of one namespace."""
    yield from fields(spec, "spec", NAMESPACED)
    yield from rules(spec.ingress, "spec.ingress", "ingress")
    yield from rules(spec.egress, "spec.egress", "egress")


def global_spec(spec: GlobalNetworkPolicySpec | StagedGlobalNetworkPolicySpec) -> Iterator[Problem]:
    """Check the spec of a policy of the cluster."""
    yield from fields(spec, "spec", GLOBAL)
    yield from rules(spec.ingress, "spec.ingress", "ingress")
    yield from rules(spec.egress, "spec.egress", "egress")
    yield from service_namespaces(spec.ingress, spec.egress)
    if spec.do_not_track and spec.pre_dnat:
        yield from problem("spec.preDNAT", "true", "excludes doNotTrack; choose one")
    if (spec.do_not_track or spec.pre_dnat) and not spec.apply_on_forward:
        reason = "must be true when preDNAT or doNotTrack is"
        yield from problem("spec.applyOnForward", "false", reason)
    if spec.pre_dnat and spec.egress:
        yield from problem("spec.egress", "", "a preDNAT policy has no egress rules")
    if spec.pre_dnat and "Egress" in spec.types:
        yield from problem("spec.types", "Egress", "a preDNAT policy has no Egress type")


def service_namespaces(ingress: tuple[Rule, ...], egress: tuple[Rule, ...]) -> Iterator[Problem]:
    """Check that a policy without a namespace says whose services it means."""
    sources = (("ingress", "source", [rule.source for rule in ingress]),)
    destinations = (("egress", "destination", [rule.destination for rule in egress]),)
    for direction, side, entities in (*sources, *destinations):
        for index, entity in enumerate(entities):
            if entity.services is not None and not entity.services.namespace:
                path = f"spec.{direction}[{index}].{side}.services.namespace"
                yield from problem(path, "", "a global policy must say the service's namespace")
