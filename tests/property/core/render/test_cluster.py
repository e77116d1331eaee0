"""Cluster equals its definition, whatever the story of intents, links and addresses."""

from hypothesis import given
from hypothesis import strategies as st

from calico.core.intent.delta import IntentDelta
from calico.core.intent.tunnels import ClusterRoute, RemoteEnd, RemoteKey, TunnelEnd
from calico.core.render.cluster import Cluster, ClusterSettings, Ways, Wires, cluster
from calico.core.render.underlay import HostLink, Underlay

some = st.sampled_from
HOSTS = {4: ("192.0.2.1", "192.0.2.2"), 6: ("2001:db8::1",)}
routes = st.one_of(
    st.just(ClusterRoute("blackhole")),
    st.builds(ClusterRoute, some(["plain", "vxlan", "ipip"]), some(["192.0.2.9", ""])),
)
ends = st.builds(TunnelEnd, some(HOSTS[4]), some(["", "10.0.0.1"]), some(["66:00:00:00:00:01"]))
remotes = st.builds(
    RemoteEnd, some(["192.0.2.8", "192.0.2.9"]), some(["10.0.0.8", "10.0.0.9"]), some(["m1", "m2"])
)
kinds = some(["vxlan4", "vxlan6"])


def table(keys, values):
    return st.dictionaries(keys, values | values | st.none(), max_size=2)


deltas = st.builds(
    IntentDelta,
    cluster_routes=table(
        some(["10.0.0.0/26", "10.0.0.64/26", "10.0.0.7/32", "fd00::/122"]), routes
    ),
    tunnels=table(some(["vxlan4", "vxlan6", "ipip"]), ends),
    remote_ends=table(st.builds(RemoteKey, kinds, some(["b", "c"])), remotes),
    own_hosts=st.one_of(
        st.just({}), table(st.just(4), some(HOSTS[4])), table(st.just(6), some(HOSTS[6]))
    ),
)
wires = st.one_of(
    st.tuples(
        st.just("link"),
        some(["eth0", "eth1", "docker0"]),
        st.builds(HostLink, some([1, 2]), some([1500, 9000]), st.booleans()) | st.none(),
    ),
    st.tuples(st.just("address"), some([1, 2]), some([*HOSTS[4], *HOSTS[6]]), st.booleans()),
)
settings = st.builds(ClusterSettings, device_protocol=some([3, 80, 99]), vxlan_mtu=some([0, 1400]))


def put(known, changed):
    for key, value in changed.items():
        known.pop(key, None)
        if value is not None:
            known[key] = value


def look(underlay, hosts):
    parents = {version: underlay.parent_of(host) for version, host in hosts.items()}
    return Wires(parents, underlay.mtu_bytes)


@given(st.lists(st.lists(deltas | wires, min_size=1, max_size=3), max_size=8), settings)
def test_equals_its_definition(batches, settings):
    underlay = Underlay()
    view, hosts = Cluster(settings, underlay), {}
    known = {"cluster_routes": {}, "tunnels": {}, "remote_ends": {}}
    held = {"routes": {}, "devices": {}, "neighbours": {}, "forwarding": {}}
    for batch in batches:
        for change in batch:
            if isinstance(change, IntentDelta):
                view.feed(change)
                put(hosts, change.own_hosts)
                for part, values in known.items():
                    put(values, getattr(change, part))
                continue
            if change[0] == "link":
                underlay.set_link(*change[1:])
            else:
                underlay.set_address(*change[1:3], is_there=change[3])
            view.note_wires()
        delta = view.flush()
        for part, values in held.items():
            for key, value in getattr(delta, part).items():
                assert value != values.get(key), f"{key} had not changed"
            put(values, getattr(delta, part))
        wanted = cluster(Ways(**known), look(underlay, hosts), settings)
        assert held == {part: getattr(wanted, part) for part in held}
