"""Network configurations: what is understood, and the one sentence when something is wrong."""

import json

import pytest

from calico.cni.errors import BAD_CONFIG, BAD_ENVIRONMENT, BAD_JSON, VERSION, CniError
from calico.cni.identity import parse_args, parse_identity
from calico.cni.settings import VERSIONS, is_at_least, parse_config
from calico.core.intent.keys import EndpointKey

GOOD = {"cniVersion": "1.0.0", "name": "net1", "type": "calico", "ipam": {"type": "calico-ipam"}}


def parsed(**changes):
    return parse_config(json.dumps({**GOOD, **changes}).encode())


def refused(**changes):
    with pytest.raises(CniError) as caught:
        parsed(**changes)
    return caught.value


def test_what_is_left_out_has_calicos_defaults():
    config = parsed()
    assert (config.ipam.wants_ipv4, config.ipam.wants_ipv6) == (True, False)
    assert not config.is_kubernetes
    assert not config.container_settings.allow_ip_forwarding
    assert parsed(cniVersion="").version == "0.2.0"


def test_what_is_given():
    config = parsed(
        mtu=1400,
        policy={"type": "k8s"},
        ipam={"type": "calico-ipam", "assign_ipv4": "false", "assign_ipv6": "True"},
        args={"cni": {"labels": [{"key": "app", "value": "web"}], "ips": ["10.0.0.5/24"]}},
        runtimeConfig={"ips": ["fd00::5/64", "10.0.0.5"], "mac": "02:00:00:00:00:01"},
        log_level="info",
        datastore_type="etcdv3",
        etcd_endpoints="http://127.0.0.1:2379",
        prevResult={"ips": []},
        unheard_of={"a": [1]},
    )
    assert (config.ipam.wants_ipv4, config.ipam.wants_ipv6) == (False, True)
    assert config.labels == {"app": "web"}
    assert config.ips == ("fd00::5", "10.0.0.5")
    assert bytes(config.previous_result) == b'{"ips": []}'


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"mtu": "big"}, ["mtu", "expected int"]),
        ({"mtu": 12}, ["mtu '12'", "68 to 65535", "0 for the node's own"]),
        ({"name": ""}, ["name", "is required"]),
        ({"name": "a/b"}, ["name 'a/b'"]),
        ({"ipam": {}}, ["ipam.type", "calico-ipam"]),
        ({"ipam": {"type": "../x"}}, ["ipam.type '../x'"]),
        ({"ipam": {"type": "calico-ipam", "assign_ipv6": "maybe"}}, ["ipam.assign_ipv6 'maybe'"]),
        ({"ipam": {"type": "calico-ipam", "ipv4_pools": "p"}}, ["ipam.ipv4_pools", "array"]),
        ({"policy": {"type": "mesos"}}, ["policy.type 'mesos'", "k8s"]),
        ({"device_type": "ipvlan"}, ["device_type 'ipvlan'", "veth"]),
        ({"datastore_type": "kubernetes"}, ["datastore_type 'kubernetes'", "etcdv3"]),
        ({"dataplane_options": {"type": "grpc"}}, ["dataplane_options.type 'grpc'"]),
        ({"policy_setup_timeout_seconds": -1}, ["policy_setup_timeout_seconds '-1'"]),
        ({"args": {"cni": {"labels": [{"key": "a b"}]}}}, ["args.cni.labels 'a b'"]),
        ({"args": {"cni": {"ips": ["x"]}}}, ["args.cni.ips 'x'", "IP address"]),
        ({"runtimeConfig": {"mac": "x"}}, ["runtimeConfig.mac 'x'"]),
    ],
    ids=lambda value: next(iter(value)),
)
def test_one_error_names_key_value_and_fix(changes, parts):
    error = refused(**changes)
    assert error.code == BAD_CONFIG
    for part in parts:
        assert part in error.details


def test_all_that_is_wrong_is_told_at_once():
    error = refused(mtu=1, policy={"type": "x"})
    assert "mtu" in error.details
    assert "policy.type" in error.details


@pytest.mark.parametrize(
    "changes",
    [
        {"args": {"cni": {"labels": [{"key": "app", "value": "we b"}], "ips": ["nowhere"]}}},
        {"mtu": 12, "policy": {"type": "x"}, "runtimeConfig": {"mac": "here"}},
    ],
)
def test_what_only_an_add_uses_may_be_wrong_in_a_delete(changes):
    refused(**changes)
    config = json.dumps({**GOOD, **changes}).encode()
    assert parse_config(config, for_delete=True).name == "net1"


def test_a_delete_must_say_whose_addresses_and_who_frees_them():
    config = json.dumps({**GOOD, "name": "b ad", "ipam": {}}).encode()
    with pytest.raises(CniError, match=r"name 'b ad' must be a letter.*; ipam.type"):
        parse_config(config, for_delete=True)


def test_not_json():
    with pytest.raises(CniError) as caught:
        parse_config(b"{")
    assert caught.value.code == BAD_JSON


def test_versions():
    error = refused(cniVersion="1.2.0")
    assert (error.code, error.message) == (VERSION, "incompatible CNI versions")
    assert '"1.2.0"' in error.details
    for version in VERSIONS:
        assert parsed(cniVersion=version).version == version
    assert is_at_least("1.0.0", "0.4.0")
    assert not is_at_least("0.4.0", "1.0.0")


ENVIRONMENT = {"CNI_CONTAINERID": "4f0c2b7de1a9beef", "CNI_IFNAME": "eth0"}


class TestIdentity:
    def test_a_pod(self):
        args = "IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web-0;IP=10.0.0.9"
        identity = parse_identity({**ENVIRONMENT, "CNI_ARGS": args}, "n-1")
        assert identity.key == EndpointKey("k8s", "shop/web-0", "eth0")
        assert identity.endpoint_name == "n--1-k8s-web--0-eth0"
        # the first eleven digits of the SHA-1 of "shop.web-0"
        assert identity.host_interface("cali") == "calia4fc3c48bd8"
        assert identity.handle("net1") == "net1.4f0c2b7de1a9beef"
        assert identity.args["IP"] == "10.0.0.9"

    def test_a_container(self):
        identity = parse_identity(ENVIRONMENT, "n")
        assert identity.key == EndpointKey("cni", "default/4f0c2b7de1a9beef", "eth0")
        assert identity.host_interface("cali") == "cali4f0c2b7de1a"
        assert identity.path.endswith("/workloadendpoints/default/n-cni-4f0c2b7de1a9beef-eth0")

    @pytest.mark.parametrize(
        ("changes", "text"),
        [
            ({"CNI_CONTAINERID": "", "CNI_IFNAME": ""}, "[CNI_CONTAINERID,CNI_IFNAME] missing"),
            ({"CNI_CONTAINERID": "a/b"}, "CNI_CONTAINERID"),
            ({"CNI_IFNAME": "a-very-long-name-"}, "CNI_IFNAME"),
            ({"CNI_IFNAME": ".."}, "CNI_IFNAME"),
            ({"CNI_ARGS": "what"}, "CNI_ARGS"),
        ],
    )
    def test_refused(self, changes, text):
        with pytest.raises(CniError) as caught:
            parse_identity({**ENVIRONMENT, **changes}, "n")
        assert caught.value.code == BAD_ENVIRONMENT
        assert text in str(caught.value)

    def test_a_value_may_hold_an_equals_sign(self):
        assert parse_args("A=b=c;;D=") == {"A": "b=c", "D": ""}
