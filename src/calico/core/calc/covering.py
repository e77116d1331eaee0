"""Members of a set of CIDRs without those that another member contains.

    {10.0.0.0/8, 10.1.0.0/16, 10.1.2.3, 192.0.2.1} -> {10.0.0.0/8, 192.0.2.1}

The kernel's interval sets refuse overlaps, and what is contained adds nothing.

Source: felix/labelindex/named_port_index.go, memberDeduplicator.
"""

from collections.abc import Iterable
from typing import TypeAlias

from calico.core.net.prefix import LONGEST, parse_prefix

Numbers: TypeAlias = tuple[int, int, int]  # IP version, network address, length


class Cover:
    """Some CIDRs, to be asked whether one of them strictly contains a member.

    One table per length in use, and these are few: the tables are tried, shortest length first.
    """

    def __init__(self, cidrs: Iterable[str] = ()) -> None:
        self._tables: dict[int, dict[int, set[int]]] = {4: {}, 6: {}}  # version -> length -> nets
        for cidr in cidrs:
            self.add(cidr)

    def add(self, cidr: str) -> None:
        """Add a CIDR."""
        version, network, length = as_numbers(cidr)
        table = self._tables[version].setdefault(length, set())
        table.add(network >> (LONGEST[version] - length))
        self._tables[version] = dict(sorted(self._tables[version].items()))

    def discard(self, cidr: str) -> None:
        """Remove a CIDR if it is there."""
        version, network, length = as_numbers(cidr)
        table = self._tables[version].get(length, set())
        table.discard(network >> (LONGEST[version] - length))
        if not table:
            self._tables[version].pop(length, None)

    def contains(self, member: str) -> bool:
        """Tell whether a CIDR other than this one contains it. Cost: the lengths in use."""
        version, network, length = as_numbers(member)
        longest = LONGEST[version]
        for shorter, networks in self._tables[version].items():
            if shorter >= length:
                return False
            if network >> (longest - shorter) in networks:
                return True
        return False


def uncovered(members: Iterable[str]) -> frozenset[str]:
    """Define what is left: each member that no other member contains."""
    every = frozenset(members)
    cover = Cover(member for member in every if is_cidr(member))
    return frozenset(member for member in every if not cover.contains(member))


def is_cidr(member: str) -> bool:
    """Tell a CIDR from a host."""
    return "/" in member


def as_numbers(member: str) -> Numbers:
    """Read a member: the common case, an IPv4 host, without the general parser."""
    if "/" in member or ":" in member:
        return parse_prefix(member)
    a, b, c, d = member.split(".")
    return 4, int(a) << 24 | int(b) << 16 | int(c) << 8 | int(d), 32
