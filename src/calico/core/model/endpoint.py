"""Where traffic enters and leaves: workload endpoints and host endpoints.

    WorkloadEndpoint   one interface of a pod or VM, written by the CNI plugin
    HostEndpoint       an interface of a node, or addresses of it

Source: libcalico-go/lib/apis/internalapi/workloadendpoint.go, api v3/hostendpoint.go;
datastore-etcd 1.2.4.
"""

from msgspec import field

from calico.core.model.metadata import ApiStruct, Resource
from calico.core.model.scalars import settle_numbers


class IPNAT(ApiStruct, frozen=True):
    """An address of the workload and the floating address that leads to it."""

    internal_ip: str = field(default_factory=str)
    external_ip: str = field(default_factory=str)


class WorkloadEndpointPort(ApiStruct, frozen=True):
    """A port that rules may name; all five fields are always written."""

    name: str = field(default_factory=str)
    protocol: int | str = field(default_factory=int)
    port: int = field(default_factory=int)
    host_port: int = field(default_factory=int)
    host_ip: str = field(default_factory=str)

    def __post_init__(self) -> None:
        settle_numbers(self, "protocol")


class QoSControls(ApiStruct, frozen=True):
    """Limits of a workload endpoint; 0 is "no limit". Bandwidths are bits a second."""

    ingress_bandwidth: int = 0
    ingress_burst: int = 0
    ingress_peakrate: int = 0
    ingress_minburst: int = 0
    egress_bandwidth: int = 0
    egress_burst: int = 0
    egress_peakrate: int = 0
    egress_minburst: int = 0
    ingress_packet_rate: int = 0
    ingress_packet_burst: int = 0
    egress_packet_rate: int = 0
    egress_packet_burst: int = 0
    ingress_max_connections: int = 0
    egress_max_connections: int = 0
    dscp: int | str | None = None

    def __post_init__(self) -> None:
        settle_numbers(self, "dscp")


class WorkloadEndpointSpec(ApiStruct, frozen=True):
    """One interface of one workload. Networks are addresses in CIDR form, /32 or /128."""

    orchestrator: str = ""
    workload: str = ""
    node: str = ""
    container_id: str = ""
    pod: str = ""
    endpoint: str = ""
    service_account_name: str = ""
    ip_networks: tuple[str, ...] = ()
    ip_nats: tuple[IPNAT, ...] = ()
    ipv4_gateway: str = ""
    ipv6_gateway: str = ""
    profiles: tuple[str, ...] = ()
    interface_name: str = ""
    mac: str = ""
    ports: tuple[WorkloadEndpointPort, ...] = ()
    allow_spoofed_source_prefixes: tuple[str, ...] = ()
    qos_controls: QoSControls | None = None


class WorkloadEndpoint(Resource, frozen=True):
    """One interface of one workload; its name is made of its spec."""

    spec: WorkloadEndpointSpec = field(default_factory=WorkloadEndpointSpec)


class EndpointPort(ApiStruct, frozen=True):
    """A port of a host that rules may name."""

    name: str = field(default_factory=str)
    protocol: int | str = field(default_factory=int)
    port: int = field(default_factory=int)

    def __post_init__(self) -> None:
        settle_numbers(self, "protocol")


class HostEndpointSpec(ApiStruct, frozen=True):
    """An interface of a node ("*": all of them), or the node's addresses."""

    node: str = ""
    interface_name: str = ""
    expected_ips: tuple[str, ...] = ()
    profiles: tuple[str, ...] = ()
    ports: tuple[EndpointPort, ...] = ()


class HostEndpoint(Resource, frozen=True):
    """Where policy meets a node's own traffic."""

    spec: HostEndpointSpec = field(default_factory=HostEndpointSpec)
