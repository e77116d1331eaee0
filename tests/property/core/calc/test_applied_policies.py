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
from strategies import TIERS, labels, selectors

profiles = st.sampled_from(("p", "q"))
endpoints = st.builds(EndpointKey, st.just("k8s"), st.sampled_from("uvw"), st.just("eth0"))
policies = st.builds(
    PolicyKey,
    st.sampled_from(("NetworkPolicy", "GlobalNetworkPolicy")),
    st.sampled_from(("", "n")),
    st.sampled_from(("a", "a-b")),
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
    TierPlacement, st.sampled_from((1.0, inf)), st.sampled_from(("Deny", "Pass"))
)
updates = st.one_of(
    st.tuples(
        st.just("set_endpoint"),
        endpoints,
        st.none() | st.builds(labelled, labels, st.lists(profiles, max_size=2).map(tuple)),
    ),
    st.tuples(st.just("set_profile"), profiles, st.none() | labels),
    st.tuples(st.just("set_policy"), policies, st.none() | placements),
    st.tuples(st.just("set_tier"), st.sampled_from(TIERS), st.none() | tier_placements),
)


def put(table, key, value):
    table.pop(key, None)
    if value is not None:
        table[key] = value


@given(st.lists(st.lists(updates, min_size=1, max_size=4), max_size=20))
def test_equals_its_definition(batches):
    view = AppliedPolicies()
    known = {"set_endpoint": {}, "set_profile": {}, "set_policy": {}, "set_tier": {}}
    seen, applied = {}, set()
    for batch in batches:
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
