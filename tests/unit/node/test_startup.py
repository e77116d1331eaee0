"""Registration against a datastore in memory; interfaces are this machine's, so IP is given."""

import pytest

from calico.core.model.keys import ResourceKey
from calico.core.model.metadata import Metadata
from calico.core.model.node import Node, NodeBGPSpec, NodeSpec
from calico.core.model.pool import IPPool, IPPoolSpec
from calico.datastore.memory import MemoryDatastore
from calico.datastore.resources import Resources
from calico.node.addresses import StartupError
from calico.node.paths import node_paths
from calico.node.startup import node_name, register, start_up

GIVEN = {"IP": "192.0.2.10/24", "IP6": "none"}


@pytest.fixture
def resources():
    return Resources(MemoryDatastore())


@pytest.fixture
def paths(tmp_path):
    return node_paths({"CALICO_NODENAME_FILE": str(tmp_path / "nodename")})


def get(resources, kind, name):
    return resources.get(ResourceKey(kind, "", name))


def test_starts_a_cluster_from_nothing(resources, paths):
    start_up(resources, {**GIVEN, "AS": "1.100", "CLUSTER_TYPE": "k8s"}, "n1", paths)
    node = get(resources, "Node", "n1")
    assert node.spec.bgp.ipv4_address == "192.0.2.10/24"
    assert node.spec.bgp.as_number == 65636
    assert get(resources, "ClusterInformation", "default").spec.datastore_ready
    assert get(resources, "IPPool", "default-ipv4-ippool").spec.cidr == "192.168.0.0/16"
    felix = get(resources, "FelixConfiguration", "node.n1")
    assert felix.spec.default_endpoint_to_host_action == "Return"
    assert paths.nodename.read_text() == "n1"


def test_writes_only_what_changed(resources, paths):
    start_up(resources, GIVEN, "n1", paths)
    first = get(resources, "Node", "n1").metadata.resource_version
    start_up(resources, GIVEN, "n1", paths)
    assert get(resources, "Node", "n1").metadata.resource_version == first
    start_up(resources, {**GIVEN, "IP": "192.0.2.11/24"}, "n1", paths)
    assert get(resources, "Node", "n1").metadata.resource_version != first


def test_keeps_what_others_wrote(resources, paths):
    start_up(resources, GIVEN, "n1", paths)
    node = get(resources, "Node", "n1")
    bgp = NodeBGPSpec(ipv4_address="192.0.2.10/24", route_reflector_cluster_id="244.0.0.1")
    spec = NodeSpec(bgp=bgp, ipv4_vxlan_tunnel_addr="10.65.0.9")
    resources.update(Node(metadata=node.metadata, spec=spec))
    start_up(resources, {**GIVEN, "IP": "192.0.2.11/24"}, "n1", paths)
    spec = get(resources, "Node", "n1").spec
    assert spec.bgp.route_reflector_cluster_id == "244.0.0.1"
    assert spec.ipv4_vxlan_tunnel_addr == "10.65.0.9"


def test_refuses_the_address_of_another_node(resources):
    other = NodeSpec(bgp=NodeBGPSpec(ipv4_address="192.0.2.10/24"))
    resources.create(Node(metadata=Metadata(name="old"), spec=other))
    with pytest.raises(StartupError, match=r"Node n1: 192\.0\.2\.10 .* Node old"):
        register(resources, GIVEN, "n1")
    register(resources, {**GIVEN, "DISABLE_NODE_IP_CHECK": "true"}, "n1")


@pytest.mark.parametrize(
    ("environment", "names"),
    [
        ({"IP": "none", "IP6": "none"}, ["neither an IPv4 nor an IPv6"]),
        ({**GIVEN, "AS": "many"}, ["AS='many'"]),
        ({**GIVEN, "CALICO_IPV4POOL_CIDR": "10.0.0.0/40"}, ["CALICO_IPV4POOL_CIDR='10.0.0.0/40'"]),
        ({**GIVEN, "CALICO_IPV4POOL_BLOCK_SIZE": "8"}, ["BLOCK_SIZE='8'", "from 20 to 32"]),
        ({**GIVEN, "CALICO_IPV4POOL_IPIP": "perhaps"}, ["CALICO_IPV4POOL_IPIP='perhaps'"]),
        (
            {**GIVEN, "NO_DEFAULT_POOLS": "true", "CALICO_IPV4POOL_CIDR": "10.0.0.0/16"},
            ["NO_DEFAULT_POOLS", "CALICO_IPV4POOL_CIDR"],
        ),
    ],
)
def test_names_the_setting_that_is_wrong(resources, paths, environment, names):
    with pytest.raises(StartupError) as refusal:
        start_up(resources, environment, "n1", paths)
    for name in names:
        assert name in str(refusal.value)


def test_default_pools_only_where_there_are_none(resources, paths):
    pool = IPPool(metadata=Metadata(name="mine"), spec=IPPoolSpec(cidr="10.65.0.0/16"))
    resources.create(pool)
    start_up(resources, {**GIVEN, "CALICO_IPV6POOL_CIDR": "fd65::/64"}, "n1", paths)
    names = {item.metadata.name for item in resources.list("IPPool").items}
    assert names == {"mine", "default-ipv6-ippool"}


def test_the_default_pool_avoids_the_node_itself(resources, paths):
    start_up(resources, {"IP": "192.168.7.1/24", "IP6": "none"}, "n1", paths)
    assert get(resources, "IPPool", "default-ipv4-ippool").spec.cidr == "172.16.0.0/16"


def test_names_of_a_node(paths):
    assert node_name({"NODENAME": " a ", "HOSTNAME": "B"}, paths) == "a"
    assert node_name({"HOSTNAME": "B"}, paths) == "b"
    paths.nodename.write_text("kept\n")
    assert node_name({"HOSTNAME": "B"}, paths) == "kept"
