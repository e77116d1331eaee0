import pytest

from calico.core.model.endpoint import WorkloadEndpointSpec
from calico.core.model.endpoint_names import (
    EndpointName,
    endpoint_name,
    endpoint_name_prefix,
    parse_endpoint_name,
)
from calico.core.model.keys import (
    BlockAffinityKey,
    BlockKey,
    HandleKey,
    IpamConfigKey,
    ResourceKey,
    key_of,
    kind_prefix,
    path_of,
)
from calico.core.model.registry import KINDS

RESOURCES = "/calico/resources/v3/projectcalico.org"
IPAM = "/calico/ipam/v2"


@pytest.mark.parametrize(
    ("key", "path"),
    [
        (ResourceKey("Node", "", "node-a"), f"{RESOURCES}/nodes/node-a"),
        (
            ResourceKey("NetworkPolicy", "shop", "web"),
            f"{RESOURCES}/networkpolicies/shop/web",
        ),
        (BlockKey("10.65.3.64/30"), f"{IPAM}/assignment/ipv4/block/10.65.3.64-30"),
        (BlockKey("fd00:10::40/122"), f"{IPAM}/assignment/ipv6/block/fd00:10::40-122"),
        (
            BlockAffinityKey("host", "node-a", "10.65.3.64/30"),
            f"{IPAM}/host/node-a/ipv4/block/10.65.3.64-30",
        ),
        (
            BlockAffinityKey("virtual", "load-balancer", "fd00::/122"),
            f"{IPAM}/virtual/load-balancer/ipv6/block/fd00::-122",
        ),
        (HandleKey("k8s-pod-network.4f0c"), f"{IPAM}/handle/k8s-pod-network.4f0c"),
        (IpamConfigKey(), f"{IPAM}/config"),
    ],
)
def test_paths(key, path):
    assert path_of(key) == path
    assert key_of(path) == key
    assert type(key_of(path)) is type(key)


def test_every_kind_has_its_own_paths():
    paths = set()
    for kind, info in KINDS.items():
        key = ResourceKey(kind, "n" if info.namespaced else "", "x")
        assert key_of(path_of(key)) == key
        assert path_of(key).startswith(kind_prefix(kind))
        paths.add(path_of(key))
    assert len(paths) == len(KINDS) == 25


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/other",
        "/calico/v1/config/X",
        f"{RESOURCES}/nodes",
        f"{RESOURCES}/nodes/",
        f"{RESOURCES}/nodes/a/b",
        f"{RESOURCES}/networkpolicies/a",
        f"{RESOURCES}/networkpolicies//a",
        f"{RESOURCES}/pods/a",
        f"{RESOURCES[1:]}/nodes/a",
        f"{IPAM}/handle/",
        f"{IPAM}/handle/a/b",
        f"{IPAM}/host/node-a",
        f"{IPAM}/host/node-a/ipv4/block/x-30",
        f"{IPAM}/assignment/ipv4/block/10.0.0.0",
        f"{IPAM}/assignment/ipv4/block/10.0.0.0-33",
        f"{IPAM}/cloud/node-a/ipv4/block/10.0.0.0-30",
    ],
)
def test_what_is_no_record_of_ours(path):
    assert key_of(path) is None


def test_escapes_of_older_releases_are_undone():
    assert key_of(f"{RESOURCES}/profiles/a%2fb%25") == ResourceKey("Profile", "", "a/b%")


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ({"orchestrator": "k8s", "pod": "web-0"}, "n--1-k8s-web--0-eth0"),
        ({"orchestrator": "cni", "container_id": "4f0c"}, "n--1-cni-4f0c-eth0"),
        ({"orchestrator": "libnetwork"}, "n--1-libnetwork-libnetwork-eth0"),
        ({"orchestrator": "openstack", "workload": "vm--1"}, "n--1-openstack-vm----1-eth0"),
    ],
)
def test_endpoint_names(spec, name):
    spec = WorkloadEndpointSpec(node="n-1", endpoint="eth0", **spec)
    assert endpoint_name(spec) == name
    workload = {"cni": "4f0c", "k8s": "web-0", "openstack": "vm--1"}
    parts = parse_endpoint_name(name)
    assert parts == EndpointName(
        "n-1", spec.orchestrator, workload.get(spec.orchestrator, "libnetwork"), "eth0"
    )


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ({"node": "n"}, "needs its orchestrator"),
        ({"orchestrator": "k8s", "node": "n", "endpoint": "e"}, "needs its workload"),
        ({"orchestrator": "k8s", "node": "n-", "pod": "p", "endpoint": "e"}, "begin or end"),
        ({"orchestrator": "k8s", "node": "n", "pod": "-p", "endpoint": "e"}, "begin or end"),
    ],
)
def test_endpoints_without_a_name(spec, says):
    with pytest.raises(ValueError, match=says):
        endpoint_name(WorkloadEndpointSpec(**spec))


@pytest.mark.parametrize("name", ["", "a", "a-b-c", "a-b-c-d-e", "a--b-c-d", "a-b--c-d"])
def test_what_is_no_endpoint_name(name):
    with pytest.raises(ValueError, match="four parts"):
        parse_endpoint_name(name)


def test_prefixes_end_where_knowledge_ends():
    assert endpoint_name_prefix(("n-1", "k8s", "web")) == "n--1-k8s-web-"
    assert endpoint_name_prefix(("n-1", "", "web")) == "n--1-"
    assert endpoint_name_prefix(()) == ""
