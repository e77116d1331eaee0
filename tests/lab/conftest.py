"""Labs for tests: each in a root of its own, all of it gone afterwards.

wires    machines without Calico: stations, segments, a responder on each
cluster  a whole cluster, built once for a module; `steady` puts it back after each test
"""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from calico.core.analysis.matrix import Party, Port, questions
from calico.lab import responder
from calico.lab.build import read_files, up
from calico.lab.cluster import down
from calico.lab.fabric import FABRIC, entering, keeper, make_segments, plug
from calico.lab.flow import Flow
from calico.lab.layout import parse_topology
from calico.lab.place import Place
from calico.lab.pods import delete_pod, find_pod
from calico.lab.probe import Origin, Ports, Prober
from calico.lab.processes import PYTHON, start, start_holder, wait_until
from calico.lab.records import parse_resource, path, remove, write
from calico.lab.shape import DEFAULT_PORTS, Pod
from calico.lab.show import difference_lines, port_text
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
    parties = [origin.party for origin in origins]
    up_yet = [q for one in parties for q in questions([one], [one], [Port("tcp", 80)])]
    assert wait_until(lambda: all(prober.matrix(up_yet).values()), 10), "no responder answers"
    return SimpleNamespace(
        place=place,
        topology=topology,
        parties=parties,
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


class World:
    """A running cluster as a test uses it; what a test writes is gone after it."""

    def __init__(self, cluster):
        self.cluster = cluster
        self._written = {}
        self._pods = []

    # -- what a test changes

    def apply(self, *documents):
        """Write resources, given as people write them (apiVersion may be left out)."""
        resources = [
            parse_resource({"apiVersion": "projectcalico.org/v3", **document})
            for document in documents
        ]
        write(self.cluster.store, resources)
        self._written.update({path(resource): resource for resource in resources})

    def remove(self, *documents):
        """Delete resources that this test wrote."""
        named = {(d["kind"], d["metadata"].get("namespace", ""), d["metadata"]["name"])
                 for d in documents}  # fmt: skip
        gone = [
            resource
            for resource in self._written.values()
            if (resource.kind, resource.metadata.namespace, resource.metadata.name) in named
        ]
        remove(self.cluster.store, gone)
        for resource in gone:
            del self._written[path(resource)]

    def add_pod(self, node, name, labels=None, ports=DEFAULT_PORTS, wishes=()):
        namespace, pod = name.split("/")
        record = self.cluster.add_pod(Pod(namespace, pod, node, labels or {}, ports, wishes))
        self._pods.append(name)
        return record

    def delete_pod(self, name):
        delete_pod(self.cluster.place, find_pod(self.cluster.place, name))
        self._pods.remove(name)

    def undo(self):
        remove(self.cluster.store, self._written.values())
        self._written = {}
        for name in list(self._pods):
            self.delete_pod(name)

    # -- what a test asks

    @property
    def nodes(self):
        return self.cluster.topology.node_names

    def pod(self, name):
        return find_pod(self.cluster.place, name)

    def origin(self, name):
        return next(o for o in self.cluster.origins(outside=True) if o.party.name == name)

    def agrees(self, outside=False):
        """Measure and compute; both must say the same of every cell. Returns the answers."""
        matrix = self.cluster.matrix(outside=outside)
        wrong = "\n".join(difference_lines(matrix))
        assert not wrong, f"measured is not computed:\n{wrong}\n{self.complaints()}"
        return Answers(matrix.measured)

    def complaints(self):
        """Repeat what the nodes have warned of lately, for whoever reads a failure."""
        told = []
        for node in self.nodes:
            lines = (self.cluster.place.logs / f"calico-node-{node}.log").read_text().splitlines()
            grave = [line for line in lines if " WARNING " in line or " ERROR " in line]
            told += [f"{node}: {line}" for line in grave[-8:]]
        return "\n".join(told)

    def flow(self, source, destination, port=80, version=4):
        return Flow(self.origin(source), self.origin(destination).party, port, version)


class Answers:
    """A matrix that agrees, easy to ask."""

    def __init__(self, measured):
        self.measured = measured

    def __call__(self, source, destination, port="icmp"):
        """Say whether it gets through: True or False if the IP versions agree, else a set."""
        found = {
            question.version: ok
            for question, ok in self.measured.items()
            if (question.source, question.destination) == (source, destination)
            and port_text(question) == port
        }
        assert found, f"nobody asked {source} -> {destination} {port}"
        return set(found.values()).pop() if len(set(found.values())) == 1 else found

    def reached(self, destination, port="icmp"):
        """List who else reaches a party in every IP version."""
        sources = dict.fromkeys(q.source for q in self.measured if q.destination == destination)
        return {s for s in sources if s != destination and self(s, destination, port) is True}


@pytest.fixture(scope="session")
def built():
    """The whole cluster of tests/lab/cluster.yaml, once for all tests that are kind to it."""
    if os.geteuid() != 0:
        pytest.skip("needs root: it makes namespaces")
    folder = Path(__file__).parent
    topology, config = read_files(folder / "cluster.yaml", folder / "config.yaml")
    place = Place(ROOT, f"cluster-{os.getpid()}")
    try:
        cluster = up(place, topology, config, print)
        yield cluster
        cluster.close()
    finally:
        down(place)


@pytest.fixture
def world(built):
    world = World(built)
    try:
        yield world
    finally:
        world.undo()
