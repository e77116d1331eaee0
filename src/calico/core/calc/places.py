"""Where things are: what of Node and block records the ways between nodes depend on.

    Node  --node_place-->  by IP version: the node's address and subnet, the ends of its tunnels
    Block --block_place--> whose it is, and which of its addresses are with other nodes

Most changes of these records (a pod's address is taken, a label changes) leave the place as it
was, and cost no more than finding that out.

Source: felix spec 6.4 (HostMetadataUpdate), 6.8, 6.9; felix/calc/{vxlan_resolver,
l3_route_resolver}.go.
"""

from hashlib import sha1
from ipaddress import ip_network

from msgspec import Struct

from calico.core.model.block import Block
from calico.core.model.node import Node, NodeBGPSpec
from calico.core.net.prefix import (
    address_part,
    canonical_address,
    canonical_prefix,
    ip_version,
)

HOST_OWNER = "host:"


class NodeEnd(Struct, frozen=True):
    """A node in one IP version; "" is what it does not have."""

    address: str = ""
    subnet: str = ""  # which its address says it is in
    vxlan_address: str = ""
    vxlan_mac: str = ""
    ipip_address: str = ""


class NodePlace(Struct, frozen=True):
    """A node in both."""

    ipv4: NodeEnd = NodeEnd()
    ipv6: NodeEnd = NodeEnd()

    def end(self, version: int) -> NodeEnd:
        """Return one of the two."""
        return self.ipv4 if version == 4 else self.ipv6


class BlockPlace(Struct, frozen=True):
    """A block's node ("": nobody's), and {address: node} of those that other nodes borrow."""

    node: str
    borrowed: tuple[tuple[str, str], ...] = ()

    @property
    def nodes(self) -> set[str]:
        """All that have something of it."""
        return {self.node, *(node for _, node in self.borrowed)}


def node_place(record: Node) -> NodePlace | None:
    """Return where a node is. A Node whose bgp is there, and empty, is as if it were not."""
    spec = record.spec
    if spec.bgp == NodeBGPSpec():
        return None
    bgp, name = spec.bgp or NodeBGPSpec(), record.metadata.name
    return NodePlace(
        ipv4=NodeEnd(
            *_reached(record, bgp.ipv4_address, 4),
            vxlan_address=_address(spec.ipv4_vxlan_tunnel_addr, 4),
            vxlan_mac=spec.vxlan_tunnel_mac_addr.lower() or tunnel_mac(name),
            ipip_address=_address(bgp.ipv4_ipip_tunnel_addr, 4),
        ),
        ipv6=NodeEnd(
            *_reached(record, bgp.ipv6_address, 6),
            vxlan_address=_address(spec.ipv6_vxlan_tunnel_addr, 6),
            vxlan_mac=spec.vxlan_tunnel_mac_addr_v6.lower() or tunnel_mac(f"{name}-v6"),
        ),
    )


def tunnel_mac(name: str) -> str:
    """Make a VXLAN end's MAC of a node's name, so that all nodes know it without being told."""
    return (b"f" + sha1(name.encode(), usedforsecurity=False).digest()[:5]).hex(":")


def block_place(block: Block) -> BlockPlace:
    """Return where a block and each of its addresses is."""
    affinity = block.affinity or ""
    node = affinity.removeprefix(HOST_OWNER) if affinity.startswith(HOST_OWNER) else ""
    holders = [(each.secondary or {}).get("node", "") for each in block.attributes or ()]
    if not {*holders} - {node, ""}:
        return BlockPlace(node)
    network = ip_network(block.cidr, strict=False)
    return BlockPlace(
        node,
        tuple(
            (str(network[ordinal]), holders[index])
            for ordinal, index in enumerate(block.allocations)
            if index is not None and holders[index] not in {node, ""}
        ),
    )


def _reached(record: Node, by_bgp: str, version: int) -> tuple[str, str]:
    """Return a node's address and subnet: BGP's, else an internal, else an external address."""
    candidates = [by_bgp]
    for type_ in ("InternalIP", "ExternalIP"):
        candidates += [each.address for each in record.spec.addresses if each.type == type_]
    for text in candidates:
        address = _address(text, version)
        if address:
            return address, canonical_prefix(text) if "/" in text else ""
    return "", ""


def _address(text: str, version: int) -> str:
    try:
        address = canonical_address(address_part(text))
    except ValueError:
        return ""
    return address if ip_version(address) == version else ""
