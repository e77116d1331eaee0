"""The installer's configuration, where a lab needs to understand it."""

from pathlib import Path

import pytest

from calico.lab.config import etcd_station, read_config, refuse_overlap
from calico.lab.layout import parse_topology
from calico.lab.topology import LabError, read_file

EXAMPLES = Path(__file__).parents[3] / "examples"


@pytest.fixture
def topology():
    return parse_topology(read_file(EXAMPLES / "three-nodes.yaml"), "x")


def config(tmp_path, cidr="10.65.0.0/16", endpoint="http://172.30.1.2:2379"):
    file = tmp_path / "config.yaml"
    file.write_text(f"network_cidr: {cidr}\netcd_endpoints: {endpoint}\n")
    return read_config(file)


def test_the_example_fits_the_example(topology):
    told = read_config(EXAMPLES / "config.yaml")
    assert told.etcd_endpoint == "http://172.30.1.2:2379"
    refuse_overlap(told, topology)
    station = etcd_station(told, topology)
    assert station.interfaces[0].segment == "rack"
    assert station.interfaces[0].addresses == ("172.30.1.2/24",)


def test_ipv6_endpoint(tmp_path, topology):
    told = config(tmp_path, endpoint='"http://[fd30:1::2]:2379"')
    assert told.etcd_endpoint == "http://[fd30:1::2]:2379"
    assert etcd_station(told, topology).addresses == ("fd30:1::2",)


@pytest.mark.parametrize(
    ("endpoint", "told"),
    [
        ("http://etcd.example:2379", "one address on a segment"),
        ("https://172.30.1.2:2379", "no TLS"),
        ("http://172.30.1.2:2379,http://172.30.1.3:2379", "one address on a segment"),
    ],
)
def test_no_place_for_etcd(tmp_path, endpoint, told):
    with pytest.raises(LabError, match=told) as refused:
        config(tmp_path, endpoint=endpoint)
    assert "config.yaml" in str(refused.value)


def test_etcd_needs_an_address_of_its_own_on_a_segment(tmp_path, topology):
    with pytest.raises(LabError, match=r"192\.0\.2\.1 is on no segment"):
        etcd_station(config(tmp_path, endpoint="http://192.0.2.1:2379"), topology)
    with pytest.raises(LabError, match="is the address of node-1"):
        etcd_station(config(tmp_path, endpoint="http://172.30.1.11:2379"), topology)


def test_pods_and_segments_share_no_addresses(tmp_path, topology):
    with pytest.raises(LabError, match=r"overlaps 172\.30\.1\.0/24 of segment rack"):
        refuse_overlap(config(tmp_path, cidr="172.30.0.0/16"), topology)


def test_the_installers_own_complaints_come_through(tmp_path):
    with pytest.raises(LabError, match="network_cidr"):
        config(tmp_path, cidr="nonsense")
