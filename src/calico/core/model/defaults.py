"""What a record says when the user did not: filled in before it is checked and stored.

    with_defaults(resource) --> check(resource) --> stored_form(resource) --> the datastore

Readers treat what is absent as these values too; older records and other clients leave them out.

Source: api/pkg/defaults, libcalico-go/lib/clientv3, CRD schemas; datastore-etcd 1.2.6.
"""

from collections.abc import Callable, Mapping
from typing import TypeAlias, TypeVar

from msgspec.structs import replace

from calico.core.model.bgp import BGPConfiguration
from calico.core.model.duration import of_seconds
from calico.core.model.endpoint import WorkloadEndpoint
from calico.core.model.endpoint_names import endpoint_name
from calico.core.model.felix_config import FelixConfiguration
from calico.core.model.kube_controllers_config import (
    ControllersConfig,
    KubeControllersConfiguration,
)
from calico.core.model.metadata import Resource
from calico.core.model.policy import (
    GlobalNetworkPolicy,
    NetworkPolicy,
    Policy,
    StagedGlobalNetworkPolicy,
    StagedKubernetesNetworkPolicy,
    StagedNetworkPolicy,
)
from calico.core.model.pool import DEFAULT_BLOCK_SIZES, IPPool
from calico.core.model.rule import Rule
from calico.core.model.tier import DEFAULT_TIER, Tier
from calico.core.net.prefix import canonical_prefix, has_host_bits, ip_version

Fill: TypeAlias = Callable[[Resource], Resource]
Kind = TypeVar("Kind", bound=Resource)
DEFAULT_TIER_ORDER = 1_000_000
LEAK_GRACE_SECONDS = 15 * 60
METRICS_PORT = 9094


def with_defaults(resource: Resource) -> Resource:
    """Return the resource with what its kind's defaults add."""
    fill = DEFAULTS.get(resource.kind)
    return resource if fill is None else fill(resource)


def policy_types(ingress: tuple[Rule, ...], egress: tuple[Rule, ...]) -> tuple[str, ...]:
    """Return the directions a policy judges when it does not say: those it has rules for."""
    if not egress:
        return ("Ingress",)
    return ("Ingress", "Egress") if ingress else ("Egress",)


def default_policy(policy: Policy) -> Resource:
    """Fill in tier, types and the staged action."""
    spec = policy.spec
    types = spec.types or policy_types(spec.ingress, spec.egress)
    changes: dict[str, object] = {"tier": spec.tier or DEFAULT_TIER, "types": types}
    if isinstance(policy, StagedNetworkPolicy | StagedGlobalNetworkPolicy):
        changes["staged_action"] = policy.spec.staged_action or "Set"
        if policy.spec.staged_action == "Delete":
            changes["types"] = spec.types  # a deletion says nothing but what it deletes
    return replace(policy, spec=replace(spec, **changes))


def default_staged_kubernetes(policy: StagedKubernetesNetworkPolicy) -> Resource:
    """Fill in the staged action."""
    spec = policy.spec
    return replace(policy, spec=replace(spec, staged_action=spec.staged_action or "Set"))


def default_tier(tier: Tier) -> Resource:
    """Fill in order and default action."""
    order = DEFAULT_TIER_ORDER if tier.spec.order is None else tier.spec.order
    action = tier.spec.default_action or "Deny"
    return replace(tier, spec=replace(tier.spec, order=order, default_action=action))


def default_pool(pool: IPPool) -> Resource:
    """Fill in modes, block size, selector and uses; write the CIDR in its canonical form."""
    spec = pool.spec
    version = ip_version(spec.cidr)
    return replace(
        pool,
        spec=replace(
            spec,
            cidr=canonical_text(spec.cidr),
            vxlan_mode=spec.vxlan_mode or "Never",
            ipip_mode=spec.ipip_mode or "Never",
            block_size=spec.block_size or DEFAULT_BLOCK_SIZES[version],
            node_selector=spec.node_selector or "all()",
            allowed_uses=spec.allowed_uses or ("Workload", "Tunnel"),
            assignment_mode=spec.assignment_mode or "Automatic",
        ),
    )


