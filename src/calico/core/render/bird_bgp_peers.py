"""What BGPPeers come to on this node: the sessions they ask for, beside the mesh.

    BGPPeer --global--+                              the first to claim an address and port
            --of node-+--> Remotes --> Peering ----> has it: global before node-specific before
            --reverse-+                              reverse before mesh; among equals by name

A BGPPeer selects local nodes (node, nodeSelector, neither: all) and remote ones (peerSelector, or
an address). The nodes that it selects as remote get the same session in reverse, so that a route
reflector learns of its clients, unless reversePeering is Manual.

A session that cannot be made as it was asked for (no password) keeps its place, so that no other
takes it: nothing speaks without the password that somebody wanted. Others go on.

Unlike the original, which takes BGPPeers in no order, and speaks to a node twice (Mesh_ and Node_)
where two sessions can never both come up.

Source: bgp-confd 5.4; confd/pkg/backends/calico/client.go (updatePeersV1).
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Literal, NamedTuple, TypeAlias

from msgspec import Struct

from calico.core.model.bgp import BGPPeer, BGPPeerSpec
from calico.core.model.bgp_checks import parse_peer_address
from calico.core.model.duration import Duration
from calico.core.model.node import Node
from calico.core.net.prefix import canonical_address, ip_version
from calico.core.render.bird_peers import (
    Cluster,
    Peering,
    Version,
    is_reflector,
    mesh,
    node_address,
    node_as_number,
    peer_address,
    restart_seconds,
    symbol,
    valid_as_number,
)
from calico.core.selector.parser import parse_selector

_BGP_PORT = 179
_GREATEST_KEEPALIVE_SECONDS = 65535 // 3  # a third of the hold time, which has 16 bits
_GREATEST_ALLOWED = 255


class Peerings(Struct, frozen=True):
    """The sessions of one family by name, and the BGPPeers that make no sense, with the reason."""

    found: Mapping[str, Peering] = {}
    problems: Mapping[str, str] = {}


class Remote(NamedTuple):
    """The other side of a session, and what depends on how it was found."""

    address: str
    as_number: int
    port: int
    cluster_id: str = ""
    is_calico_node: bool = False  # of those that are given by address
    own_as_number: int = 0  # 0: this node's
    allowed_own_as: int = 0


Expand: TypeAlias = Callable[[Cluster, BGPPeerSpec, Version], list[Remote]]


def peerings(cluster: Cluster, version: Version) -> Peerings:
    """List all sessions of this node in one family."""
    own_address = node_address(cluster.nodes[cluster.own_name], version)
    if not own_address:
        return Peerings()
    problems: dict[str, str] = {}
    by_place: dict[tuple[str, int], Peering] = {}
    for prefix, name, peer, expand in _in_order(cluster):
        try:
            remotes = expand(cluster, peer.spec, version)
        except ValueError as error:
            problems[f"BGPPeer {name}"] = str(error)
            continue
        for remote in remotes:
            place = (remote.address, 0 if remote.port == _BGP_PORT else remote.port)
            if remote.address != own_address and place not in by_place:
                by_place[place] = _peering(cluster, prefix, peer, remote)
    explicit = {peering.address for peering in by_place.values()}
    meshed = [one for one in mesh(cluster, version).values() if one.address not in explicit]
    return Peerings({one.name: one for one in (*by_place.values(), *meshed)}, problems)


def _in_order(cluster: Cluster) -> Iterator[tuple[str, str, BGPPeer, Expand]]:
    """Yield what BGPPeers may ask of this node, the most important first."""
    peers = sorted(cluster.peers.items())
    for name, peer in peers:
        if not peer.spec.node and not peer.spec.node_selector:
            yield "Global", name, peer, _forward
    for name, peer in peers:
        if peer.spec.node or peer.spec.node_selector:
            yield "Node", name, peer, _forward_of_node
    for name, peer in peers:
        if peer.spec.reverse_peering != "Manual" and not peer.spec.local_workload_selector:
            yield "Node", name, peer, _reverse


def _forward_of_node(cluster: Cluster, spec: BGPPeerSpec, version: Version) -> list[Remote]:
    is_selected = cluster.own_name in _local_nodes(cluster, spec)
    return _forward(cluster, spec, version) if is_selected else []


def _local_nodes(cluster: Cluster, spec: BGPPeerSpec) -> list[str]:
    """List the nodes whose peering this is. Raises ValueError."""
    if spec.node_selector:
        return _matching(cluster, spec.node_selector)
    return [spec.node] if spec.node else sorted(cluster.nodes)


def _matching(cluster: Cluster, text: str) -> list[str]:
    selector = parse_selector(text)
    nodes = sorted(cluster.nodes.items())
    return [name for name, node in nodes if selector.matches(node.metadata.labels)]


def _forward(cluster: Cluster, spec: BGPPeerSpec, version: Version) -> list[Remote]:
    """List whom this node, being selected, is to speak with. Raises ValueError."""
    if spec.local_workload_selector:
        raise ValueError("peering with workloads (localWorkloadSelector) is not supported yet")
    if spec.peer_selector:
        return _nodes(cluster, _matching(cluster, spec.peer_selector), version)
    address, port = _given_address(spec)
    if ip_version(address) != version:
        return []
    if not peer_address(address, version):
        raise ValueError(f"peerIP {address} is not an address of one machine")
    if not valid_as_number(spec.as_number):
        raise ValueError("asNumber is needed with peerIP")
    if spec.reachable_by:
        _check_gateway(spec.reachable_by, address)
    if not port:
        named = _nodes_at(cluster, spec, address, 0)
        port = cluster.listen_port(named[0]) if named else 0
    allowed = spec.num_allowed_local_as_numbers or 0
    return [
        Remote(
            address,
            spec.as_number,
            port,
            is_calico_node=any(_has(node, address) for node in cluster.nodes.values()),
            own_as_number=valid_as_number(spec.local_as_number),
            allowed_own_as=max(0, min(allowed, _GREATEST_ALLOWED)),
        )
    ]


def _reverse(cluster: Cluster, spec: BGPPeerSpec, version: Version) -> list[Remote]:
    """List whom this node, being the selected remote, is to speak with. Raises ValueError."""
    if spec.peer_selector:
        remotes = _matching(cluster, spec.peer_selector)
    else:
        address, port = _given_address(spec)
        if ip_version(address) != version:
            return []
        remotes = _nodes_at(cluster, spec, address, port)
    if cluster.own_name not in remotes:
        return []
    return _nodes(cluster, _local_nodes(cluster, spec), version)


def _given_address(spec: BGPPeerSpec) -> tuple[str, int]:
    if not spec.peer_ip:
        raise ValueError("it has neither peerIP nor peerSelector")
    address, port = parse_peer_address(spec.peer_ip)
    return address, port or 0


def _check_gateway(gateway: str, address: str) -> None:
    if not peer_address(gateway, 6 if ":" in address else 4):
        raise ValueError("reachableBy is not an address of the family of peerIP")


def _nodes(cluster: Cluster, names: list[str], version: Version) -> list[Remote]:
    """Make nodes remotes; one without a number has the cluster's, unlike in the mesh."""
    found = []
    for name in names:
        node = cluster.nodes.get(name)
        address = node_address(node, version) if node else ""
        if node and address:
            number = node_as_number(node) or cluster.as_number
            cluster_id = node.spec.bgp.route_reflector_cluster_id if node.spec.bgp else ""
            found.append(Remote(address, number, cluster.listen_port(name), cluster_id))
    return found


