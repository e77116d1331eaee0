"""What the records say of this node and of the peers it must have.

    datastore --read_records--> Records --known--> Known
                                        --peers--> Peer, without what only packets can tell

Whom BIRD must speak with is computed by the same definition that configures it; so is what the
other side expects of us, where the two do not speak.
"""

from collections.abc import Mapping, Sequence
from ipaddress import ip_interface

from msgspec import Struct
from msgspec.structs import replace

from calico.calicoctl.doctor.facts import Known, Peer
from calico.calicoctl.doctor.sessions import Session
from calico.core.model.bgp import BGPConfiguration, BGPPeer
from calico.core.model.felix_config import FelixConfiguration
from calico.core.model.node import Node
from calico.core.model.pool import IPPool
from calico.core.net.detection import Version
from calico.core.render.bird_bgp_peers import Peerings, peerings
from calico.core.render.bird_peers import Cluster, Peering, node_address
from calico.datastore.resources import Resources

FAMILIES: tuple[Version, Version] = (4, 6)
IPIP_BYTES = 20
VXLAN_BYTES: Mapping[int, int] = {4: 50, 6: 70}


class Records(Struct, frozen=True):
    """The records that connectivity between nodes depends on, by name."""

    node: str
    nodes: Mapping[str, Node] = {}
    pools: tuple[IPPool, ...] = ()
    bgp: Mapping[str, BGPConfiguration] = {}
    bgp_peers: Mapping[str, BGPPeer] = {}
    felix: Mapping[str, FelixConfiguration] = {}

    @property
    def own(self) -> Node:
        """The node we are on, empty if it is not registered."""
        return self.nodes.get(self.node, Node())


def read_records(resources: Resources, node: str) -> Records:
    """Read them. Raises DatastoreError."""

    def listed(kind: str) -> dict[str, object]:
        return {item.metadata.name: item for item in resources.list(kind).items}

    return Records(
        node=node,
        nodes={k: v for k, v in listed("Node").items() if isinstance(v, Node)},
        pools=tuple(v for v in listed("IPPool").values() if isinstance(v, IPPool)),
        bgp={
            k: v for k, v in listed("BGPConfiguration").items() if isinstance(v, BGPConfiguration)
        },
        bgp_peers={k: v for k, v in listed("BGPPeer").items() if isinstance(v, BGPPeer)},
        felix={
            k: v
            for k, v in listed("FelixConfiguration").items()
            if isinstance(v, FelixConfiguration)
        },
    )


def known(records: Records, trouble: str = "") -> Known:
    """Sum up what the records say, apart from the peers; `trouble` is why there are none."""
    own = {version: _registered(records.own, version) for version in FAMILIES}
    ours = {text.partition("/")[0] for text in own.values() if text}
    everyone = [
        (node_address(node, version), name)
        for name, node in sorted(records.nodes.items())
        for version in FAMILIES
    ]
    return Known(
        own={version: text for version, text in own.items() if text},
        is_registered=records.node in records.nodes,
        twins=tuple((a, name) for a, name in everyone if a in ours and name != records.node),
        networks=(
            *(pool.spec.cidr for pool in records.pools),
            *(address for address, _ in everyone if address),
        ),
        problems=_problems(records),
        health=_health(records),
        trouble=trouble,
    )


def _registered(node: Node, version: Version) -> str:
    if node.spec.bgp is None:
        return ""
    return node.spec.bgp.ipv4_address if version == 4 else node.spec.bgp.ipv6_address


def _problems(records: Records) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for version in FAMILIES:
        found |= _peerings(records, records.node, version).problems
    return found


def _health(records: Records) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for name in ("default", f"node.{records.node}"):
        if name in records.felix:
            spec = records.felix[name].spec
            for key, value in (
                ("enabled", spec.health_enabled),
                ("host", spec.health_host),
                ("port", spec.health_port),
            ):
                if value is not None:
                    found[key] = str(value)
    return found