def canonical_text(cidr: str) -> str:
    """Return a CIDR in its canonical text, or as it is when the checks will refuse it."""
    try:
        return cidr if "/" not in cidr or has_host_bits(cidr) else canonical_prefix(cidr)
    except ValueError:
        return cidr


def default_felix_configuration(configuration: FelixConfiguration) -> Resource:
    """Fill in the settings that are always stored; the old switch of load balancing decides two."""
    spec = configuration.spec
    balancing = spec.bpf_connect_time_load_balancing or "TCP"
    host_nat = spec.bpf_host_networked_nat_without_ctlb or "Enabled"
    if spec.bpf_connect_time_load_balancing_enabled is not None:
        balancing = "Enabled" if spec.bpf_connect_time_load_balancing_enabled else "Disabled"
        host_nat = "Disabled"
    return replace(
        configuration,
        spec=replace(
            spec,
            floating_ips=spec.floating_ips or "Disabled",
            bpf_connect_time_load_balancing=balancing,
            bpf_host_networked_nat_without_ctlb=host_nat,
            nftables_mode=spec.nftables_mode or "Auto",
            nftables_flow_table_offload=spec.nftables_flow_table_offload or "Disabled",
        ),
    )


def default_bgp_configuration(configuration: BGPConfiguration) -> Resource:
    """Fill in the log level and the aggregation of service addresses."""
    spec = configuration.spec
    return replace(
        configuration,
        spec=replace(
            spec,
            log_severity_screen=spec.log_severity_screen or "Info",
            service_load_balancer_aggregation=spec.service_load_balancer_aggregation or "Enabled",
        ),
    )


def default_kube_controllers(configuration: KubeControllersConfiguration) -> Resource:
    """Fill in the port, the health checks, and what each section lacks."""
    spec = configuration.spec
    port = METRICS_PORT if spec.prometheus_metrics_port is None else spec.prometheus_metrics_port
    return replace(
        configuration,
        spec=replace(
            spec,
            health_checks=spec.health_checks or "Enabled",
            prometheus_metrics_port=port,
            controllers=default_controllers(spec.controllers),
        ),
    )


def default_controllers(controllers: ControllersConfig) -> ControllersConfig:
    """Fill in the sections that are there."""
    node, balancer, migration = (
        controllers.node,
        controllers.load_balancer,
        controllers.migration,
    )
    if node is not None and node.leak_grace_period is None:
        node = replace(node, leak_grace_period=of_seconds(LEAK_GRACE_SECONDS))
    if balancer is not None:
        balancer = replace(balancer, assign_ips=balancer.assign_ips or "AllServices")
    if migration is not None:
        migrator = migration.policy_name_migrator or "Enabled"
        migration = replace(migration, policy_name_migrator=migrator)
    return replace(controllers, node=node, load_balancer=balancer, migration=migration)


def default_workload_endpoint(endpoint: WorkloadEndpoint) -> Resource:
    """Fill in the name, which the spec decides."""
    if endpoint.metadata.name:
        return endpoint
    try:
        name = endpoint_name(endpoint.spec)
    except ValueError:
        return endpoint  # the checks say what is missing
    return replace(endpoint, metadata=replace(endpoint.metadata, name=name))


def when(kind: type[Kind], fill: Callable[[Kind], Resource]) -> tuple[str, Fill]:
    """Pair a kind's name with its defaults, given any resource."""

    def filled(resource: Resource) -> Resource:
        return fill(resource) if isinstance(resource, kind) else resource

    return kind.__name__, filled


DEFAULTS: Mapping[str, Fill] = dict(
    (
        when(BGPConfiguration, default_bgp_configuration),
        when(FelixConfiguration, default_felix_configuration),
        when(GlobalNetworkPolicy, default_policy),
        when(IPPool, default_pool),
        when(KubeControllersConfiguration, default_kube_controllers),
        when(NetworkPolicy, default_policy),
        when(StagedGlobalNetworkPolicy, default_policy),
        when(StagedKubernetesNetworkPolicy, default_staged_kubernetes),
        when(StagedNetworkPolicy, default_policy),
        when(Tier, default_tier),
        when(WorkloadEndpoint, default_workload_endpoint),
    )
)
