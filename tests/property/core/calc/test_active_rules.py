"""The view equals its definition."""

from hypothesis import given
from hypothesis import strategies as st

from calico.core.calc.active_rules import ActiveRules, rules_in_use
from calico.core.intent.keys import EndpointKey, PolicyKey
from strategies import (
    NAMESPACES,
    PROFILES,
    few,
    global_network_policies,
    network_policies,
    profiles,
)

keys = st.builds(EndpointKey, st.just("k8s"), st.sampled_from("uv"), st.just("eth0"))
policies = st.one_of(network_policies, global_network_policies).map(
    lambda pair: ("set_policy", PolicyKey(*pair[0]), pair[1])
)
policy_keys = st.sampled_from(
    [PolicyKey("NetworkPolicy", namespace, "a") for namespace in NAMESPACES]
    + [PolicyKey("GlobalNetworkPolicy", "", name) for name in ("a", "a-b")]
)
updates = st.one_of(
    policies,
    policies,
    profiles.map(lambda pair: ("set_profile", pair[0].name, pair[1])),
    st.tuples(st.just("set_endpoint"), keys, few(st.sampled_from(PROFILES))),
    st.tuples(st.just("set_endpoint"), keys, st.none()),
    st.tuples(st.just("set_policy"), policy_keys, st.none()),
    st.tuples(st.just("set_profile"), st.sampled_from(PROFILES), st.none()),
)
applied = st.dictionaries(policy_keys, st.sampled_from((True, True, None)), max_size=3)
batches = st.lists(st.tuples(st.lists(updates, max_size=3), applied), max_size=8)


def put(table, key, value):
    table.pop(key, None)
    if value is not None:
        table[key] = value


@given(batches)
def test_equals_its_definition(batches):
    view = ActiveRules()
    known = {"set_policy": {}, "set_profile": {}, "set_endpoint": {}}
    in_use, seen = {}, {"policies": {}, "profiles": {}, "sets": {}}
    for batch, applies in batches:
        for setter, key, value in batch:
            getattr(view, setter)(key, value)
            put(known[setter], key, value)
        view.set_applied(applies)
        for key, value in applies.items():
            put(in_use, key, value)
        delta = view.flush()
        for part, table in seen.items():
            for key, value in getattr(delta, part).items():
                assert value != table.get(key), "reported a key that had not changed"
                put(table, key, value)
        names = {name for each in known["set_endpoint"].values() for name in each}
        expected = rules_in_use(known["set_policy"], in_use, known["set_profile"], names)
        assert seen == expected._asdict()
