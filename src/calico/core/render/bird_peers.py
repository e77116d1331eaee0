"""A BGP session as a value, and the mesh of them between nodes.

    own node, other nodes, BGPConfiguration --mesh--> {name: Peering} --> bird_bgp_peers.py

The mesh: one session with every other node that has an address of the family and is no route
reflector, unless the mesh is off or this node is a reflector itself. Of two nodes the one whose
address is greater *as text* calls; the other is passive, so that they do not call each other at
once. Both sides decide by the same rule, whatever they run.

Names are a contract: `calicoctl node status` and others read the kind of a session from them.

Source: bgp-confd 5.3, 5.4; confd/pkg/backends/calico/bgp_processor.go (processMeshPeers).
"""

from collections.abc import Mapping
from typing import Literal, NamedTuple, TypeAlias

from msgspec import Struct

from calico.core.model.bgp import BGPConfiguration, BGPPassword, BGPPeer
from calico.core.model.duration import Duration
from calico.core.model.node import Node
from calico.core.net.prefix import parse_address

Version: TypeAlias = Literal[4, 6]

DEFAULT_AS_NUMBER = 64512
GREATEST_RESTART_SECONDS = 4095  # twelve bits on the wire
GREATEST_PASSWORD_BYTES = 80  # of TCP's MD5 option
_UNWRITABLE = {'"', "\n", "\r", "\0"}  # in a text of BIRD


class Peering(Struct, frozen=True):
    """One BGP session of one family; with a problem it has its place but is not made."""

    name: str
    version: Version
    address: str
    as_number: int
    own_address: str  # "": as the kernel chooses
    own_as_number: int
    port: int = 0  # 0: BGP's 179
    is_passive: bool = False
    restart_seconds: int | None = None  # graceful restart; None: BIRD's default
    keepalive_seconds: int | None = None
    password: str = ""
    ttl_hops: int = 0  # TTL security: how far away the peer may be; 0: not checked
    next_hop: Literal["", "self", "keep"] = ""
    allowed_own_as: int = 0  # how often our AS number may stand in a path we learn
    is_client: bool = False  # we reflect routes to it
    filters: tuple[str, ...] = ()  # BGPFilters, in order
    reachable_by: str = ""
    problem: str = ""

    @property
    def is_internal(self) -> bool:
        """iBGP: both sides are of one AS."""
        return self.as_number == self.own_as_number


class SecretKey(NamedTuple):
    """Names one value of one secret."""

    name: str
    key: str


class Cluster(Struct, frozen=True):
    """The nodes and the BGPConfigurations that matter: "default" and "node.<name>"."""

    own_name: str
    nodes: Mapping[str, Node]
    configuration: BGPConfiguration = BGPConfiguration()
    node_configurations: Mapping[str, BGPConfiguration] = {}  # by node name
    peers: Mapping[str, BGPPeer] = {}
    secrets: Mapping[SecretKey, str] = {}  # those that could be read

    def own_listen_port_of(self, node: str) -> int:
        """Return the port of a node's own BGPConfiguration, 0 if it has none."""
        of_node = self.node_configurations.get(node)
        return _port(of_node.spec.listen_port if of_node else 0)

    @property
    def default_port(self) -> int:
        """The port of the BGPConfiguration "default", 0 if it has none."""
        return _port(self.configuration.spec.listen_port)

    def listen_port(self, node: str) -> int:
        """Return the port on which a node listens, 0 for BGP's own."""
        return self.own_listen_port_of(node) or self.default_port

    @property
    def own_as_number(self) -> int:
        """The node's, else the cluster's, else the default."""
        return node_as_number(self.nodes[self.own_name]) or self.as_number

    @property
    def as_number(self) -> int:
        """The number of nodes that have none of their own."""
        return valid_as_number(self.configuration.spec.as_number) or DEFAULT_AS_NUMBER

    def password(self, wanted: BGPPassword | None) -> tuple[str, str]:
        """Return a password ("" if none is wanted) and why it cannot be used ("" if it can)."""
        if wanted is None or wanted.secret_key_ref is None:
            return "", ""
        where = SecretKey(wanted.secret_key_ref.name, wanted.secret_key_ref.key)
        found = self.secrets.get(where)
        if not found:
            return "", f"its password, key {where.key} of secret {where.name}, cannot be read"
        if _UNWRITABLE & set(found) or len(found.encode()) > GREATEST_PASSWORD_BYTES:
            return "", "its password is longer than 80 bytes or holds a quote or a line break"
        return found, ""


def node_address(node: Node, version: Version) -> str:
    """Return a node's BGP address without prefix, "" if it has none (or none that is one)."""
    bgp = node.spec.bgp
    if bgp is None:
        return ""
    text = (bgp.ipv4_address if version == 4 else bgp.ipv6_address).partition("/")[0]
    return peer_address(text, version)


def peer_address(text: str, version: Version) -> str:
    """Return an address of this family that one can speak BGP with, "" if it is none."""
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
    password, problem = cluster.password(spec.node_mesh_password)
    found: dict[str, Peering] = {}
    for name in sorted(cluster.nodes):
        node = cluster.nodes[name]
        address = node_address(node, version)
        if name == cluster.own_name or is_reflector(node) or address in {"", own_address}:
            continue
        peering = Peering(
            name=f"Mesh_{symbol(address)}",
            version=version,
            address=address,
            # not the cluster's: a node without a number follows whom it speaks to
            as_number=node_as_number(node) or cluster.own_as_number,
            own_address=own_address,
            own_as_number=cluster.own_as_number,
            port=cluster.listen_port(name),
            is_passive=address > own_address,
            restart_seconds=restart_seconds(spec.node_mesh_max_restart_time),
            password=password,
            problem=problem,
        )
        found.setdefault(peering.name, peering)
    return found


def restart_seconds(wanted: Duration | None) -> int | None:
    """Return a time for graceful restart as BGP can say it."""
    if wanted is None:
        return None
    return max(0, min(round(wanted.seconds), GREATEST_RESTART_SECONDS))


def node_as_number(node: Node) -> int:
    """Return a node's own AS number, 0 if it has none."""
    return valid_as_number(node.spec.bgp.as_number if node.spec.bgp else None)


def valid_as_number(number: int | None) -> int:
    """Return an AS number, 0 if this is none."""
    return number if number is not None and 0 < number < 1 << 32 else 0


def symbol(address: str) -> str:
    """Make an address a part of a name in BIRD."""
    return address.replace(".", "_").replace(":", "_")


def _port(number: int) -> int:
    return number if 0 < number < 1 << 16 else 0
