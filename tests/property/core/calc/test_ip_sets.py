"""The view equals its definition: members, kinds, overlaps, labels from profiles."""

from hypothesis import given
from hypothesis import strategies as st

from calico.core.calc.contributors import Contributor, NamedPort
from calico.core.calc.ip_sets import IpSets, ip_set
from calico.core.calc.labels import labelled
from calico.core.calc.set_specs import SetSpec
from calico.core.intent.ip_sets import IpSet
from calico.core.model.keys import ResourceKey
from strategies import few, labels, selectors

HOSTS = ("10.0.0.1", "10.0.0.2", "10.1.0.1", "fd00::1")
CIDRS = ("0.0.0.0/1", "10.0.0.0/8", "10.0.0.0/31", "10.1.0.0/16", "fd00::/64", "fd00::/8")
PROFILES = ("p", "q")
PORTS = tuple(NamedPort(n, p, 80) for n in ("http", "dns") for p in (0, 6, 17))

subjects = st.builds(labelled, labels, few(st.sampled_from(PROFILES)))
hosts = few(st.sampled_from(HOSTS)).map(lambda members: tuple(dict.fromkeys(members)))
pods = st.builds(Contributor, subjects, hosts, few(st.sampled_from(PORTS)))
sets_of_nets = st.builds(
    Contributor,
    subjects,
    few(st.sampled_from(HOSTS + CIDRS), 3).map(lambda m: (*dict.fromkeys(m),)),
)
keys = st.sampled_from([ResourceKey("WorkloadEndpoint", "n", name) for name in "uvwx"])
SPEC_IDS = ("s1", "s2", "n1", "svc")


@st.composite
def specs(draw):
    set_id, selector = draw(st.sampled_from(SPEC_IDS)), draw(selectors)
    protocol = draw(st.sampled_from((None, 6, 17)))
    if set_id == "svc":
        return set_id, SetSpec(set_id, with_ports=True)
    if set_id == "n1":
        return set_id, SetSpec(set_id, selector, "http", protocol, with_ports=True)
    return set_id, SetSpec(set_id, selector)


updates = st.one_of(
    st.tuples(st.just("set_contributor"), keys, st.none() | pods),
    st.tuples(st.just("set_contributor"), keys, st.none() | sets_of_nets),
    st.tuples(st.just("set_profile"), st.sampled_from(PROFILES), st.none() | labels),
    specs().map(lambda pair: ("set_spec", *pair)),
    st.tuples(st.just("set_spec"), st.sampled_from(SPEC_IDS), st.none()),
)


def put(table, key, value):
    table.pop(key, None)
    if value is not None:
        table[key] = value


@given(st.lists(st.lists(updates, min_size=1, max_size=4), max_size=20))
def test_equals_its_definition(batches):
    view = IpSets()
    known = {"set_contributor": {}, "set_profile": {}, "set_spec": {}}
    seen = {}
    for batch in batches:
        for setter, key, value in batch:
            getattr(view, setter)(key, value)
            put(known[setter], key, value)
        delta = view.flush()
        for (set_id, member), present in delta.members.items():
            old = seen[set_id]
            assert set_id not in delta.sets
            assert (member in old.members) != bool(present), "reported what had not changed"
            seen[set_id] = IpSet(old.kind, old.members ^ {member})
        for set_id, whole in delta.sets.items():
            assert whole is not None or set_id in seen, "removed what was not there"
            put(seen, set_id, whole)
        assert seen == {
            set_id: ip_set(spec, known["set_contributor"].values(), known["set_profile"])
            for set_id, spec in known["set_spec"].items()
        }
