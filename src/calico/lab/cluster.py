"""A running lab: what it consists of, and everything that can be done to it.

    up (build.py) --> Cluster.create    commands --> Cluster.open
                            `--------------+--> pods, nodes, matrix, down

A Cluster remembers nothing that is not in its place, so any command, at any time, works on what
is really there.
"""

import os
import shutil
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from signal import SIGKILL
from time import monotonic

from msgspec import Struct
from msgspec.structs import replace

from calico.core.analysis.matrix import Expected, Party, Port, Question, questions
from calico.core.analysis.what_if import Difference, differences
from calico.datastore.client import Datastore
from calico.lab import etcd, nodes
from calico.lab.computed import expected, read_snapshot
from calico.lab.config import Config
from calico.lab.fabric import is_up, keeper
from calico.lab.layout import with_defaults
from calico.lab.parallel import each
from calico.lab.patience import patient
from calico.lab.place import Place, read_record, write_record
from calico.lab.pods import PodRecord, add_pod, forget_sandbox, namespace_path, pods
from calico.lab.probe import Origin, Ports, Prober
from calico.lab.processes import Remembered, is_running, kill
from calico.lab.records import write_namespaces
from calico.lab.shape import Namespace, Pod, Station, Topology
from calico.lab.topology import LabError

SETTLE_SECONDS = 10.0  # how long measured and computed may differ after a change


class Description(Struct, frozen=True):
    """What a lab was asked to be, and who is building it."""

    topology: Topology
    config: Config
    builder: Remembered


class Matrix(Struct, frozen=True):
    """Who reaches whom, by packets and by thinking; `differences` is measured -> computed."""

    measured: Mapping[Question, bool]
    computed: Mapping[Question, bool]
    differences: tuple[Difference, ...]
    expected: Expected


