"""One spelling for each meaning; what differs between two rows of rules is found."""

from hypothesis import given
from hypothesis import strategies as st

from calico.core.nftables.changes import edit
from calico.core.nftables.normal import normal_rule, normal_values
from nftables_rules import PREFIXES, rules

numbers = st.integers(0, 12)
spans = st.tuples(numbers, numbers).map(sorted).map(tuple)


def numbers_in(values):
    return {n for v in values for n in (range(v[0], v[1] + 1) if isinstance(v, tuple) else [v])}


@given(rules("ip") | rules("ip6"))
def test_the_normal_form_of_a_normal_form_is_itself(rule):
    normal = normal_rule(rule)
    assert normal_rule(normal) is normal


@given(st.lists(numbers | spans, min_size=1), st.randoms())
def test_numbers_keep_their_meaning(values, chance):
    normal = normal_values(values)
    assert numbers_in(normal) == numbers_in(values)
    shuffled = list(values)
    chance.shuffle(shuffled)
    assert normal_values(shuffled) == normal


@given(st.lists(st.sampled_from(PREFIXES["ip"]), min_size=1), st.randoms())
def test_prefixes_come_in_one_order(values, chance):
    shuffled = list(values)
    chance.shuffle(shuffled)
    assert normal_values(shuffled) == normal_values(values)


@given(st.lists(st.sampled_from("abc")), st.lists(st.sampled_from("abc")))
def test_an_edit_makes_the_new_rows_of_the_old(old, new):
    first, last_old, last_new = edit(tuple(old), tuple(new))
    assert old[:first] + new[first:last_new] + old[last_old:] == new
    assert (first, last_old) != (0, len(old)) or not old or not new or old[0] != new[0]
