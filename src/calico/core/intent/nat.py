"""Which traffic leaves the cluster under the node's own address."""

from typing import Literal, TypeAlias

from msgspec import Struct

Mode: TypeAlias = Literal["Never", "Always", "CrossSubnet"]


class Pool(Struct, frozen=True):
    """An IP pool as rules and routes see it."""

    cidr: str
    nat_outgoing: bool = False  # masquerade what leaves for a destination in no pool
    workloads: bool = True  # allowedUses holds more than LoadBalancer
    vxlan: Mode = "Never"
    ipip: Mode = "Never"
