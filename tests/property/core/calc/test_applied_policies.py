"""The view equals its definition; house C.1 is its model."""

from math import inf

from hypothesis import given
from hypothesis import strategies as st

from calico.core.calc.applied_policies import (
    AppliedPolicies,
    Placement,
    TierPlacement,
    applied_tiers,
)
from calico.core.calc.labels import effective_labels, labelled
from calico.core.intent.keys import EndpointKey, PolicyKey
from calico.core.selector.ast import All, Has, Not
from strategies import TIERS, few, rarely

# Few labels and selectors: most policies apply, and what changes is order, tier and direction.
labels = st.sampled_from(({}, {"a": "x"}))
selectors = rarely(Not(Has("a")), st.sampled_from((All(), Has("a"), Has("a"))))
profiles = st.just("p")
endpoints = st.builds(EndpointKey, st.just("k8s"), st.sampled_from("uv"), st.just("eth0"))
policies = st.builds(
    PolicyKey, st.just("NetworkPolicy"), st.just("n"), st.sampled_from(("a", "a-b", "b"))
)
placements = st.builds(
    Placement,
    selectors,
    st.sampled_from(TIERS),
    st.sampled_from((1.0, 2.0, inf)),
    st.booleans(),
    st.booleans(),
)
tier_placements = st.builds(
    TierPlacement, st.sampled_from((1.0, 2.0, inf)), st.sampled_from(("Deny", "Pass"))
)
subjects = st.builds(labelled, labels, few(profiles, 1))
updates = st.one_of(
    st.tuples(st.just("set_endpoint"), endpoints, subjects),
    st.tuples(st.just("set_endpoint"), endpoints, st.none() | subjects),
    st.tuples(st.just("set_profile"), profiles, st.none() | labels),
    st.tuples(st.just("set_profile"), profiles, labels),
    st.tuples(st.just("set_policy"), policies, placements),
    st.tuples(st.just("set_policy"), policies, st.none() | placements),
    st.tuples(st.just("set_tier"), st.sampled_from(TIERS), st.none() | tier_placements),
)
beginnings = st.lists(updates, min_size=6, max_size=10)
batches = st.tuples(
    beginnings, st.lists(st.lists(updates, min_size=1, max_size=3), min_size=8, max_size=15)
)


def put(table, key, value):
    table.pop(key, None)
    if value is not None:
        table[key] = value


@given(batches)
def test_equals_its_definition(batches):
    view = AppliedPolicies()
    known = {"set_endpoint": {}, "set_profile": {}, "set_policy": {}, "set_tier": {}}
    seen, applied = {}, set()
    for batch in (batches[0], *batches[1]):
        for setter, key, value in batch:
            getattr(view, setter)(key, value)
            put(known[setter], key, value)
        delta = view.flush()
        for key, value in delta.tiers.items():
            assert value != seen.get(key), "reported a key that had not changed"
            put(seen, key, value)
        for key, applies in delta.policies.items():
            assert (key in applied) != bool(applies), "reported a policy that had not changed"
            applied ^= {key}
        effective = {
            key: effective_labels(subject, known["set_profile"])
            for key, subject in known["set_endpoint"].items()
        }
        assert seen == {
            key: applied_tiers(each, known["set_policy"], known["set_tier"])
            for key, each in effective.items()
        }
        assert applied == {
            key
            for key, placement in known["set_policy"].items()
            if any(placement.selector.matches(each) for each in effective.values())
        }
