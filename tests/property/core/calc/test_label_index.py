"""The index equals asking every selector about every label set."""

from hypothesis import given
from hypothesis import strategies as st

from calico.core.calc.bits import members
from calico.core.calc.label_index import LabelIndex, matching_names
from calico.core.calc.labels import effective_labels, labelled
from strategies import labels, selectors

profiles = st.sampled_from(("p", "q"))
subjects = st.builds(labelled, labels, st.lists(profiles, max_size=2).map(tuple))
steps = st.one_of(
    st.tuples(st.just("hold"), st.just(None), subjects),
    st.tuples(st.just("release"), st.integers(0, 3), st.none()),
    st.tuples(st.just("profile"), profiles, st.none() | labels),
    st.tuples(st.just("selector"), st.sampled_from("xyz"), st.none() | selectors),
)


@given(st.lists(steps, max_size=25))
def test_equals_its_definition(steps):
    index, held, given_by, named = LabelIndex(), [], {}, {}
    for step, key, value in steps:
        if step == "hold":
            held.append((index.hold(value), value))
        elif step == "release" and key < len(held):
            index.release(held.pop(key)[0])
        elif step == "profile":
            for change in index.set_profile(key, value):
                before = index.selectors_of(change.group)
                index.relabel(change)
                after = index.selectors_of(change.group)
                assert (after - before, before - after) == (change.gained, change.lost)
            put(given_by, key, value)
        elif step == "selector":
            before = index.matching(key)
            assert index.set_selector(key, value) == before ^ index.matching(key)
            put(named, key, value)
        check(index, held, given_by, named)


def put(table, key, value):
    table.pop(key, None)
    if value is not None:
        table[key] = value


def check(index, held, given_by, named):
    expected = {
        number: matching_names(effective_labels(subject, given_by), named)
        for number, subject in held
    }
    assert {number: index.selectors_of(number) for number in expected} == expected
    for name in named:
        matching = {number for number, names in expected.items() if name in names}
        assert set(members(index.matching(name))) == matching
    assert {number: index.subject(number) for number, _ in held} == dict(held)
    assert len(set(held)) == len(expected), "one group for each distinct label set"
