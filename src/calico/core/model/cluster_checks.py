"""What the kinds that describe the cluster itself may say.

Source: libcalico-go/lib/validator/v3/validator.go, lib/clientv3, CRD schemas; datastore-etcd 1.2.6.
"""

from collections.abc import Iterator, Mapping

from calico.core.model.cluster import (
    BlockAffinity,
    ClusterInformation,
    IPAMConfig,
    IPAMConfiguration,
    LiveMigration,
)
from calico.core.model.constraints import (
    Check,
    all_of,
    any_network,
    at_most,
    each,
    fields,
    number,
    one_of,
    parts,
    problem,
    regular_expression,
    selector,
)
from calico.core.model.kube_controllers_config import (
    HostEndpointTemplate,
    KubeControllersConfiguration,
)
from calico.core.model.metadata import Metadata
from calico.core.model.naming import annotations, dns_name, labels, metadata
from calico.core.model.problem import Problem

SWITCH = one_of("Enabled", "Disabled")
PORT = number(0, 65535)


def only_default(part: Metadata) -> Iterator[Problem]:
    """Check the name of a kind that has one object."""
    if part.name != "default":
        yield from problem("metadata.name", part.name, "must be default: there is only one")


def check_cluster_information(information: ClusterInformation) -> Iterator[Problem]:
    """Yield all that is wrong with the cluster's own description."""
    yield from metadata(information.metadata)
    yield from only_default(information.metadata)


IPAM_CHECKS: Mapping[str, Check] = {
    "max_blocks_per_host": number(0, 1_000_000),
    "kube_virt_vm_address_persistence": SWITCH,
    "ip_cooldown_seconds": number(0, 1200),
}


def check_ipam_configuration(configuration: IPAMConfiguration | IPAMConfig) -> Iterator[Problem]:
    """Yield all that is wrong with IPAM's settings."""
    yield from metadata(configuration.metadata)
    yield from only_default(configuration.metadata)
    yield from fields(configuration.spec, "spec", IPAM_CHECKS)


def check_block_affinity(affinity: BlockAffinity) -> Iterator[Problem]:
    """Yield all that is wrong with an affinity."""
    yield from metadata(affinity.metadata)
    checks = {"state": one_of("confirmed", "pending", "pendingDeletion"), "cidr": any_network}
    yield from fields(affinity.spec, "spec", checks)
    if affinity.spec.deleted:
        yield from problem("spec.deleted", "true", "cannot be set; delete the affinity")


def check_live_migration(migration: LiveMigration) -> Iterator[Problem]:
    """Yield all that is wrong with a migration."""
    yield from metadata(migration.metadata)
    yield from fields(migration.spec, "spec", {"target": parts({"selector": selector})})


TEMPLATE: Mapping[str, Check] = {
    "generate_name": all_of(at_most(253), dns_name),
    "interface_cidrs": each(any_network),
    "interface_pattern": regular_expression,
    "labels": labels,
    "annotations": annotations,
    "node_selector": selector,
}
HOST_ENDPOINT: Mapping[str, Check] = {
    "auto_create": SWITCH,
    "create_default_host_endpoint": SWITCH,
    "templates": each(parts(TEMPLATE)),
}
CONTROLLERS: Mapping[str, Check] = {
    "node": parts({"sync_labels": SWITCH, "host_endpoint": parts(HOST_ENDPOINT)}),
    "load_balancer": parts({"assign_ips": one_of("AllServices", "RequestedServicesOnly")}),
    "migration": parts({"policy_name_migrator": SWITCH}),
}
KUBE_CONTROLLERS: Mapping[str, Check] = {
    "log_severity_screen": one_of("None", "Debug", "Info", "Warning", "Error", "Fatal", "Panic"),
    "health_checks": SWITCH,
    "prometheus_metrics_port": PORT,
    "controllers": parts(CONTROLLERS),
    "debug_profile_port": PORT,
}


def check_kube_controllers(configuration: KubeControllersConfiguration) -> Iterator[Problem]:
    """Yield all that is wrong with the controllers' settings."""
    yield from metadata(configuration.metadata)
    yield from only_default(configuration.metadata)
    yield from fields(configuration.spec, "spec", KUBE_CONTROLLERS)
    node = configuration.spec.controllers.node
    if node is not None and node.host_endpoint is not None:
        yield from templates(node.host_endpoint.templates)


def templates(found: tuple[HostEndpointTemplate, ...]) -> Iterator[Problem]:
    """Check what templates need, and that no two make endpoints of one name."""
    names = [template.generate_name for template in found]
    for index, template in enumerate(found):
        path = f"spec.controllers.node.hostEndpoint.templates[{index}]"
        if not template.generate_name:
            yield from problem(f"{path}.generateName", "", "is required")
        elif template.generate_name in names[:index]:
            reason = "is the generateName of another template too"
            yield from problem(f"{path}.generateName", template.generate_name, reason)
        if not template.interface_cidrs and not template.interface_pattern:
            yield from problem(path, "", "interfaceCIDRs or interfacePattern is required")
