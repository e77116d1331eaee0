"""Facts and settings of the whole cluster: its identity, IPAM, running migrations.

    ClusterInformation   "default": identity, version, datastoreReady
    IPAMConfiguration    "default"; with etcd, IPAM reads /calico/ipam/v2/config instead
    BlockAffinity        read-only view of which node owns which block
    LiveMigration        a virtual machine on its way from one node to another

Source: api v3/{clusterinfo,ipamconfig,blockaffinity}.go, libcalico-go internalapi/livemigration.go.
"""

from msgspec import field

from calico.core.model.metadata import ApiStruct, Resource


class ClusterInformationSpec(ApiStruct, frozen=True):
    """Identity and state; `datastore_ready` false stops every agent."""

    cluster_guid: str = ""
    cluster_type: str = ""
    calico_version: str = ""
    datastore_ready: bool | None = None
    variant: str = ""


class ClusterInformation(Resource, frozen=True):
    """The cluster itself; only the name `default`."""

    spec: ClusterInformationSpec = field(default_factory=ClusterInformationSpec)


class IPAMConfigurationSpec(ApiStruct, frozen=True):
    """How addresses are assigned."""

    strict_affinity: bool = field(default_factory=bool)
    max_blocks_per_host: int = 0
    auto_allocate_blocks: bool = field(default_factory=bool)
    kube_virt_vm_address_persistence: str | None = None
    ip_cooldown_seconds: int = 0


class IPAMConfiguration(Resource, frozen=True):
    """IPAM's settings as a resource; only the name `default`."""

    spec: IPAMConfigurationSpec = field(default_factory=IPAMConfigurationSpec)


class IPAMConfigSpec(ApiStruct, frozen=True):
    """The older form of IPAMConfigurationSpec."""

    strict_affinity: bool = field(default_factory=bool)
    auto_allocate_blocks: bool = field(default_factory=bool)
    max_blocks_per_host: int = 0
    kube_virt_vm_address_persistence: str | None = None
    ip_cooldown_seconds: int = 0


class IPAMConfig(Resource, frozen=True):
    """The older name of IPAMConfiguration."""

    spec: IPAMConfigSpec = field(default_factory=IPAMConfigSpec)


class BlockAffinitySpec(ApiStruct, frozen=True):
    """Block `cidr` belongs to `node`."""

    state: str = field(default_factory=str)
    node: str = field(default_factory=str)
    type: str = ""
    cidr: str = field(default_factory=str)
    deleted: bool = field(default_factory=bool)


class BlockAffinity(Resource, frozen=True):
    """Which node owns a block, as a resource."""

    spec: BlockAffinitySpec = field(default_factory=BlockAffinitySpec)


class WorkloadIdentifier(ApiStruct, frozen=True):
    """A workload, by the parts of its endpoints' names."""

    hostname: str = ""
    orchestrator_id: str = ""
    workload_id: str = ""


class WorkloadEndpointIdentifier(ApiStruct, frozen=True):
    """A workload endpoint, by the parts of its name."""

    hostname: str = ""
    orchestrator_id: str = ""
    workload_id: str = ""
    endpoint_id: str = ""


class LiveMigrationSource(ApiStruct, frozen=True):
    """What moves away."""

    workload: WorkloadIdentifier | None = None
    workload_endpoint: WorkloadEndpointIdentifier | None = None


class LiveMigrationTarget(ApiStruct, frozen=True):
    """What it becomes."""

    selector: str | None = None
    workload_endpoint: WorkloadEndpointIdentifier | None = None


class LiveMigrationSpec(ApiStruct, frozen=True):
    """From where to where."""

    source: LiveMigrationSource | None = None
    target: LiveMigrationTarget | None = None


class LiveMigration(Resource, frozen=True):
    """A virtual machine on its way from one node to another."""

    spec: LiveMigrationSpec = field(default_factory=LiveMigrationSpec)
