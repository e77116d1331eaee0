"""Prefixes agree with the standard library, which is the slow and plainly right way."""

from ipaddress import ip_network

from hypothesis import given
from hypothesis import strategies as st

from calico.core.net.prefix import canonical_prefix, contains, has_host_bits, overlaps

ipv4 = st.builds(
    lambda address, length: f"{address}/{length}", st.ip_addresses(v=4), st.integers(0, 32)
)
ipv6 = st.builds(
    lambda address, length: f"{address}/{length}",
    st.ip_addresses(v=6).filter(lambda address: address.ipv4_mapped is None),
    st.integers(0, 128),
)
cidrs = ipv4 | ipv6


@given(cidrs)
def test_canonical(text):
    canonical = canonical_prefix(text)
    assert canonical == str(ip_network(text, strict=False))
    assert canonical_prefix(canonical) == canonical
    assert not has_host_bits(canonical)


@given(ipv4 | st.just("10.0.0.0/8"), ipv4 | st.just("10.0.0.0/9"))
def test_containment(one, other):
    a, b = ip_network(one, strict=False), ip_network(other, strict=False)
    assert contains(one, other) == b.subnet_of(a)
    assert overlaps(one, other) == a.overlaps(b)
