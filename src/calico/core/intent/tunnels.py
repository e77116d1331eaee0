"""The ways between nodes: where the blocks of addresses are, and the ends of the tunnels.

    ClusterRoute  "10.65.3.64/26 is on node-b: through the VXLAN, to its end 10.65.3.64"
    TunnelEnd     this node's own end of a tunnel, present while that tunnel is on
    RemoteEnd     another node's end of a VXLAN: behind which address and MAC it is
    hosts         the addresses of all nodes: who may send tunnelled packets

Nothing here names an interface of the node but the tunnels' own: which link leads to other nodes,
and how long a packet may be there, is the kernel's to say (core/render/cluster.py joins the two).

Source: felix spec 6.8, 6.9.
"""

from typing import Literal, NamedTuple, TypeAlias

from msgspec import Struct

TunnelKind: TypeAlias = Literal["vxlan4", "vxlan6", "ipip"]
Way: TypeAlias = Literal["vxlan", "ipip", "plain", "blackhole"]

DEVICES: dict[TunnelKind, str] = {
    "vxlan4": "vxlan.calico",
    "vxlan6": "vxlan-v6.calico",
    "ipip": "tunl0",
}


class ClusterRoute(Struct, frozen=True):
    """How a destination that no workload of this node has is reached.

    `gateway` is the next hop: the remote end's address (vxlan; "" if that is the destination
    itself), the remote node's address (ipip, plain), "" for a blackhole.
    """

    way: Way
    gateway: str = ""


class TunnelEnd(Struct, frozen=True):
    """The own node's end. `address` is "" until one is allocated: it can receive, and forward."""

    host: str  # the node's own address, which tunnelled packets have as source
    address: str = ""
    mac: str = ""


class RemoteEnd(Struct, frozen=True):
    """Another node's end of a VXLAN: all three are known, or there is none."""

    host: str
    address: str
    mac: str


class RemoteKey(NamedTuple):
    """A remote end's node, and which of the two VXLANs."""

    kind: TunnelKind
    node: str
