"""BIRD accepts every configuration that we render, whatever the resources hold."""

import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bird_daemon import parses
from calico.core.model.bgp import (
    BGPConfiguration,
    BGPConfigurationSpec,
    BGPFilter,
    BGPFilterAddCommunity,
    BGPFilterCommunityMatch,
    BGPFilterOperation,
    BGPFilterPrefixLength,
    BGPFilterPrependASPath,
    BGPFilterRule,
    BGPFilterSetPriority,
    BGPFilterSpec,
    BGPPassword,
    BGPPeer,
    BGPPeerSpec,
    Community,
    PrefixAdvertisement,
    SecretKeySelector,
    ServiceIPBlock,
)
from calico.core.model.duration import Duration
from calico.core.model.metadata import Metadata
from calico.core.model.node import Node, NodeBGPSpec, NodeSpec
from calico.core.model.pool import IPPool, IPPoolSpec
from calico.core.render.bird import BirdInputs, render_bird
from calico.core.render.bird_peers import Cluster, SecretKey

nasty = st.sampled_from(["", "x", '"; include "/etc/passwd', "10.0.0.1\nx", "1.2.3", "::", "a b"])


def mostly(good, odd=nasty):
    """Draw what is good but one time in thirty: a record of many fields shall often be good."""
    return st.integers(0, 29).flatmap(lambda chance: odd if chance == 0 else good)


addresses = nasty | st.sampled_from(
    ["10.0.0.1/24", "10.0.0.2", "fd00::1/64", "fe80::1/64", "ff02::1", "224.0.0.1", "0.0.0.0/0"]
)
cidrs = nasty | st.sampled_from(["10.65.0.0/16", "0.0.0.0/0", "fd65::/48", "::/0", "10.1.1.7/26"])
numbers = st.none() | st.sampled_from([-1, 0, 1, 65536, 4294967295, 4294967296])
modes = st.sampled_from(["", "Never", "Always", "CrossSubnet"])

durations = st.none() | st.integers(-(10**13), 10**13).map(Duration)
values = nasty | st.sampled_from(["1:2", "65536:1", "1:2:3", "a:b", "name", "4294967295:1:1"])
metadata = st.builds(Metadata, labels=st.sampled_from([{}, {"x": "1"}, {"x": "2"}]))
passwords = st.none() | st.sampled_from(["good", "bad", "absent"]).map(
    lambda name: BGPPassword(secret_key_ref=SecretKeySelector(name=name, key="k"))
)
SECRETS = {SecretKey("good", "k"): "s3cret", SecretKey("bad", "k"): '"; include "x'}


def nodes_with(ipv4, ipv6):
    return st.builds(
        Node,
        metadata=metadata,
        spec=st.builds(
            NodeBGPSpec,
            as_number=st.just(64512) | numbers,
            ipv4_address=mostly(ipv4, addresses),
            ipv6_address=mostly(ipv6, addresses),
            route_reflector_cluster_id=st.sampled_from(["", "", "1.1.1.1", "x; y", "::1"]),
        ).map(lambda bgp: NodeSpec(bgp=bgp)),
    )


