"""What belongs to a workload's interface besides its routes: neighbours and settings."""

from typing import NamedTuple, TypeAlias

from msgspec import Struct


class NeighbourKey(NamedTuple):
    """A neighbour entry: who answers for an address on an interface. Its value is the MAC."""

    interface: str
    address: str


class Setting(Struct, frozen=True):
    """One value under /proc/sys, "net/ipv4/conf/cali1/forwarding".

    The kernel may lack what is not required, and it may fail.
    """

    name: str
    value: str
    is_required: bool = True


Settings: TypeAlias = tuple[Setting, ...]
