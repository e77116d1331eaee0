"""What the computation must know besides resources."""

from msgspec import Struct


class CalcSettings(Struct, frozen=True):
    """Fixed for the life of a graph; a change of one of them restarts the agent.

    `ipip`, `vxlan`: is the tunnel on; None: if a pool asks for it. `owns_plain`: whether this agent
    programs the routes to blocks of pools without encapsulation; else BIRD does.

    Source: WorkloadSourceSpoofing ("Any" is True here), IpInIpEnabled, VXLANEnabled and
    ProgramClusterRoutes of FelixConfiguration.
    """

    allow_source_spoofing: bool = False
    ipip: bool | None = None
    vxlan: bool | None = None
    owns_plain: bool = False
