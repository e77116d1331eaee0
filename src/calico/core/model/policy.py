"""Network policies: namespaced, global, and their staged forms.

    NetworkPolicy                  StagedNetworkPolicy                + stagedAction
    GlobalNetworkPolicy            StagedGlobalNetworkPolicy          + stagedAction
                                   StagedKubernetesNetworkPolicy      Kubernetes' own fields

The order of attributes is the order on the wire, so the global specs are not extensions of the
namespaced ones. An absent order sorts last; an absent tier is the tier "default".

Source: api/pkg/apis/projectcalico/v3/{networkpolicy,globalnetworkpolicy,staged*}.go;
policy-semantics 3.3.
"""

from typing import TypeAlias

from msgspec import field

from calico.core.model.kubernetes_policy import (
    KubernetesEgressRule,
    KubernetesIngressRule,
    LabelSelector,
)
from calico.core.model.metadata import ApiStruct, Resource
from calico.core.model.rule import (
    EntityRule,
    HTTPMatch,
    HTTPPath,
    ICMPFields,
    Rule,
    RuleMetadata,
    ServiceAccountMatch,
    ServiceMatch,
)

__all__ = [
    "EntityRule",
    "GlobalNetworkPolicy",
    "GlobalNetworkPolicySpec",
    "HTTPMatch",
    "HTTPPath",
    "ICMPFields",
    "NetworkPolicy",
    "NetworkPolicySpec",
    "Policy",
    "Rule",
    "RuleMetadata",
    "ServiceAccountMatch",
    "ServiceMatch",
    "StagedGlobalNetworkPolicy",
    "StagedGlobalNetworkPolicySpec",
    "StagedKubernetesNetworkPolicy",
    "StagedKubernetesNetworkPolicySpec",
    "StagedNetworkPolicy",
    "StagedNetworkPolicySpec",
]


class NetworkPolicySpec(ApiStruct, frozen=True):
    """A policy for the endpoints of one namespace."""

    tier: str = ""
    order: float | None = None
    ingress: tuple[Rule, ...] = ()
    egress: tuple[Rule, ...] = ()
    selector: str = ""
    types: tuple[str, ...] = ()
    service_account_selector: str = ""
    performance_hints: tuple[str, ...] = ()


class NetworkPolicy(Resource, frozen=True):
    """A policy for the endpoints of its namespace."""

    spec: NetworkPolicySpec = field(default_factory=NetworkPolicySpec)


class GlobalNetworkPolicySpec(ApiStruct, frozen=True):
    """A policy for endpoints of any namespace, and for the hosts themselves."""

    tier: str = ""
    order: float | None = None
    ingress: tuple[Rule, ...] = ()
    egress: tuple[Rule, ...] = ()
    selector: str = ""
    types: tuple[str, ...] = ()
    do_not_track: bool = False
    pre_dnat: bool = False
    apply_on_forward: bool = False
    service_account_selector: str = ""
    namespace_selector: str = ""
    performance_hints: tuple[str, ...] = ()


class GlobalNetworkPolicy(Resource, frozen=True):
    """A policy for the whole cluster."""

    spec: GlobalNetworkPolicySpec = field(default_factory=GlobalNetworkPolicySpec)


class StagedNetworkPolicySpec(ApiStruct, frozen=True):
    """What a NetworkPolicy would become; shown in flow logs, never enforced."""

    staged_action: str = ""
    tier: str = ""
    order: float | None = None
    ingress: tuple[Rule, ...] = ()
    egress: tuple[Rule, ...] = ()
    selector: str = ""
    types: tuple[str, ...] = ()
    service_account_selector: str = ""
    performance_hints: tuple[str, ...] = ()


class StagedNetworkPolicy(Resource, frozen=True):
    """A NetworkPolicy on trial."""

    spec: StagedNetworkPolicySpec = field(default_factory=StagedNetworkPolicySpec)


class StagedGlobalNetworkPolicySpec(ApiStruct, frozen=True):
    """What a GlobalNetworkPolicy would become."""

    staged_action: str = ""
    tier: str = ""
    order: float | None = None
    ingress: tuple[Rule, ...] = ()
    egress: tuple[Rule, ...] = ()
    selector: str = ""
    types: tuple[str, ...] = ()
    do_not_track: bool = False
    pre_dnat: bool = False
    apply_on_forward: bool = False
    service_account_selector: str = ""
    namespace_selector: str = ""
    performance_hints: tuple[str, ...] = ()


class StagedGlobalNetworkPolicy(Resource, frozen=True):
    """A GlobalNetworkPolicy on trial."""

    spec: StagedGlobalNetworkPolicySpec = field(default_factory=StagedGlobalNetworkPolicySpec)


class StagedKubernetesNetworkPolicySpec(ApiStruct, frozen=True):
    """What a Kubernetes NetworkPolicy would become."""

    staged_action: str = ""
    pod_selector: LabelSelector = field(default_factory=LabelSelector)
    ingress: tuple[KubernetesIngressRule, ...] = ()
    egress: tuple[KubernetesEgressRule, ...] = ()
    policy_types: tuple[str, ...] = ()


class StagedKubernetesNetworkPolicy(Resource, frozen=True):
    """A Kubernetes NetworkPolicy on trial."""

    spec: StagedKubernetesNetworkPolicySpec = field(
        default_factory=StagedKubernetesNetworkPolicySpec
    )


Policy: TypeAlias = (
    NetworkPolicy | GlobalNetworkPolicy | StagedNetworkPolicy | StagedGlobalNetworkPolicy
)