class Cluster:
    """One lab. Raises LabError for everything a person can put right."""

    def __init__(self, place: Place, description: Description) -> None:
        self.place = place
        self.description = description

    @classmethod
    def open(cls, place: Place) -> "Cluster":
        """Find a lab that was built."""
        description = read_record(place.description, Description)
        if description is None:
            raise LabError(
                f"{place.directory} holds no whole lab: `calico-lab down --name {place.name}` "
                "removes what is there"
            )
        return cls(place, description)

    @property
    def topology(self) -> Topology:
        """The topology as it is now, added nodes and all."""
        return self.description.topology

    @cached_property
    def store(self) -> Datastore:
        """A client of the lab's etcd."""
        return etcd.open_store(self.place)

    def close(self) -> None:
        """Give up the connection to etcd, if there is one."""
        if "store" in self.__dict__:
            self.store.close()
            del self.__dict__["store"]

    # -- pods

    def add_pod(self, pod: Pod) -> PodRecord:
        """Add a pod; its namespace comes into being with its first pod."""
        if pod.node not in self.topology.node_names:
            known = ", ".join(self.topology.node_names)
            raise LabError(f"no node is called {pod.node!r}; there are: {known}")
        if pod.namespace not in {namespace.name for namespace in self.topology.namespaces}:
            self.add_namespace(Namespace(pod.namespace))
        return add_pod(self.place, pod)

    def add_namespace(self, namespace: Namespace) -> None:
        """Add a namespace, or give one other labels."""
        write_namespaces(self.store, [namespace])
        others = [one for one in self.topology.namespaces if one.name != namespace.name]
        self._describe(replace(self.topology, namespaces=(*others, namespace)))

    # -- nodes

    def start_node(self, name: str) -> None:
        """Start a node that is down, and its pods anew, as a kubelet would."""
        station = self._station(name)
        if is_up(self.place, name):
            raise LabError(f"{name} is up: `calico-lab kill-node {name}` ends it")
        kill(self.place, name)
        nodes.start_station(self.place, station, self.topology.segments)
        self.start_calico(name)
        nodes.wait_until_node_ready(self.place, name)
        mine = [record for record in pods(self.place).values() if record.pod.node == name]
        for record in mine:
            forget_sandbox(self.place, record)
        each(lambda record: add_pod(self.place, record.pod), mine)

    def start_calico(self, name: str) -> None:
        """Install the plugin on a node and start calico-node there."""
        config = self.description.config
        nodes.install_plugins(self.place, name)
        nodes.write_conflist(self.place, name, config)
        environment = nodes.node_environment(self.place, config)
        nodes.start_calico_node(self.place, name, environment)

    def kill_node(self, name: str) -> int:
        """End a node without a goodbye. Returns how many processes it had."""
        self._station(name)
        return kill(self.place, name)

    def add_node(self, station: Station) -> None:
        """Add a node to the cluster and start it."""
        if station.name in {one.name for one in self.topology.stations}:
            raise LabError(f"{station.name} exists: choose another name")
        station = with_defaults(station, self.topology.of_kind("router"))
        self._describe(replace(self.topology, stations=(*self.topology.stations, station)))
        self.start_node(station.name)

    def _station(self, name: str) -> Station:
        for station in self.topology.of_kind("node"):
            if station.name == name:
                return station
        known = ", ".join(self.topology.node_names)
        raise LabError(f"no node is called {name!r}; there are: {known}")

    def _describe(self, topology: Topology) -> None:
        self.description = replace(self.description, topology=topology)
        write_record(self.place.description, self.description)

    # -- questions

    def origins(self, outside: bool = False) -> list[Origin]:
        """List who can ask and be asked: every pod that is up; with `outside`, the rest too."""
        up = {station.name for station in self.topology.stations if is_up(self.place, station.name)}
        found = [
            Origin(record.party, namespace_path(self.place, record))
            for record in pods(self.place).values()
            if record.addresses and record.pod.node in up
        ]
        stations = (s for s in self.topology.stations if outside and s.kind != "router")
        for station in stations:
            if station.name in up:
                node = station.name if station.kind == "node" else ""
                party = Party(station.name, node, station.addresses)
                path = Path(f"/proc/{keeper(self.place, station.name)}/ns/net")
                found.append(Origin(party, path))
        return found

    def questions(self, origins: Sequence[Origin]) -> list[Question]:
        """Ask everybody about everybody: an echo request, and each port that is answered.

        What passes between two machines that are no pods is none of Calico's business here.
        """
        parties, ports, known = (
            [origin.party for origin in origins],
            self._ports(),
            pods(self.place),
        )
        asked = (
            question
            for party in parties
            for question in questions(parties, [party], (Port("icmp"), *ports.get(party.name, ())))
        )
        return [q for q in asked if q.source in known or q.destination in known]

    def _ports(self) -> dict[str, tuple[Port, ...]]:
        ports = {name: record.pod.ports for name, record in pods(self.place).items()}
        return ports | {station.name: station.ports for station in self.topology.stations}

    def expected(self, origins: Sequence[Origin]) -> Expected:
        """Think: what should be reachable, by what the datastore says now."""
        parties = [origin.party for origin in origins]
        return expected(read_snapshot(self.store), self.topology.node_names, parties)

    def matrix(
        self,
        asked: Sequence[Question] | None = None,
        outside: bool = False,
        settle_seconds: float = SETTLE_SECONDS,
    ) -> Matrix:
        """Measure and compute; cells that differ are measured again until the time is over."""
        origins = self.origins(outside)
        asked = self.questions(origins) if asked is None else asked
        thinking = self.expected(origins)
        computed = thinking.matrix(asked)
        prober = Prober(origins, Ports(self.place.directory / "ports"), computed)
        deadline = monotonic() + patient(settle_seconds)
        measured = dict(prober.matrix(asked))
        while monotonic() < deadline and (wrong := differences(measured, computed)):
            measured.update(prober.matrix([one.question for one in wrong]))
        return Matrix(measured, computed, differences(measured, computed), thinking)

    def measure(self, asked: Sequence[Question], outside: bool = False) -> Mapping[Question, bool]:
        """Measure alone, with no idea of what should be."""
        return Prober(self.origins(outside), Ports(self.place.directory / "ports")).matrix(asked)


def down(place: Place) -> int:
    """Remove every trace of a lab, whatever state it is in. Returns how many processes it had."""
    description = _description_if_any(place)
    if description and is_running(description.builder) and description.builder.pid != os.getpid():
        os.kill(description.builder.pid, SIGKILL)  # an `up` that is at work, or hangs
    count = kill(place)
    if place.directory.exists():
        shutil.rmtree(place.directory)
    root = place.directory.parent
    if root.exists() and not any(root.iterdir()):
        root.rmdir()
    return count


def _description_if_any(place: Place) -> Description | None:
    try:
        return read_record(place.description, Description)
    except LabError:
        return None
