"""`PrefixTable` answers as a search through all its entries would."""

from hypothesis import given
from hypothesis import strategies as st

from calico.core.net.lpm import PrefixTable
from calico.core.net.prefix import canonical_prefix, contains, prefix_length

prefixes = st.builds(
    lambda octet, length: canonical_prefix(f"10.0.{octet}.{octet}/{length}"),
    st.sampled_from((0, 1, 128, 255)),
    st.sampled_from((0, 8, 16, 17, 24, 31, 32)),
)


@given(st.lists(st.tuples(prefixes, st.none() | st.integers(0, 2))), prefixes)
def test_longest_is_the_longest_of_all(updates, asked):
    table, known = PrefixTable(), {}
    for prefix, value in updates:
        table.set(prefix, value)
        known[prefix] = value
    around = [
        (prefix, value)
        for prefix, value in known.items()
        if value is not None and contains(prefix, asked)
    ]
    around.sort(key=lambda entry: -prefix_length(entry[0]))
    assert list(table.containing(asked)) == around
    assert table.longest(asked) == (around[0] if around else None)
