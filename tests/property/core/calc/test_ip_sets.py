"""The view equals its definition: members, kinds, overlaps, labels from profiles."""

from hypothesis import given
from hypothesis import strategies as st

from calico.core.calc.contributors import Contributor, NamedPort
from calico.core.calc.ip_sets import IpSets, ip_set
from calico.core.calc.labels import labelled
from calico.core.calc.set_specs import SetSpec
from calico.core.intent.ip_sets import IpSet
from calico.core.model.keys import ResourceKey
from calico.core.selector.ast import Equals, Has, Not
from strategies import few, rarely

HOSTS = ("10.0.0.1", "10.1.0.1")
CIDRS = ("0.0.0.0/1", "10.0.0.0/8", "10.0.0.0/31")
PROFILES = ("p", "q")
PORTS = tuple(NamedPort(n, p, 80) for n in ("http", "dns") for p in (0, 6, 17))

# Few labels, so that those of profiles decide; few selectors, so that sets come and go and return.
labels = st.sampled_from(({}, {}, {"a": "x"}, {"a": "y"}))
selectors = st.sampled_from((Has("a"), Equals("a", "x"), Not(Has("a"))))
subjects = st.builds(labelled, labels, few(st.sampled_from(PROFILES), least=1))
hosts = few(st.sampled_from(HOSTS), least=1).map(lambda members: tuple(dict.fromkeys(members)))
nets = few(st.sampled_from(HOSTS + CIDRS), 3).map(lambda members: tuple(dict.fromkeys(members)))
pods = st.builds(Contributor, subjects, hosts, few(st.sampled_from(PORTS)))
sets_of_nets = st.builds(Contributor, subjects, nets)
keys = st.sampled_from([ResourceKey("WorkloadEndpoint", "n", name) for name in "uvw"])
SPEC_IDS = ("s1", "s2", "n1", "svc")


@st.composite
def specs(draw):
    set_id, selector = draw(st.sampled_from(("s1", "s1", *SPEC_IDS))), draw(selectors)
    protocol = draw(st.sampled_from((None, 6, 17)))
    if set_id == "svc":
        return set_id, SetSpec(set_id, with_ports=True)
    if set_id == "n1":
        return set_id, SetSpec(set_id, selector, "http", protocol, with_ports=True)
    return set_id, SetSpec(set_id, selector)


contributors = st.one_of(pods, sets_of_nets)
updates = st.one_of(
    st.tuples(st.just("set_contributor"), keys, contributors),
    st.tuples(st.just("set_contributor"), keys, st.none() | contributors),
    st.tuples(st.just("set_profile"), st.sampled_from(PROFILES), st.none() | labels),
    st.tuples(st.just("set_profile"), st.sampled_from(PROFILES), labels),
    st.tuples(specs(), rarely(True, False)).map(
        lambda drawn: ("set_spec", drawn[0][0], None if drawn[1] else drawn[0][1])
    ),
)
# Most of a story happens when there are sets and members.
beginnings = st.lists(updates, min_size=8, max_size=12)
batches = st.tuples(
    beginnings, st.lists(st.lists(updates, min_size=1, max_size=3), min_size=8, max_size=15)
)


def put(table, key, value):
    table.pop(key, None)
    if value is not None:
        table[key] = value


@given(batches)
def test_equals_its_definition(batches):
    view = IpSets()
    known = {"set_contributor": {}, "set_profile": {}, "set_spec": {}}
    seen = {}
    for batch in (batches[0], *batches[1]):
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
