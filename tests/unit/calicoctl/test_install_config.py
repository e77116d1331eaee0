import pytest

from calico.calicoctl.files import Line
from calico.calicoctl.install import node_environment
from calico.calicoctl.install_config import (
    ConfigError,
    InstallConfig,
    parse_config,
    resolve_template,
)


def lines(**values):
    return {key: Line(value, number + 1) for number, (key, value) in enumerate(values.items())}


def test_a_whole_config():
    config = parse_config(
        lines(
            network_type="calico",
            network_cidr="10.1.0.0/16,fd00:10::/48",
            calico_ipip_mode="Never",
            calico_tunnel_mtu=1430,
            calico_ip_autodetection_method="can-reach={{ groups['master'][0] }}",
            etcd_endpoints=["http://192.0.2.1:2379"],
        ),
        "config.yaml",
    )
    assert config.network_cidr == ("10.1.0.0/16", "fd00:10::/48")
    assert config.calico_tunnel_mtu == 1430
    assert config.etcd_endpoints == "http://192.0.2.1:2379"


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("network_typ", "calico", ["unknown key 'network_typ'", "network_type"]),
        ("network_type", "flannel", ["network_type is 'flannel'", "write calico"]),
        ("network_cidr", "10.1.0.1/16", ["10.1.0.1/16", "host bits"]),
        ("network_cidr", "10.1.0.0/33", ["10.1.0.0/33"]),
        ("network_cidr", 7, ["network_cidr is 7"]),
        ("network_cidr", "10.1.0.0/28", ["smaller than one block"]),
        ("network_cidr", "10.1.0.0/16,10.2.0.0/16", ["one of IPv4 and one of IPv6"]),
        ("calico_ipip_mode", "Sometimes", ["Never, Always or CrossSubnet"]),
        ("calico_vxlan_mode", "Sometimes", ["Never, Always or CrossSubnet"]),
        ("calico_tunnel_mtu", "big", ["calico_tunnel_mtu is 'big'", "number"]),
        ("calico_tunnel_mtu", True, ["calico_tunnel_mtu is True"]),
        ("calico_tunnel_mtu", 100, ["576"]),
        ("calico_ip_autodetection_method", "best", ["'best'", "first-found"]),
        ("calico_nat_outgoing", "perhaps", ["true or false"]),
        ("etcd_endpoints", "192.0.2.1", ["http://"]),
    ],
)
def test_every_error_names_line_key_value_and_fix(key, value, says):
    wrong = {"network_cidr": "10.1.0.0/16", key: value}
    with pytest.raises(ConfigError) as refusal:
        parse_config(lines(**wrong), "config.yaml")
    text = str(refusal.value)
    assert text.startswith(f"config.yaml, line {list(wrong).index(key) + 1}: ")
    for words in says:
        assert words in text


def test_all_problems_at_once():
    with pytest.raises(ConfigError) as refusal:
        parse_config(lines(a=1, calico_tunnel_mtu="x"), "c")
    assert len(str(refusal.value).splitlines()) == 3
    assert "network_cidr is missing" in str(refusal.value)


def test_templates():
    groups = {"master": ["192.0.2.10", "192.0.2.11"]}
    method = "can-reach={{ groups['master'][1] }}"
    assert resolve_template(method, groups, "c") == "can-reach=192.0.2.11"
    assert resolve_template("first-found", {}, "c") == "first-found"
    with pytest.raises(ConfigError, match=r"'worker'.*it has: master"):
        resolve_template('{{groups["worker"][0]}}', groups, "c")
    with pytest.raises(ConfigError, match="which has 2"):
        resolve_template("{{ groups['master'][2] }}", groups, "c")
    with pytest.raises(ConfigError, match="only"):
        resolve_template("{{ hostvars }}", groups, "c")


@pytest.mark.parametrize(
    ("cidrs", "present", "absent"),
    [
        (("10.1.0.0/16",), ["IP=autodetect"], ["IP6=", "CALICO_ROUTER_ID="]),
        (("fd00::/48",), ["IP=none", "IP6=autodetect", "CALICO_ROUTER_ID=hash"], []),
        (("10.1.0.0/16", "fd00::/48"), ["IP=autodetect", "IP6=autodetect"], ["CALICO_ROUTER_ID="]),
    ],
)
def test_tells_nodes_to_look_for_the_families_there_are(cidrs, present, absent):
    config = InstallConfig(network_cidr=cidrs, etcd_endpoints="http://192.0.2.1:2379")
    lines = node_environment(config).splitlines()
    assert set(present) <= set(lines)
    assert not any(line.startswith(prefix) for line in lines for prefix in absent)
