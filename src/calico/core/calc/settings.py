"""What the computation must know besides resources."""

from msgspec import Struct


class CalcSettings(Struct, frozen=True):
    """Fixed for the life of a graph; a change of one of them restarts the agent.

    Source: WorkloadSourceSpoofing of FelixConfiguration ("Any" is True here).
    """

    allow_source_spoofing: bool = False
