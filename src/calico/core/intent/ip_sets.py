"""Sets of addresses that rules refer to.

Members are text: "10.0.0.1" or "fd00::1" (a host, in every kind but address_port),
"10.0.0.0/8" (kind net only), "10.0.0.1,tcp:80" (kind address_port: tcp, udp or sctp). A set
holds both families; each table takes the members of its own.
"""

from typing import Literal, TypeAlias

from msgspec import Struct

IpSetKind: TypeAlias = Literal["address", "net", "address_port"]


class IpSet(Struct, frozen=True):
    """A set, whole. Members of kind net never contain one another (the kernel refuses that)."""

    kind: IpSetKind
    members: frozenset[str]
