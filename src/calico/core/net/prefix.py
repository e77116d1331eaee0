"""Addresses and prefixes as canonical text, which is what keys, sets and rules compare by.

    "10.0.0.7/8"  --canonical_prefix-->  "10.0.0.0/8"
    "FD00::0:1"   --canonical_address--> "fd00::1"

Text in, text out: everything outside this room compares prefixes as strings. As in Go, an
IPv4-mapped address is IPv4, leading zeros and zone names are refused, and a mask is a length.

Source: Go's net.ParseIP and net.ParseCIDR; libcalico-go/lib/net.
"""

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import NamedTuple

LONGEST = {4: 32, 6: 128}
OCTETS = {str(octet): octet for octet in range(256)}  # so read, leading zeros are refused


class Prefix(NamedTuple):
    """A prefix as numbers: IP version, network address, length."""

    version: int
    network: int
    length: int


def canonical_address(text: str) -> str:
    """Return the canonical text of an address. Raises ValueError."""
    return str(parse_address(text))


def canonical_prefix(text: str) -> str:
    """Return the canonical, masked CIDR of an address or CIDR. Raises ValueError."""
    return render_prefix(parse_prefix(text))


def parse_address(text: str) -> IPv4Address | IPv6Address:
    """Read an address. Raises ValueError."""
    if "%" in text:
        raise ValueError(f"'{text}' names a zone, which is not part of an address")
    try:
        address = ip_address(text)
    except ValueError:
        raise ValueError(f"'{text}' is not an IP address") from None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def parse_prefix(text: str) -> Prefix:
    """Read an address or CIDR; bits beyond the length are dropped. Raises ValueError."""
    address_text, slash, length_text = text.partition("/")
    number, version = ipv4_number(address_text), 4
    if number is None:
        address = parse_address(address_text)
        number, version = int(address), address.version
    longest = LONGEST[version]
    if not slash:
        return Prefix(version, number, longest)
    if version == 4 and ":" in address_text:
        raise ValueError(f"'{text}' is an IPv4 address written as IPv6; write it as IPv4")
    if not (length_text.isascii() and length_text.isdigit()) or int(length_text) > longest:
        raise ValueError(f"'{text}' is not a CIDR: the length must be 0 to {longest}")
    spare = longest - int(length_text)
    return Prefix(version, number >> spare << spare, int(length_text))


def ipv4_number(text: str) -> int | None:
    """Return the number of an IPv4 address, or None; thrice as fast as the ipaddress module."""
    number = 0
    octets = text.split(".")
    for octet in octets:
        value = OCTETS.get(octet)
        if value is None:
            return None
        number = number << 8 | value
    return number if len(octets) == 4 else None


def render_prefix(prefix: Prefix) -> str:
    """Return the canonical CIDR."""
    version, number, length = prefix
    if version == 4:
        octets = f"{number >> 24}.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
        return f"{octets}/{length}"
    return str(IPv6Network((number, length)))


def has_host_bits(text: str) -> bool:
    """Tell whether a CIDR has bits set beyond its length. Raises ValueError."""
    address, _, length = text.partition("/")
    return bool(length) and parse_prefix(address).network != parse_prefix(text).network


def is_address(text: str) -> bool:
    """Tell whether this is an address without a length."""
    try:
        parse_address(text)
    except ValueError:
        return False
    return True


def is_ipv6(text: str) -> bool:
    """Tell the IP version of a valid address or CIDR."""
    return ":" in text


def ip_version(text: str) -> int:
    """Return 4 or 6 for a valid address or CIDR."""
    return 6 if ":" in text else 4


def address_part(text: str) -> str:
    """Return what stands before the slash."""
    return text.partition("/")[0]


def prefix_length(text: str) -> int:
    """Return the length of a CIDR; of an address, its whole length. Raises ValueError."""
    return parse_prefix(text).length


def contains(outer: str, inner: str) -> bool:
    """Tell whether every address of `inner` is in `outer`. Raises ValueError."""
    return covers(parse_prefix(outer), parse_prefix(inner))


def overlaps(one: str, other: str) -> bool:
    """Tell whether two prefixes share an address. Raises ValueError."""
    a, b = parse_prefix(one), parse_prefix(other)
    return covers(a, b) or covers(b, a)


def covers(outer: Prefix, inner: Prefix) -> bool:
    """Tell whether every address of `inner` is in `outer`."""
    if outer.version != inner.version or outer.length > inner.length:
        return False
    spare = LONGEST[outer.version] - outer.length
    return inner.network >> spare == outer.network >> spare
