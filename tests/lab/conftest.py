"""Labs for tests: each in a root of its own, all of it gone afterwards.

wires    machines without Calico: stations, segments, a responder on each
cluster  a whole cluster, built once for a module; `steady` puts it back after each test
"""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from calico.core.analysis.matrix import Party
from calico.lab import responder
from calico.lab.cluster import down
from calico.lab.fabric import FABRIC, entering, keeper, make_segments, plug
from calico.lab.layout import parse_topology
from calico.lab.place import Place
from calico.lab.probe import Origin, Ports, Prober
from calico.lab.processes import PYTHON, start, start_holder
from calico.lab.topology import read_file

ROOT = Path(f"/run/calico-lab-test-{os.getpid()}")

WIRES = """\
segments:
  - {name: left, subnets: [172.30.1.0/24, "fd30:1::/64"]}
  - {name: right, subnets: [172.30.2.0/24, "fd30:2::/64"], mtu: 1400}
routers:
  - name: gateway
    interfaces:
      - {segment: left, addresses: [172.30.1.1, "fd30:1::1"]}
      - {segment: right, addresses: [172.30.2.1, "fd30:2::1"]}
nodes:
  - name: alice
    interfaces: [{segment: left, addresses: [172.30.1.11, "fd30:1::11"]}]
hosts:
  - name: bob
    interfaces: [{segment: right, addresses: [172.30.2.12, "fd30:2::12"]}]
"""


@pytest.fixture(autouse=True)
def own_root(monkeypatch):
    if os.geteuid() != 0:
        pytest.skip("needs root: it makes namespaces")
    monkeypatch.setenv("CALICO_LAB_DIR", str(ROOT))


def make_wires(name, tmp_path):
    """Build the machines of WIRES, with a responder on each but the router."""
    file = tmp_path / "wires.yaml"
    file.write_text(WIRES)
    topology = parse_topology(read_file(file), name)
    place = Place(ROOT, name)
    place.create()
    for station in (FABRIC, *(s.name for s in topology.stations)):
        start_holder(place, station)
    make_segments(place, topology.segments)
    for station in topology.stations:
        plug(place, station, topology.segments)
    ends = [station for station in topology.stations if station.kind != "router"]
    for station in ends:
        program = (*PYTHON, responder.__file__, station.name, "tcp/80", "udp/53")
        words = (*entering(place, station.name), "unshare", "-u", *program)
        start(place, f"responder-{station.name}", station.name, words)
    origins = [
        Origin(
            Party(station.name, station.name, station.addresses),
            Path(f"/proc/{keeper(place, station.name)}/ns/net"),
        )
        for station in ends
    ]
    prober = Prober(origins, Ports(place.directory / "ports"))
    return SimpleNamespace(
        place=place,
        topology=topology,
        parties=[origin.party for origin in origins],
        prober=prober,
        inside=lambda station: entering(place, station),
    )


@pytest.fixture
def wires(tmp_path):
    name = f"wires-{os.getpid()}"
    try:
        yield make_wires(name, tmp_path)
    finally:
        down(Place(ROOT, name))