own_nodes = nodes_with(st.just("10.0.0.1/24"), st.just("fd00::1/64"))
nodes = nodes_with(
    st.sampled_from(["10.0.0.1/24", "10.0.0.2/24", "10.0.0.3"]),
    st.sampled_from(["fd00::2", "fd00::3/64"]),
)
pools = st.builds(
    IPPoolSpec, cidr=cidrs, vxlan_mode=modes, ipip_mode=modes, disable_bgp_export=st.booleans()
).map(lambda spec: IPPool(spec=spec))
configurations = st.builds(
    BGPConfigurationSpec,
    as_number=numbers,
    listen_port=st.sampled_from([0, 179, 70000, -1]),
    bind_mode=st.sampled_from([None, "None", "NodeIP"]),
    ignored_interfaces=st.lists(nasty | st.just("eth*"), max_size=2).map(tuple),
    log_severity_screen=nasty | st.just("Debug"),
    node_mesh_max_restart_time=durations,
    node_mesh_password=passwords,
    node_to_node_mesh_enabled=st.booleans(),
    communities=st.lists(st.builds(Community, st.just("name"), values), max_size=1).map(tuple),
    prefix_advertisements=st.lists(
        st.builds(PrefixAdvertisement, cidrs, st.lists(values, max_size=3).map(tuple)), max_size=2
    ).map(tuple),
    service_load_balancer_ips=st.lists(st.builds(ServiceIPBlock, cidrs), max_size=2).map(tuple),
    program_cluster_routes=st.none() | nasty | st.just("Disabled"),
    ipv4_normal_route_priority=numbers,
    ipv6_normal_route_priority=numbers,
).map(lambda spec: BGPConfiguration(spec=spec))
names = st.sampled_from(["own", "b", "c", 'd"; x', "e"])
filter_names = st.sampled_from(["f", "f", "g", "g.h-i", "x" * 60, "f'(); #", "unknown"])
selectors = mostly(st.sampled_from(["", "", "all()", "x == '1'", "has(x)"]), st.just("(("))
peers = st.builds(
    BGPPeerSpec,
    node=st.sampled_from(["", "", "own", "b"]),
    node_selector=selectors,
    peer_ip=mostly(
        st.sampled_from(["10.0.0.2", "10.0.0.3:1790", "10.0.0.2:179", "[fd00::3]:179", "fd00::2"])
    ),
    as_number=mostly(st.sampled_from([64512, 64600]), st.sampled_from([0, -1, 1 << 32])),
    local_as_number=st.none() | numbers,
    peer_selector=st.just("") | selectors,
    keep_original_next_hop=st.booleans(),
    next_hop_mode=st.sampled_from([None, "Auto", "Self", "Keep", "odd"]),
    password=st.none() | passwords,
    source_address=st.sampled_from(["", "UseNodeIP", "None", "odd"]),
    max_restart_time=durations,
    keepalive_time=durations,
    num_allowed_local_as_numbers=numbers,
    ttl_security=numbers | st.just(2),
    reachable_by=st.just("") | st.sampled_from(["10.0.0.254", "fd00::254", "x; y"]),
    filters=st.lists(st.sampled_from("fffg") | filter_names, max_size=2).map(tuple),
    reverse_peering=st.sampled_from([None, "Auto", "Manual"]),
).map(lambda spec: BGPPeer(spec=spec))
as_numbers = mostly(
    st.sampled_from([(), (1, 4294967295)]), st.sampled_from([(0,), (-1,), (1 << 32,)])
)
operations = st.one_of(
    mostly(st.sampled_from(["1:2", "1:2:3"]), values).map(
        lambda value: BGPFilterOperation(add_community=BGPFilterAddCommunity(value))
    ),
    as_numbers.map(lambda value: BGPFilterOperation(prepend_as_path=BGPFilterPrependASPath(value))),
    mostly(st.sampled_from([1, 2147483646]), numbers).map(
        lambda value: BGPFilterOperation(set_priority=BGPFilterSetPriority(value))
    ),
)
lengths = st.none() | st.sampled_from([-1, 0, 8, 24, 32, 128, 300])


def rules_of(cidr):
    return st.lists(
        st.builds(
            BGPFilterRule,
            cidr=mostly(st.just(cidr)),
            prefix_length=st.none() | st.builds(BGPFilterPrefixLength, lengths, lengths),
            source=st.sampled_from(["", "RemotePeers"]),
            interface=mostly(st.sampled_from(["", "eth*"])),
            match_operator=st.sampled_from(["Equal", "NotEqual", "In", "NotIn"]),
            peer_type=st.sampled_from(["", "iBGP", "eBGP"]),
            communities=st.none()
            | mostly(st.sampled_from(["1:2", "1:2:3"]), values).map(
                lambda value: BGPFilterCommunityMatch((value,))
            ),
            as_path_prefix=as_numbers,
            priority=st.none() | mostly(st.just(512), numbers),
            action=mostly(st.sampled_from(["Accept", "Reject"])),
            operations=st.lists(operations, max_size=2).map(tuple),
        ),
        max_size=1,
    ).map(tuple)


of_ipv4, of_ipv6 = rules_of("10.1.0.0/16"), rules_of("fd01::/48")
filters = st.dictionaries(
    filter_names,
    st.builds(BGPFilterSpec, of_ipv4, of_ipv4, of_ipv6, of_ipv6),
    max_size=4,
    min_size=2,
).map(
    lambda found: {
        name: BGPFilter(metadata=Metadata(name=name), spec=spec) for name, spec in found.items()
    }
)
clusters = st.builds(
    Cluster,
    st.just("own"),
    st.dictionaries(names, nodes, max_size=4).flatmap(
        lambda found: own_nodes.map(lambda own: found | {"own": own})
    ),
    configurations,
    st.dictionaries(names, configurations, max_size=2),
    st.dictionaries(names, peers, min_size=1, max_size=5),
    st.just(SECRETS),
)


@pytest.mark.bird
@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.builds(
        BirdInputs,
        clusters,
        st.lists(pools, max_size=3),
        st.dictionaries(cidrs, st.booleans(), max_size=3),
        addresses | st.just("hash"),
        filters,
        st.booleans(),
    )
)
def test_bird_accepts_it(tmp_path: Path, inputs):
    rendered = render_bird(inputs)
    parses(rendered.text, tmp_path)
    assert "include" not in re.sub("#.*", "", rendered.text), "nothing of it is taken as a command"
    for name in rendered.left_out:
        assert f"protocol bgp {name} " not in rendered.text
