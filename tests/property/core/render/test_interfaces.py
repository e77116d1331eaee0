from hypothesis import given
from hypothesis import strategies as st

from calico.core.intent.endpoints import WorkloadEndpoint
from calico.core.intent.keys import EndpointKey, RouteKey
from calico.core.render.interfaces import InterfaceIntent, Interfaces, InterfaceSettings
from calico.core.render.interfaces import interface_intent as definition

keys = st.builds(
    EndpointKey, st.just("k8s"), st.sampled_from(["ns/a", "ns/b", "ns/c"]), st.just("eth0")
)
addresses4 = st.lists(st.sampled_from(["10.0.0.1", "10.0.0.2"]), max_size=2, unique=True)
addresses6 = st.lists(st.sampled_from(["fd00::1", "fd00::2"]), max_size=2, unique=True)
endpoints = st.builds(
    WorkloadEndpoint,
    interface=st.sampled_from(["cali1", "cali2", "cali3"]),
    ipv4_addresses=addresses4.map(tuple),
    ipv6_addresses=addresses6.map(tuple),
    mac=st.sampled_from(["", "02:00:00:00:00:01", "02:00:00:00:00:02"]),
    allowed_source_prefixes=st.sampled_from([(), ("10.9.0.0/16",)]),
    revision=st.integers(1, 3),
)
updates = st.tuples(keys, st.none() | endpoints)
settings = st.builds(InterfaceSettings, ipv6=st.booleans(), source_spoofing=st.booleans())


def put(table, key, value):
    if value is None:
        table.pop(key, None)
    else:
        table[key] = value


@given(settings, st.lists(st.lists(updates, min_size=1, max_size=3), max_size=12))
def test_equals_its_definition(config, batches):
    view, known = Interfaces(config), {}
    seen = InterfaceIntent({}, {}, {})
    for batch in batches:
        for key, endpoint in batch:
            view.set_endpoint(key, endpoint)
            put(known, key, endpoint)
        delta = view.flush()
        for part in ("routes", "neighbours", "settings"):
            table = getattr(seen, part)
            for key, value in getattr(delta, part).items():
                assert value != table.get(key), "reported what had not changed"
                put(table, key, value)
        assert seen == definition(known, config)
        for key, value in seen.routes.items():
            assert known[view.owner(key)].interface == value.interface
        for key in (*seen.neighbours, *seen.settings):
            interface = getattr(key, "interface", key)
            assert known[view.owner(key)].interface == interface
    assert view.owner("cali9") is None
    assert view.owner(RouteKey("10.9.9.9/32", 1024)) is None