def _nodes_at(cluster: Cluster, spec: BGPPeerSpec, address: str, port: int) -> list[str]:
    """List the nodes with this address and the BGPPeer's AS; a port must be all that are set."""
    wanted = spec.as_number or cluster.as_number
    return [
        name
        for name, node in sorted(cluster.nodes.items())
        if _has(node, address)
        and (node_as_number(node) or cluster.as_number) == wanted
        and (not port or {cluster.own_listen_port_of(name), cluster.default_port} <= {0, port})
    ]


def _has(node: Node, address: str) -> bool:
    return address in {node_address(node, 4), node_address(node, 6)}


def _peering(cluster: Cluster, prefix: str, peer: BGPPeer, remote: Remote) -> Peering:
    spec = peer.spec
    own = cluster.nodes[cluster.own_name]
    version: Version = 6 if ":" in remote.address else 4
    own_address = node_address(own, version)
    own_as_number = remote.own_as_number or cluster.own_as_number
    is_internal = remote.as_number == own_as_number
    own_cluster_id = own.spec.bgp.route_reflector_cluster_id if own.spec.bgp else ""
    # bound to its own address, BIRD can speak from no other
    is_fixed = spec.source_address != "None" or cluster.configuration.spec.bind_mode == "NodeIP"
    password, problem = cluster.password(spec.password)
    port = f"_port_{remote.port}" if remote.port else ""
    is_later = remote.address > own_address  # as text
    return Peering(
        name=f"{prefix}_{symbol(remote.address)}{port}",
        version=version,
        address=remote.address,
        as_number=remote.as_number,
        own_address=own_address if is_fixed else "",
        own_as_number=own_as_number,
        port=remote.port,
        is_passive=prefix == "Global" and remote.is_calico_node and is_later,
        restart_seconds=restart_seconds(spec.max_restart_time),
        keepalive_seconds=_keepalive(spec.keepalive_time),
        password=password,
        ttl_hops=max(0, min(spec.ttl_security or 0, 255)),
        next_hop=_next_hop(spec, is_internal=is_internal),
        allowed_own_as=remote.allowed_own_as,
        is_client=is_reflector(own) and is_internal and remote.cluster_id != own_cluster_id,
        filters=spec.filters,
        reachable_by=_canonical(spec.reachable_by),
        problem=problem,
    )


def _keepalive(wanted: Duration | None) -> int | None:
    if wanted is None:
        return None
    return max(1, min(round(wanted.seconds), _GREATEST_KEEPALIVE_SECONDS))


def _next_hop(spec: BGPPeerSpec, *, is_internal: bool) -> Literal["", "self", "keep"]:
    match spec.next_hop_mode:
        case "Self":
            return "self"
        case "Keep":
            return "keep"
        case None:
            return "keep" if spec.keep_original_next_hop and not is_internal else ""
        case _:
            return ""


def _canonical(address: str) -> str:
    try:
        return canonical_address(address)
    except ValueError:
        return ""  # of a peerSelector, which has no use for it
