"""Which BGP sessions this node keeps, as values.

    own node, other nodes, BGPConfiguration --mesh--> {name: Peering} --> core/render/bird.py

The mesh: one session with every other node that has an address of the family and is no route
reflector, unless the mesh is off or this node is a reflector itself. Of two nodes the one whose
address is greater *as text* calls; the other is passive, so that they do not call each other at
once. Both sides decide by the same rule, whatever they run.

Names are a contract: `calicoctl node status` and others read the kind of a session from them.

Source: bgp-confd 5.3, 5.4; confd/pkg/backends/calico/bgp_processor.go (processMeshPeers).
"""

from collections.abc import Mapping
from typing import Literal, TypeAlias

from msgspec import Struct

from calico.core.model.bgp import BGPConfiguration
from calico.core.model.node import Node
from calico.core.net.prefix import parse_address

Version: TypeAlias = Literal[4, 6]

DEFAULT_AS_NUMBER = 64512
GREATEST_RESTART_SECONDS = 4095  # twelve bits on the wire


class Peering(Struct, frozen=True):
    """One BGP session of one family."""

    name: str
    version: Version
    address: str
    as_number: int
    own_address: str
    own_as_number: int
    port: int = 0  # 0: BGP's 179
    is_passive: bool = False
    restart_seconds: int | None = None  # graceful restart; None: BIRD's default

    @property
    def is_internal(self) -> bool:
        """iBGP: both sides are of one AS."""
        return self.as_number == self.own_as_number


class Cluster(Struct, frozen=True):
    """The nodes and the BGPConfigurations that matter: "default" and "node.<name>"."""

    own_name: str
    nodes: Mapping[str, Node]
    configuration: BGPConfiguration = BGPConfiguration()
    node_configurations: Mapping[str, BGPConfiguration] = {}  # by node name

    def listen_port(self, node: str) -> int:
        """Return the port on which a node listens, 0 for BGP's own."""
        of_node = self.node_configurations.get(node)
        port = of_node.spec.listen_port if of_node else 0
        port = port or self.configuration.spec.listen_port
        return port if 0 < port < 1 << 16 else 0

    @property
    def own_as_number(self) -> int:
        """The node's, else the cluster's, else the default."""
        own = _as_number(self.nodes[self.own_name])
        of_cluster = self.configuration.spec.as_number or 0
        return own or (of_cluster if _is_as_number(of_cluster) else DEFAULT_AS_NUMBER)


def node_address(node: Node, version: Version) -> str:
    """Return a node's BGP address without prefix, "" if it has none (or none that is one)."""
    bgp = node.spec.bgp
    if bgp is None:
        return ""
    text = (bgp.ipv4_address if version == 4 else bgp.ipv6_address).partition("/")[0]
    try:
        address = parse_address(text)
    except ValueError:
        return ""
    is_reachable = not (address.is_multicast or address.is_unspecified or address.is_loopback)
    is_scoped = version == 6 and address.is_link_local  # needs an interface, which none tells
    return str(address) if address.version == version and is_reachable and not is_scoped else ""


def is_reflector(node: Node) -> bool:
    """Tell whether a node is a route reflector."""
    return bool(node.spec.bgp and node.spec.bgp.route_reflector_cluster_id)


def mesh(cluster: Cluster, version: Version) -> dict[str, Peering]:
    """List the sessions of the node-to-node mesh by name.

    Of two nodes that claim one address, the first by name is meant.
    """
    spec = cluster.configuration.spec
    own = cluster.nodes[cluster.own_name]
    own_address = node_address(own, version)
    if spec.node_to_node_mesh_enabled is False or is_reflector(own) or not own_address:
        return {}
    restart = spec.node_mesh_max_restart_time
    seconds = None
    if restart is not None:
        seconds = max(0, min(round(restart.seconds), GREATEST_RESTART_SECONDS))
    found: dict[str, Peering] = {}
    for name in sorted(cluster.nodes):
        node = cluster.nodes[name]
        address = node_address(node, version)
        if name == cluster.own_name or is_reflector(node) or address in {"", own_address}:
            continue
        peering = Peering(
            name=f"Mesh_{_symbol(address)}",
            version=version,
            address=address,
            # not the cluster's: a node without a number follows whom it speaks to
            as_number=_as_number(node) or cluster.own_as_number,
            own_address=own_address,
            own_as_number=cluster.own_as_number,
            port=cluster.listen_port(name),
            is_passive=address > own_address,
            restart_seconds=seconds,
        )
        found.setdefault(peering.name, peering)
    return found


def _as_number(node: Node) -> int:
    number = (node.spec.bgp.as_number if node.spec.bgp else None) or 0
    return number if _is_as_number(number) else 0


def _is_as_number(number: int) -> bool:
    return 0 < number < 1 << 32


def _symbol(address: str) -> str:
    """Make an address a part of a name in BIRD."""
    return address.replace(".", "_").replace(":", "_")
