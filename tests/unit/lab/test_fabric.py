"""Names and addresses that the fabric gives."""

from pathlib import Path

import pytest

from calico.lab.fabric import mac, next_address, port_name
from calico.lab.place import Place
from calico.lab.shape import Segment
from calico.lab.topology import LabError

RACK = Segment("rack", ("172.30.1.0/24", "fd30:1::/64"))


def test_the_next_address_ends_alike_in_both_versions():
    assert next_address(RACK, frozenset()) == ("172.30.1.11/24", "fd30:1::11/64")
    taken = frozenset({"172.30.1.11", "fd30:1::12"})
    assert next_address(RACK, taken) == ("172.30.1.13/24", "fd30:1::13/64")


def test_a_segment_that_is_full():
    small = Segment("small", ("172.30.1.0/28",))
    taken = frozenset(f"172.30.1.{number}" for number in range(16))
    with pytest.raises(LabError, match="segment small has no free address left"):
        next_address(small, taken)


def test_names_of_ports_fit_and_differ():
    long = [f"a-very-long-name-of-a-machine-{number}" for number in range(50)]
    names = [port_name(name, index) for name in (*long, "node-1") for index in range(3)]
    assert len(set(names)) == len(names)
    assert max(map(len, names)) <= 15
    assert port_name("node-1", 0) == "node-1.0"


def test_hardware_addresses_stay_and_differ_between_labs():
    one, other = Place(Path("/run/x"), "one"), Place(Path("/run/x"), "other")
    assert mac(one, "node-1.0") == mac(one, "node-1.0")
    assert len({mac(one, "node-1.0"), mac(one, "node-1.1"), mac(other, "node-1.0")}) == 3
    assert mac(one, "node-1.0").startswith("02:"), "local, not multicast"