def _peerings(records: Records, node: str, version: Version) -> Peerings:
    if node not in records.nodes:
        return Peerings()
    beginning = "node."
    of_nodes = {n.removeprefix(beginning): c for n, c in records.bgp.items() if n != "default"}
    cluster = Cluster(
        own_name=node,
        nodes=records.nodes,
        configuration=records.bgp.get("default", BGPConfiguration()),
        node_configurations=of_nodes,
        peers=records.bgp_peers,
    )
    return peerings(cluster, version)


def peers(records: Records, sessions: Sequence[Session], pod_mtu_bytes: int) -> list[Peer]:
    """List whom BIRD must speak with, and whom it speaks with besides."""
    left = {session.address: session for session in sessions}
    found = []
    for version in FAMILIES:
        for peering in _peerings(records, records.node, version).found.values():
            peer = _peer(records, peering, left.pop(peering.address, None))
            overhead = _overhead_bytes(records, peering)
            needed = pod_mtu_bytes + overhead if pod_mtu_bytes and peer.node else 0
            found.append(replace(peer, needed_bytes=needed))
    extra = [Peer(address, is_intended=False, session=left[address]) for address in left if address]
    return [*found, *extra]


def _peer(records: Records, peering: Peering, session: Session | None) -> Peer:
    named = [n for n, node in records.nodes.items()
             if node_address(node, peering.version) == peering.address]  # fmt: skip
    node = min(named, default="")
    trouble, fix = "", ""
    if node and (session is None or not session.is_established):
        trouble, fix = _disagreement(records, peering, node)
    return Peer(
        peering.address,
        node,
        port=peering.port or 179,
        trouble=trouble,
        fix=fix,
        has_password=bool(peering.password) or "password" in peering.problem,
        session=session,
    )


def _disagreement(records: Records, ours: Peering, node: str) -> tuple[str, str]:
    """Compare what we expect of a node with what it expects of us; ("", "") if they agree."""
    back = _peerings(records, node, ours.version).found.values()
    theirs = next((peering for peering in back if peering.address == ours.own_address), None)
    if theirs is None:
        return (
            f"wrong peering: {node} has no session with this node ({ours.own_address})",
            "let the BGPPeers that concern it select both nodes: calicoctl get bgppeers -o yaml",
        )
    if theirs.own_as_number != ours.as_number or theirs.as_number != ours.own_as_number:
        why = (
            f"wrong AS: this node speaks as AS {ours.own_as_number} and expects AS "
            f"{ours.as_number} of {node}, which speaks as AS {theirs.own_as_number} and expects "
            f"AS {theirs.as_number}{_whose_number(records, node)}"
        )
        return why, _as_fix(records, node)
    return "", ""


def _number(node: Node) -> int | None:
    return node.spec.bgp.as_number if node.spec.bgp else None


def _whose_number(records: Records, node: str) -> str:
    numbers = {name: _number(records.nodes[name]) for name in (records.node, node)}
    told = [f"Node {name} has {n or 'none'}" for name, n in numbers.items()]
    return f" (spec.bgp.asNumber: {', '.join(told)})" if any(numbers.values()) else ""


def _as_fix(records: Records, node: str) -> str:
    named = [n for n in (records.node, node) if _number(records.nodes[n])]
    if len(named) == 1:
        other = node if named[0] == records.node else records.node
        return (
            f"remove spec.bgp.asNumber of Node {named[0]}, or give Node {other} its own (a node "
            "without one is taken to have the other's); or set one for all in BGPConfiguration "
            "default"
        )
    return "make asNumber of the BGPPeers equal to what the nodes speak as"


def _overhead_bytes(records: Records, peering: Peering) -> int:
    own = _registered(records.own, peering.version)
    try:
        is_near = ip_interface(peering.address).ip in ip_interface(own).network
    except ValueError:
        is_near = False
    wanted = {"Always"} if is_near else {"Always", "CrossSubnet"}
    found = [0]
    for pool in records.pools:
        if pool.spec.disabled or (":" in pool.spec.cidr) != (peering.version == 6):
            continue
        if pool.spec.ipip_mode in wanted:
            found.append(IPIP_BYTES)
        if pool.spec.vxlan_mode in wanted:
            found.append(VXLAN_BYTES[peering.version])
    return max(found)
