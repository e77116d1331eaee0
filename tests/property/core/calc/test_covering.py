"""Nothing that is left contains another, and nothing is lost."""

from hypothesis import given
from hypothesis import strategies as st

from calico.core.calc.covering import Cover, is_cidr, uncovered
from calico.core.net.prefix import Prefix, contains, render_prefix

v4 = st.builds(
    lambda bits, length: render_prefix(
        Prefix(4, bits << 29 >> (32 - length) << (32 - length), length)
    ),
    st.integers(0, 7),
    st.integers(1, 32),
)
v6 = st.builds(
    lambda bits, length: render_prefix(
        Prefix(6, bits << 125 >> (128 - length) << (128 - length), length)
    ),
    st.integers(0, 7),
    st.integers(1, 128),
)
texts = st.one_of(v4, v6).map(lambda text: text.removesuffix("/32").removesuffix("/128"))


@given(st.sets(texts, max_size=8))
def test_what_is_left_is_what_no_other_contains(members):
    expected = {
        member
        for member in members
        if not any(contains(other, member) for other in members - {member})
    }
    assert uncovered(members) == expected


@given(st.sets(texts.filter(is_cidr), max_size=6), st.sets(texts.filter(is_cidr)), texts)
def test_a_cover_forgets(here, gone, member):
    cover = Cover(here)
    for cidr in gone:
        cover.add(cidr)
    for cidr in gone - here:
        cover.discard(cidr)
    assert cover.contains(member) == any(contains(c, member) for c in here - {member})
