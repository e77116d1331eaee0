"""Bitsets and needs say what the selector itself says."""

from hypothesis import given
from hypothesis import strategies as st

from calico.core.calc.bits import Bits, members
from calico.core.calc.candidates import Candidates
from calico.core.calc.postings import Postings
from calico.core.calc.queries import needs, query
from strategies import labels, selectors

label_sets = st.dictionaries(st.integers(0, 70), labels, max_size=12)


@given(label_sets, label_sets, selectors)
def test_a_query_equals_matching_one_by_one(gone, here, selector):
    postings = Postings()
    for number, each in gone.items():
        postings.add(number, each)
    for number, each in gone.items():
        postings.remove(number, each)
    for number, each in here.items():
        postings.add(number, each)
    expected = {number for number, each in here.items() if selector.matches(each)}
    assert set(members(query(selector, postings))) == expected


@given(st.lists(selectors, max_size=6), st.sets(st.integers(0, 5)), labels)
def test_whatever_matches_is_a_candidate(selectors, removed, labels):
    candidates = Candidates()
    for name, selector in enumerate(selectors):
        candidates.add(name, needs(selector, candidates.weight))
    for name in removed & set(range(len(selectors))):
        candidates.remove(name)
    found = set(candidates.of(labels))
    matching = {name for name, selector in enumerate(selectors) if selector.matches(labels)}
    assert matching - removed <= found <= set(range(len(selectors))) - removed


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 400)), max_size=60), st.booleans())
def test_bits_are_a_set(changes, many):
    bits, expected = Bits(), set()
    for number in range(300) if many else ():  # the form of many members
        bits.add(number, 400)
        expected.add(number)
    for add, number in changes:
        if add:
            bits.add(number, 400)
            expected.add(number)
        else:
            bits.discard(number)
            expected.discard(number)
    assert set(members(bits.as_int())) == expected
    assert bool(bits) == bool(expected)
