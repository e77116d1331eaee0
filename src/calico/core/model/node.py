"""A machine of the cluster, as Calico knows it.

    spec.bgp         its addresses and its place in BGP
    spec.*tunnel*    its tunnel addresses, taken from IP pools
    status           its WireGuard keys and pod CIDRs

Source: libcalico-go/lib/apis/internalapi/node.go; datastore-etcd 1.2.5.
"""

from msgspec import field

from calico.core.model.metadata import ApiStruct, Resource


class OrchRef(ApiStruct, frozen=True):
    """The name an orchestrator has for this node."""

    node_name: str = ""
    orchestrator: str = field(default_factory=str)


class NodeBGPSpec(ApiStruct, frozen=True):
    """Addresses are in CIDR form: they carry the length of the node's subnet."""

    as_number: int | None = None
    ipv4_address: str = ""
    ipv6_address: str = ""
    ipv4_ipip_tunnel_addr: str = ""
    route_reflector_cluster_id: str = ""


class NodeWireguardSpec(ApiStruct, frozen=True):
    """The addresses of the WireGuard interfaces."""

    interface_ipv4_address: str = ""
    interface_ipv6_address: str = ""


class NodeAddress(ApiStruct, frozen=True):
    """One address; the type is CalicoNodeIP, InternalIP or ExternalIP."""

    address: str = field(default_factory=str)
    type: str = ""


class NodeInterface(ApiStruct, frozen=True):
    """An interface and its addresses, without masks."""

    name: str = ""
    addresses: tuple[str, ...] = ()


class NodeSpec(ApiStruct, frozen=True):
    """What the node is and where it is reached."""

    bgp: NodeBGPSpec | None = None
    ipv4_vxlan_tunnel_addr: str = ""
    vxlan_tunnel_mac_addr: str = ""
    ipv6_vxlan_tunnel_addr: str = ""
    vxlan_tunnel_mac_addr_v6: str = ""
    orch_refs: tuple[OrchRef, ...] = ()
    wireguard: NodeWireguardSpec | None = None
    addresses: tuple[NodeAddress, ...] = ()
    interfaces: tuple[NodeInterface, ...] = ()


class NodeStatus(ApiStruct, frozen=True):
    """What the node reports of itself."""

    wireguard_public_key: str = ""
    wireguard_public_key_v6: str = ""
    pod_cidrs: tuple[str, ...] = ()


class Node(Resource, frozen=True):
    """A machine of the cluster."""

    spec: NodeSpec = field(default_factory=NodeSpec)
    status: NodeStatus = field(default_factory=NodeStatus)
