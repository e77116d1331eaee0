"""What endpoints and network sets bring into IP sets."""

import pytest

from calico.core.calc.contributors import NamedPort, contributor_of
from calico.core.calc.settings import CalcSettings
from calico.core.model.endpoint import (
    EndpointPort,
    HostEndpoint,
    HostEndpointSpec,
    WorkloadEndpoint,
    WorkloadEndpointPort,
    WorkloadEndpointSpec,
)
from calico.core.model.network_set import (
    GlobalNetworkSet,
    GlobalNetworkSetSpec,
    NetworkSet,
    NetworkSetSpec,
)
from calico.core.model.tier import Tier


def contributor(record):
    return contributor_of(record, CalcSettings())


def test_a_workload_endpoint_brings_its_addresses_and_named_ports():
    found = contributor(
        WorkloadEndpoint(
            spec=WorkloadEndpointSpec(
                interface_name="cali1",
                ip_networks=("10.0.0.1/32", "FD00::0:1/128", "10.0.0.1", "10.0.0.999/32"),
                ports=(
                    WorkloadEndpointPort("http", "TCP", 80),
                    WorkloadEndpointPort("", "TCP", 81),
                    WorkloadEndpointPort("dns", 17, 53),
                    WorkloadEndpointPort("odd", "what", 1),
                ),
            )
        )
    )
    assert found.members == ("10.0.0.1", "fd00::1")
    assert found.ports == (NamedPort("http", 6, 80), NamedPort("dns", 17, 53))


def test_a_host_endpoint_brings_the_addresses_that_it_is_expected_to_have():
    spec = HostEndpointSpec(
        interface_name="eth0", expected_ips=("192.0.2.1",), ports=(EndpointPort("ssh", "TCP", 22),)
    )
    found = contributor(HostEndpoint(spec=spec))
    assert (found.members, found.ports) == (("192.0.2.1",), (NamedPort("ssh", 6, 22),))
    assert contributor(HostEndpoint(spec=HostEndpointSpec(interface_name="eth0"))).members == ()


@pytest.mark.parametrize(
    ("net", "members"),
    [
        ("10.1.2.3/8", ("10.0.0.0/8",)),
        ("10.1.2.3/32", ("10.1.2.3",)),
        ("10.1.2.3", ("10.1.2.3",)),
        ("FD00::1/128", ("fd00::1",)),
        ("0.0.0.0/0", ("0.0.0.0/1", "128.0.0.0/1")),
        ("::/0", ("::/1", "8000::/1")),
        ("nonsense", ()),
    ],
)
def test_a_network_set_brings_its_nets(net, members):
    assert contributor(NetworkSet(spec=NetworkSetSpec((net, net)))).members == members
    assert contributor(GlobalNetworkSet(spec=GlobalNetworkSetSpec((net,)))).members == members


def test_nothing_else_brings_anything():
    assert contributor(Tier()) is None
