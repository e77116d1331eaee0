"""What a lab says of tunnels that the machine's kernel does not have."""

import pytest

from calico.calicoctl.install_config import InstallConfig
from calico.kernel.features import Features
from calico.lab import build
from calico.lab.config import Config
from calico.lab.topology import LabError


def config(**modes):
    settings = InstallConfig(network_cidr=("10.65.0.0/16",), **modes)
    return Config("config.yaml", settings, "172.30.1.2", 2379)


@pytest.fixture
def has(monkeypatch):
    def tell(*kinds):
        monkeypatch.setattr(build, "probe", lambda: Features(link_kinds=frozenset(kinds)))

    return tell


def test_what_is_there_is_fine(has):
    has("ipip")
    build.check_kernel(config(calico_ipip_mode="Always"))
    has()
    build.check_kernel(config())


def test_the_choices_are_named(has):
    has("vxlan")
    with pytest.raises(LabError) as refusal:
        build.check_kernel(config(calico_ipip_mode="CrossSubnet"))
    for word in ("calico_ipip_mode", "no ipip", "Never", "calico_vxlan_mode: CrossSubnet"):
        assert word in str(refusal.value)
    has()
    with pytest.raises(LabError, match=r"no vxlan.*write Never, or run"):
        build.check_kernel(config(calico_vxlan_mode="Always"))
