"""Build a lab: what `up` does, step by step.

    stations --> segments and cables --> etcd --> install --> calico-node on every node --> pods

Nothing is made before the files have been read and checked whole. If a step fails, everything is
taken down again and the lab has left no trace; the error shows the end of the log that matters.
"""

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from msgspec.structs import replace

from calico.datastore.client import DatastoreError
from calico.kernel.features import probe
from calico.kernel.netlink import KernelError
from calico.kernel.run import ProgramFailed, run
from calico.lab import etcd, nodes
from calico.lab.cluster import Cluster, Description, down
from calico.lab.config import ETCD_STATION, Config, etcd_station, read_config, refuse_overlap
from calico.lab.fabric import FABRIC, entering, make_segments, plug
from calico.lab.layout import parse_topology, with_defaults
from calico.lab.parallel import each
from calico.lab.patience import patient
from calico.lab.place import Place, write_record
from calico.lab.pods import add_pod, responder_words
from calico.lab.processes import Remembered, start, start_holder, start_time
from calico.lab.records import write_namespaces
from calico.lab.runtime import PATH
from calico.lab.shape import Station, Topology
from calico.lab.topology import LabError, read_file

TOOLS = ("bird", "birdc", "etcd", "ip", "nft", "nsenter", "setsid", "unshare")
INSTALL_SECONDS = 30.0
Report = Callable[[str], None]


def read_files(topology: Path, config: Path) -> tuple[Topology, Config]:
    """Read and check both files. Raises LabError."""
    shape = parse_topology(read_file(topology), topology.stem)
    told = read_config(config)
    refuse_overlap(told, shape)
    etcd_station(told, shape)
    return shape, told


def check_machine() -> None:
    """Refuse early what would fail half-way. Raises LabError."""
    missing = [tool for tool in TOOLS if shutil.which(tool, path=PATH) is None]
    if missing:
        raise LabError(f"not installed: {', '.join(missing)}: scripts/setup.sh installs them")


def check_kernel(config: Config) -> None:
    """Refuse tunnels that this kernel cannot make. Raises LabError."""
    asked = {"ipip": config.settings.calico_ipip_mode, "vxlan": config.settings.calico_vxlan_mode}
    kinds = [kind for kind, mode in asked.items() if mode != "Never"]
    if not kinds:
        return
    has = probe().link_kinds
    for kind in kinds:
        if kind not in has:
            others = [f"calico_{other}_mode" for other in asked if other in has and other != kind]
            instead = f", and {others[0]}: {asked[kind]}" if others else ""
            raise LabError(
                f"{config.path}: calico_{kind}_mode is {asked[kind]}, but the kernel of this "
                f"machine has no {kind} (modprobe {kind} says the same): write Never{instead}, "
                "or run the lab in a virtual machine"
            )


def up(
    place: Place,
    topology: Topology,
    config: Config,
    report: Report,
    *,
    keep_broken: bool = False,
) -> Cluster:
    """Build a lab and leave it running. Raises LabError, and leaves nothing behind then.

    `keep_broken` leaves what was built so far, for whoever wants to look at it.
    """
    check_machine()
    check_kernel(config)
    etcd.socket_path(place)
    place.create()
    me = Remembered(os.getpid(), start_time(os.getpid()) or 0, "")
    cluster = Cluster(place, Description(replace(topology, name=place.name), config, me))
    write_record(place.description, cluster.description)
    try:
        _build(cluster, report)
    except BaseException as error:
        cluster.close()
        if not keep_broken:
            down(place)
        if isinstance(error, KernelError | DatastoreError):
            raise LabError(f"the lab could not be built: {error}") from error
        raise
    cluster.description = replace(cluster.description, builder=Remembered(0, 0, ""))
    write_record(place.description, cluster.description)
    return cluster


def _build(cluster: Cluster, report: Report) -> None:
    place, topology = cluster.place, cluster.topology
    config = cluster.description.config
    names = topology.node_names
    with place.locked():
        report("making a namespace for every machine")
        stations = (*topology.stations, _etcd(cluster))
        each(lambda name: start_holder(place, name), [FABRIC, *(s.name for s in stations)])
        report("wiring the segments")
        make_segments(place, topology.segments)
        each(lambda station: plug(place, station, topology.segments), stations)
        start_outside(cluster)
        report("starting etcd")
        etcd.start_etcd(place, config)
        etcd.wait_until_ready(cluster.store)
        report("installing Calico: calicoctl install --config")
        install(cluster)
        report(f"starting calico-node on {', '.join(names)}")
        each(cluster.start_calico, names)
        each(lambda name: nodes.wait_until_node_ready(place, name), names)
        report(f"adding {len(topology.pods)} pods")
        each(lambda pod: add_pod(place, pod), topology.pods)


def start_outside(cluster: Cluster) -> None:
    """Start the responders of the hosts outside the cluster."""
    for station in cluster.topology.of_kind("host"):
        inside = entering(cluster.place, station.name)
        program = responder_words(station.name, station.ports)
        start(cluster.place, f"host-{station.name}", station.name, (*inside, *program))


def _etcd(cluster: Cluster) -> Station:
    station = etcd_station(cluster.description.config, cluster.topology)
    return with_defaults(station, cluster.topology.of_kind("router"))


def install(cluster: Cluster) -> None:
    """Install Calico as its users do, then what Kubernetes' side would have written."""
    place, config = cluster.place, cluster.description.config
    inventory = place.directory / "inventory.yaml"
    inventory.write_text(json.dumps({"groups": _groups(cluster.topology)}))
    environment_file = nodes.environment_file(place)
    files = ("--inventory", str(inventory), "--node-environment", str(environment_file))
    calicoctl(cluster, "install", "--config", config.path, *files)
    write_namespaces(cluster.store, cluster.topology.namespaces)
    if cluster.topology.resources:
        documents = json.dumps(list(cluster.topology.resources))
        calicoctl(cluster, "apply", "-f", "-", stdin=documents)


def _groups(topology: Topology) -> dict[str, list[str]]:
    """Make the installer's inventory: {{ groups['master'][0] }} is the first node."""
    addresses = [station.addresses[0] for station in topology.of_kind("node")]
    return {"master": addresses[:1], "worker": addresses[1:], "all": addresses}


def calicoctl(cluster: Cluster, *words: str, stdin: str = "") -> str:
    """Run calicoctl against the lab's etcd, from a station that reaches it."""
    environment = {
        "PATH": PATH,
        "DATASTORE_TYPE": "etcdv3",
        "ETCD_ENDPOINTS": cluster.description.config.etcd_endpoint,
    }
    inside = ("nsenter", "-t", entering(cluster.place, ETCD_STATION)[2], "-n", "--")
    program = (*inside, sys.executable, "-m", "calico.calicoctl.main", *words)
    try:
        return run(
            program, stdin, deadline_seconds=patient(INSTALL_SECONDS), environment=environment
        )
    except ProgramFailed as error:
        said = error.err.strip() or error.out.strip()
        raise LabError(f"calicoctl {words[0]}: {said or error.reason}") from error
