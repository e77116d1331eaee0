import pytest

from calico.core.net.prefix import (
    address_part,
    canonical_address,
    canonical_prefix,
    contains,
    has_host_bits,
    ip_version,
    is_address,
    overlaps,
    prefix_length,
)


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("10.0.0.7/8", "10.0.0.0/8"),
        ("10.0.0.7", "10.0.0.7/32"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("FD00:0:0::7/64", "fd00::/64"),
        ("fd00::7", "fd00::7/128"),
        ("::/0", "::/0"),
        ("::ffff:10.0.0.7", "10.0.0.7/32"),
        ("10.0.0.1/08", "10.0.0.0/8"),
    ],
)
def test_canonical_prefix(text, canonical):
    assert canonical_prefix(text) == canonical


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "not an IP address"),
        ("10.0.0", "not an IP address"),
        ("010.0.0.1", "not an IP address"),
        ("10.0.0.1/33", "0 to 32"),
        ("fd00::/129", "0 to 128"),
        ("10.0.0.0/255.0.0.0", "0 to 32"),
        ("10.0.0.0/-1", "0 to 32"),
        ("10.0.0.0/", "0 to 32"),
        ("10.0.0.0/٣", "0 to 32"),
        ("fe80::1%eth0", "zone"),
        ("::ffff:10.0.0.0/104", "write it as IPv4"),
    ],
)
def test_refused(text, says):
    with pytest.raises(ValueError, match=says):
        canonical_prefix(text)


def test_addresses():
    assert canonical_address("FD00::0:1") == "fd00::1"
    assert is_address("10.0.0.1")
    assert not is_address("10.0.0.1/32")
    assert (ip_version("10.0.0.0/8"), ip_version("fd00::1")) == (4, 6)
    assert address_part("10.0.0.0/8") == "10.0.0.0"


@pytest.mark.parametrize(
    ("text", "length", "stray"),
    [("10.0.0.0/8", 8, False), ("10.0.0.1/8", 8, True), ("10.0.0.1", 32, False)],
)
def test_lengths_and_stray_bits(text, length, stray):
    assert (prefix_length(text), has_host_bits(text)) == (length, stray)


@pytest.mark.parametrize(
    ("outer", "inner", "inside", "touching"),
    [
        ("10.0.0.0/8", "10.1.0.0/16", True, True),
        ("10.1.0.0/16", "10.0.0.0/8", False, True),
        ("10.0.0.0/8", "10.0.0.0/8", True, True),
        ("10.0.0.0/8", "11.0.0.0/8", False, False),
        ("0.0.0.0/0", "255.255.255.255", True, True),
        ("0.0.0.0/0", "fd00::/8", False, False),
        ("fd00::/8", "fd12::1", True, True),
    ],
)
def test_containment(outer, inner, inside, touching):
    assert (contains(outer, inner), overlaps(outer, inner)) == (inside, touching)
    assert overlaps(inner, outer) == touching
