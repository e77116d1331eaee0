"""The views of few records equal their definitions."""

from hypothesis import given
from hypothesis import strategies as st

from calico.core.calc.labels import labelled
from calico.core.calc.local_endpoints import LocalEndpoint, LocalEndpoints, one_per_interface
from calico.core.calc.pools import Pools, by_cidr
from calico.core.intent.endpoints import WorkloadEndpoint
from calico.core.intent.keys import EndpointKey
from calico.core.intent.nat import Pool

keys = st.builds(EndpointKey, st.just("k8s"), st.sampled_from("uvw"), st.just("eth0"))
endpoints = st.builds(
    LocalEndpoint,
    st.builds(WorkloadEndpoint, interface=st.sampled_from(("cali1", "cali2"))),
    st.builds(labelled, st.sampled_from(({}, {"a": "x"}))),
)
pools = st.builds(Pool, st.sampled_from(("10.0.0.0/8", "10.1.0.0/16")), st.booleans())


def stories(keys, values):
    batch = st.lists(st.tuples(keys, st.none() | values), min_size=1, max_size=4)
    return st.lists(batch, max_size=20)


def follow(batches, put, flush, definition):
    known, seen = {}, {}
    for batch in batches:
        for key, value in batch:
            put(key, value)
            known.pop(key, None)
            if value is not None:
                known[key] = value
        for key, value in flush().items():
            assert value != seen.pop(key, None), "reported a key that had not changed"
            if value is not None:
                seen[key] = value
        assert seen == definition(known)


@given(stories(keys, endpoints))
def test_endpoints_equal_their_definition(batches):
    view = LocalEndpoints()
    follow(batches, view.set_endpoint, view.flush, one_per_interface)


@given(stories(st.sampled_from("xyz"), pools))
def test_pools_equal_their_definition(batches):
    view = Pools()
    follow(batches, view.set_pool, view.flush, by_cidr)
