"""What a lab is doing right now, as one value: for people (show.py) and for programs (JSON).

    stations' processes, BIRD's answers, the datastore --> Status

Looks only, and does not mind what is broken: a node that is down is said to be down.
"""

import json
from collections.abc import Iterator
from ipaddress import ip_interface

from msgspec import Struct

from calico.core.model.block import Block, decode_block
from calico.core.model.keys import BLOCKS_PREFIX
from calico.core.model.node import Node
from calico.core.model.pool import IPPool
from calico.core.net.detection import Detection, Interface, Method, Version, detect, parse_method
from calico.kernel.run import ProgramFailed, run
from calico.lab import etcd, nodes
from calico.lab.cluster import Cluster
from calico.lab.computed import Snapshot, read_snapshot
from calico.lab.fabric import entering, is_up
from calico.lab.parallel import each
from calico.lab.pods import is_answering, pods
from calico.lab.processes import recall
from calico.lab.topology import LabError

VERSIONS: tuple[Version, ...] = (4, 6)


class AddressStatus(Struct, frozen=True):
    """An address that a node registered, and how it was found."""

    address: str  # CIDR form
    interface: str
    detected: str


class NodeStatus(Struct, frozen=True):
    """One node. `problem` is "" for one that is well."""

    name: str
    up: bool
    addresses: tuple[AddressStatus, ...] = ()
    problem: str = ""


class Session(Struct, frozen=True):
    """One BGP session, seen from one node."""

    node: str
    protocol: str  # BIRD's name for it
    state: str  # "up", "start" ...
    since: str
    details: str  # "Established", or why not


class PoolStatus(Struct, frozen=True):
    """One IP pool."""

    name: str
    cidr: str
    encapsulation: str
    nat_outgoing: bool


class BlockStatus(Struct, frozen=True):
    """One block of a pool and its node."""

    cidr: str
    node: str
    allocated: int
    size: int


class PodStatus(Struct, frozen=True):
    """One pod."""

    name: str
    node: str
    addresses: tuple[str, ...]
    interface: str
    answering: bool


class Status(Struct, frozen=True):
    """A whole lab."""

    lab: str
    directory: str
    etcd: str
    nodes: tuple[NodeStatus, ...]
    sessions: tuple[Session, ...]
    pools: tuple[PoolStatus, ...]
    blocks: tuple[BlockStatus, ...]
    pods: tuple[PodStatus, ...]


def status(cluster: Cluster) -> Status:
    """Look at everything. Raises Unavailable if etcd does not answer."""
    snapshot = read_snapshot(cluster.store)
    names = cluster.topology.node_names
    node_states = each(lambda name: _node(cluster, name, snapshot), names)
    return Status(
        lab=cluster.place.name,
        directory=str(cluster.place.directory),
        etcd=etcd.endpoint(cluster.place),
        nodes=tuple(node_states),
        sessions=tuple(sessions(cluster)),
        pools=tuple(_pools(snapshot)),
        blocks=tuple(_blocks(cluster)),
        pods=tuple(
            PodStatus(
                name,
                record.pod.node,
                record.addresses,
                record.interface,
                is_answering(cluster.place, record),
            )
            for name, record in pods(cluster.place).items()
        ),
    )


def _node(cluster: Cluster, name: str, snapshot: Snapshot) -> NodeStatus:
    if not is_up(cluster.place, name):
        return NodeStatus(name, up=False, problem="down")
    registered = _registered(name, snapshot)
    told = nodes.node_environment(cluster.place, cluster.description.config)
    methods: dict[Version, str] = {
        4: told.get("IP_AUTODETECTION_METHOD", ""),
        6: told.get("IP6_AUTODETECTION_METHOD", ""),
    }
    addresses = []
    for version in VERSIONS:
        if version in registered:
            found = detection(cluster, name, parse_method(methods[version]), version)
            addresses.append(_address(registered[version], found))
    problem = "" if recall(cluster.place, nodes.role(name)) else "calico-node does not run"
    return NodeStatus(name, up=True, addresses=tuple(addresses), problem=problem)


def _registered(name: str, snapshot: Snapshot) -> dict[Version, str]:
    for record in snapshot.resources.values():
        if isinstance(record, Node) and record.metadata.name == name and record.spec.bgp:
            both = {4: record.spec.bgp.ipv4_address, 6: record.spec.bgp.ipv6_address}
            return {version: both[version] for version in VERSIONS if both[version]}
    return {}


def _address(registered: str, found: Detection) -> AddressStatus:
    chosen = found.chosen
    if chosen is None:
        return AddressStatus(registered, "", f"kept: {found.reason}")
    if ip_interface(chosen.address).ip != ip_interface(registered).ip:
        return AddressStatus(registered, "", f"would now be {chosen.address}: {found.reason}")
    return AddressStatus(registered, chosen.interface, found.reason)


def detection(cluster: Cluster, node: str, method: Method, version: Version) -> Detection:
    """Work out, with what the node sees now, which address it would register and why."""
    inside = entering(cluster.place, node)
    links = json.loads(run((*inside, "ip", "-json", "address")))
    interfaces = [
        Interface(
            link["ifname"],
            tuple(f"{one['local']}/{one['prefixlen']}" for one in link.get("addr_info", ())),
        )
        for link in links
    ]
    known = ""
    if method.kind == "can-reach":
        try:
            route = ("ip", "-json", f"-{version}", "route", "get", method.arguments[0])
            known = str(json.loads(run((*inside, *route)))[0].get("prefsrc", ""))
        except ProgramFailed:
            known = ""
    return detect(method, interfaces, version, known)


def sessions(cluster: Cluster) -> Iterator[Session]:
    """Ask every node's BIRD for its BGP sessions; a BIRD that is not there has none."""
    for node in cluster.topology.node_names:
        try:
            told = run(
                (*entering(cluster.place, node), "birdc", "-s", nodes.BIRD_SOCKET, "show protocols")
            )
        except (ProgramFailed, LabError):
            continue
        for line in told.splitlines():
            words = line.split(maxsplit=5)
            if len(words) >= 5 and words[1] == "BGP":
                yield Session(node, words[0], words[3], words[4], "".join(words[5:]).strip())


def _pools(snapshot: Snapshot) -> Iterator[PoolStatus]:
    for record in snapshot.resources.values():
        if isinstance(record, IPPool):
            modes = {"IPIP": record.spec.ipip_mode, "VXLAN": record.spec.vxlan_mode}
            used = [f"{name} {mode}" for name, mode in modes.items() if mode not in {"", "Never"}]
            yield PoolStatus(
                record.metadata.name,
                record.spec.cidr,
                ", ".join(used) or "none",
                bool(record.spec.nat_outgoing),
            )


def _blocks(cluster: Cluster) -> Iterator[BlockStatus]:
    for entry in cluster.store.list(BLOCKS_PREFIX).entries:
        block: Block = decode_block(entry.value)
        node = (block.affinity or "").removeprefix("host:")
        allocated = sum(index is not None for index in block.allocations)
        yield BlockStatus(block.cidr, node, allocated, len(block.allocations))
