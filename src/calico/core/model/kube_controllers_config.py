"""Settings of the cluster controllers.

Source: api/pkg/apis/projectcalico/v3/kubecontrollersconfig.go; datastore-etcd 1.2.6.
"""

from collections.abc import Mapping

from msgspec import field

from calico.core.model.duration import Duration
from calico.core.model.metadata import ApiStruct, Resource


class HostEndpointTemplate(ApiStruct, frozen=True):
    """A host endpoint to make for every node that matches."""

    generate_name: str = ""
    interface_cidrs: tuple[str, ...] = ()
    interface_pattern: str = ""
    labels: Mapping[str, str] = {}
    annotations: Mapping[str, str] = {}
    node_selector: str = ""


class AutoHostEndpointConfig(ApiStruct, frozen=True):
    """Which host endpoints are made by themselves."""

    auto_create: str = ""
    create_default_host_endpoint: str = ""
    templates: tuple[HostEndpointTemplate, ...] = ()


class NodeControllerConfig(ApiStruct, frozen=True):
    """The controller that follows nodes and collects leaked addresses."""

    reconciler_period: Duration | None = None
    sync_labels: str = ""
    host_endpoint: AutoHostEndpointConfig | None = None
    leak_grace_period: Duration | None = None


class ReconcilerConfig(ApiStruct, frozen=True):
    """A controller that only has a period."""

    reconciler_period: Duration | None = None


class LoadBalancerControllerConfig(ApiStruct, frozen=True):
    """The controller that gives addresses to Services of type LoadBalancer."""

    assign_ips: str = ""


class MigrationControllerConfig(ApiStruct, frozen=True):
    """The controller that renames policies of older releases."""

    policy_name_migrator: str = ""


class ControllersConfig(ApiStruct, frozen=True):
    """One section per controller; an absent section is a controller that does not run."""

    node: NodeControllerConfig | None = None
    policy: ReconcilerConfig | None = None
    workload_endpoint: ReconcilerConfig | None = None
    service_account: ReconcilerConfig | None = None
    namespace: ReconcilerConfig | None = None
    load_balancer: LoadBalancerControllerConfig | None = None
    migration: MigrationControllerConfig | None = None


class KubeControllersConfigurationSpec(ApiStruct, frozen=True):
    """What the controllers do."""

    log_severity_screen: str = ""
    health_checks: str = ""
    etcd_v3_compaction_period: Duration | None = None
    prometheus_metrics_port: int | None = None
    controllers: ControllersConfig = field(default_factory=ControllersConfig)
    debug_profile_port: int | None = None


class KubeControllersConfigurationStatus(ApiStruct, frozen=True):
    """What is in force, and which environment variables made it so."""

    running_config: KubeControllersConfigurationSpec | None = None
    environment_vars: Mapping[str, str] = {}


class KubeControllersConfiguration(Resource, frozen=True):
    """The controllers' settings; only the name `default`."""

    spec: KubeControllersConfigurationSpec = field(default_factory=KubeControllersConfigurationSpec)
    status: KubeControllersConfigurationStatus = field(
        default_factory=KubeControllersConfigurationStatus
    )
