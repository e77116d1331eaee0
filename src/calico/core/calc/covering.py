"""Members of a set of CIDRs without those that another member contains.

    {10.0.0.0/8, 10.1.0.0/16, 10.1.2.3, 192.0.2.1} -> {10.0.0.0/8, 192.0.2.1}

The kernel's interval sets refuse overlaps, and what is contained adds nothing.

Source: felix/labelindex/named_port_index.go, memberDeduplicator.
"""

from collections.abc import Iterable

from calico.core.net.prefix import LONGEST, Prefix, parse_prefix


class Cover:
    """Some CIDRs, to be asked whether one of them strictly contains a member."""

    def __init__(self, cidrs: Iterable[str]) -> None:
        self._networks: dict[tuple[int, int], set[int]] = {}  # (version, length) -> shifted
        for cidr in cidrs:
            version, network, length = parse_prefix(cidr)
            shifted = network >> (LONGEST[version] - length)
            self._networks.setdefault((version, length), set()).add(shifted)
        self._lengths = {
            version: sorted(length for family, length in self._networks if family == version)
            for version in LONGEST
        }

    def contains(self, member: str) -> bool:
        """Tell whether a CIDR other than this one contains it. Cost: the lengths in use."""
        version, network, length = as_numbers(member)
        longest = LONGEST[version]
        for shorter in self._lengths[version]:
            if shorter >= length:
                return False
            if network >> (longest - shorter) in self._networks[version, shorter]:
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


def as_numbers(member: str) -> Prefix:
    """Read a member: the common case, an IPv4 host, without the general parser."""
    if "/" in member or ":" in member:
        return parse_prefix(member)
    a, b, c, d = member.split(".")
    return Prefix(4, int(a) << 24 | int(b) << 16 | int(c) << 8 | int(d), 32)
