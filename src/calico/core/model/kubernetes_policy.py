"""The parts of a Kubernetes NetworkPolicy, carried by StagedKubernetesNetworkPolicy.

    pod selector, ingress rules (from, ports), egress rules (to, ports)

Source: k8s.io/api networking/v1, meta/v1 LabelSelector.
"""

from collections.abc import Mapping

from msgspec import field

from calico.core.model.metadata import ApiStruct


class LabelSelectorRequirement(ApiStruct, frozen=True):
    """One expression: key, operator (In, NotIn, Exists, DoesNotExist), values."""

    key: str = field(default_factory=str)
    operator: str = field(default_factory=str)
    values: tuple[str, ...] = ()


class LabelSelector(ApiStruct, frozen=True):
    """Labels that must hold, all of them; empty selects everything."""

    match_labels: Mapping[str, str] = {}
    match_expressions: tuple[LabelSelectorRequirement, ...] = ()


class IPBlock(ApiStruct, frozen=True):
    """A CIDR without some parts of it."""

    cidr: str = field(default_factory=str)
    except_: tuple[str, ...] = field(default=(), name="except")


class KubernetesPeer(ApiStruct, frozen=True):
    """Pods by label and namespace, or addresses."""

    pod_selector: LabelSelector | None = None
    namespace_selector: LabelSelector | None = None
    ip_block: IPBlock | None = None


class KubernetesPort(ApiStruct, frozen=True):
    """A port by number or name, or a span to `end_port`."""

    protocol: str | None = None
    port: int | str | None = None
    end_port: int | None = None


class KubernetesIngressRule(ApiStruct, frozen=True):
    """Who may come in, to which ports."""

    ports: tuple[KubernetesPort, ...] = ()
    from_: tuple[KubernetesPeer, ...] = field(default=(), name="from")


class KubernetesEgressRule(ApiStruct, frozen=True):
    """Where one may go, to which ports."""

    ports: tuple[KubernetesPort, ...] = ()
    to: tuple[KubernetesPeer, ...] = ()
