"""BIRD accepts every configuration that we render, whatever the resources hold."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bird_daemon import parses
from calico.core.model.bgp import BGPConfiguration, BGPConfigurationSpec
from calico.core.model.duration import Duration
from calico.core.model.node import Node, NodeBGPSpec, NodeSpec
from calico.core.model.pool import IPPool, IPPoolSpec
from calico.core.render.bird import BirdInputs, render_bird
from calico.core.render.bird_peers import Cluster

nasty = st.sampled_from(["", "x", '"; include "/etc/passwd', "10.0.0.1\nx", "1.2.3", "::", "a b"])
addresses = nasty | st.sampled_from(
    ["10.0.0.1/24", "10.0.0.2", "fd00::1/64", "fe80::1/64", "ff02::1", "224.0.0.1", "0.0.0.0/0"]
)
cidrs = nasty | st.sampled_from(["10.65.0.0/16", "0.0.0.0/0", "fd65::/48", "::/0", "10.1.1.7/26"])
numbers = st.none() | st.sampled_from([-1, 0, 1, 65536, 4294967295, 4294967296])
modes = st.sampled_from(["", "Never", "Always", "CrossSubnet"])

nodes = st.builds(
    NodeBGPSpec,
    as_number=numbers,
    ipv4_address=addresses,
    ipv6_address=addresses,
    route_reflector_cluster_id=st.sampled_from(["", "", "1.1.1.1"]),
).map(lambda bgp: Node(spec=NodeSpec(bgp=bgp)))
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
    node_mesh_max_restart_time=st.none() | st.integers(-(10**13), 10**13).map(Duration),
    program_cluster_routes=st.none() | nasty | st.just("Disabled"),
    ipv4_normal_route_priority=numbers,
    ipv6_normal_route_priority=numbers,
).map(lambda spec: BGPConfiguration(spec=spec))
names = st.sampled_from(["own", "b", "c", 'd"; x', "e"])


@pytest.mark.bird
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.builds(
        BirdInputs,
        st.builds(
            Cluster,
            st.just("own"),
            st.dictionaries(names, nodes, max_size=4).flatmap(
                lambda found: nodes.map(lambda own: found | {"own": own})
            ),
            configurations,
            st.dictionaries(names, configurations, max_size=2),
        ),
        st.lists(pools, max_size=3),
        st.dictionaries(cidrs, st.booleans(), max_size=3),
        addresses | st.just("hash"),
    )
)
def test_bird_accepts_it(tmp_path: Path, inputs):
    parses(render_bird(inputs).text, tmp_path)
