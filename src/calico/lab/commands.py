"""What each command of calico-lab does: find the lab, do one thing, print.

Each takes the parsed arguments and returns the exit status; LabError is for main to print.
"""

import argparse
import os
import shlex
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from time import monotonic

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from calico.core.analysis.explain import reason, sentence
from calico.core.analysis.matrix import Port, Question, questions
from calico.kernel.run import foreground
from calico.lab import etcd, show
from calico.lab.build import read_files
from calico.lab.build import up as build
from calico.lab.cluster import Cluster, Matrix
from calico.lab.cluster import down as take_down
from calico.lab.fabric import entering, next_address
from calico.lab.layout import check_name, parse_port, split_pod_name
from calico.lab.place import Place, find_place, lab_names, root_directory
from calico.lab.pods import delete_pod, entering_pod, find_pod, pods
from calico.lab.processes import marked_labs
from calico.lab.runtime import PATH
from calico.lab.shape import DEFAULT_PORTS, Interface, Pod, Station
from calico.lab.status import status
from calico.lab.topology import LabError

Command = Callable[[argparse.Namespace], int]


def up(arguments: argparse.Namespace) -> int:
    """Build, show a summary, leave it running."""
    topology, config = read_files(arguments.topology, arguments.config)
    place = Place(root_directory(), arguments.name or topology.name)
    console = Console()
    started = monotonic()
    spinner = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    # Where nobody watches, the lines alone: a spinner in a file is noise.
    with Progress(
        *spinner, console=console, transient=True, disable=not console.is_terminal
    ) as progress:
        task = progress.add_task("", total=None)

        def report(step: str) -> None:
            progress.update(task, description=step)
            console.print(f"{monotonic() - started:5.1f} s  {step}", highlight=False)

        cluster = build(place, topology, config, report, keep_broken=arguments.keep)
        report("measuring who reaches whom")
        matrix = cluster.matrix()
    show.show_status(console, status(cluster))
    show.show_matrix(console, matrix)
    seconds = monotonic() - started
    console.print(f"{place.name}: up in {seconds:.1f} s, in {place.directory}", highlight=False)
    first_pod = next(iter(pods(place)), topology.node_names[0])
    show.show_next_steps(console, first_pod, topology.node_names[0])
    cluster.close()
    return 0 if not matrix.differences else 1


def down(arguments: argparse.Namespace) -> int:
    """Remove a lab, also one of which only processes are left."""
    root = root_directory()
    names = sorted({*lab_names(root), *marked_labs(root)})
    name = arguments.name or (names[0] if len(names) == 1 else None)
    if name is None and names:
        raise LabError(f"several labs run ({', '.join(names)}): say which with --name")
    if name is None or name not in names:
        print("no lab runs" if name is None else f"no lab called {name} runs")
        return 0
    count = take_down(Place(root, name))
    print(f"{name} is gone: {count} processes ended, {root / name} removed")
    return 0


def status_(arguments: argparse.Namespace) -> int:
    """Show everything but the matrix."""
    cluster = _open(arguments)
    found = status(cluster)
    if arguments.output == "json":
        print(show.status_json(found))
    else:
        show.show_status(Console(), found)
    return 0


def env(arguments: argparse.Namespace) -> int:
    """Print what `eval` takes."""
    place = find_place(arguments.name)
    values = {"DATASTORE_TYPE": "etcdv3", "ETCD_ENDPOINTS": etcd.endpoint(place)}
    if "CALICO_LAB_DIR" in os.environ:
        values["CALICO_LAB_DIR"] = os.environ["CALICO_LAB_DIR"]
    for name, value in values.items():
        print(f"export {name}={shlex.quote(value)}")
    programs = str(Path(sys.executable).parent)
    if programs not in os.environ.get("PATH", "").split(":"):
        print(f'export PATH={shlex.quote(programs)}:"$PATH"')
    return 0


def exec_(arguments: argparse.Namespace) -> int:
    """Run a command inside."""
    place = find_place(arguments.name)
    words = arguments.words[1:] if arguments.words[:1] == ["--"] else arguments.words
    words = words or [os.environ.get("SHELL", "/bin/sh")]
    settings = {"PATH": PATH}
    if "/" in arguments.target:
        inside = entering_pod(place, find_pod(place, arguments.target))
    else:
        cluster = Cluster.open(place)
        _check_station(cluster, arguments.target)
        inside = entering(place, arguments.target)
        settings["DATASTORE_TYPE"] = "etcdv3"
        settings["ETCD_ENDPOINTS"] = cluster.description.config.etcd_endpoint
    sys.stdout.flush()
    assigned = (f"{name}={value}" for name, value in settings.items())
    return foreground((*inside, "env", *assigned, *words))


def add_pod(arguments: argparse.Namespace) -> int:
    """Add a pod and print its addresses."""
    cluster = _open(arguments)
    names = split_pod_name(arguments.pod)
    if names is None:
        raise LabError(f"{arguments.pod!r} is no pod: write <namespace>/<name>")
    labels = dict(_label(text) for text in arguments.label)
    ports = tuple(parse_port(text) for text in arguments.port) or DEFAULT_PORTS
    with cluster.place.locked():
        record = cluster.add_pod(Pod(*names, arguments.node, labels, ports))
    print(f"{arguments.pod} is on {arguments.node}: {', '.join(record.addresses)}")
    return 0


def remove_pod(arguments: argparse.Namespace) -> int:
    """Delete a pod."""
    place = find_place(arguments.name)
    with place.locked():
        delete_pod(place, find_pod(place, arguments.pod))
    print(f"{arguments.pod} is gone")
    return 0


def add_node(arguments: argparse.Namespace) -> int:
    """Add a node with the next free addresses of its segment."""
    cluster = _open(arguments)
    check_name(arguments.node)
    with cluster.place.locked():
        station = _new_node(cluster, arguments.node, arguments.segment)
        cluster.add_node(station)
    print(f"{station.name} is up: {', '.join(station.addresses)}")
    return 0


def kill_node(arguments: argparse.Namespace) -> int:
    """End a node."""
    cluster = _open(arguments)
    with cluster.place.locked():
        count = cluster.kill_node(arguments.node)
    print(f"{arguments.node} is down: {count} processes ended")
    return 0


def start_node(arguments: argparse.Namespace) -> int:
    """Start a node that is down."""
    cluster = _open(arguments)
    with cluster.place.locked():
        cluster.start_node(arguments.node)
    print(f"{arguments.node} is up")
    return 0


def probe(arguments: argparse.Namespace) -> int:
    """Ask one question of each IP version, with packets and with policy."""
    cluster = _open(arguments)
    port = Port("icmp") if arguments.port == "icmp" else parse_port(arguments.port)
    origins = cluster.origins(outside=True)
    parties = {origin.party.name: origin.party for origin in origins}
    for name in (arguments.source, arguments.destination):
        if name not in parties:
            raise LabError(f"nobody is called {name!r}; there are: {', '.join(parties)}")
    ends = parties[arguments.source], parties[arguments.destination]
    asked = questions([ends[0]], [ends[1]], [port])
    matrix = cluster.matrix(asked, outside=True)
    for question in asked:
        _print_answer(matrix, question)
    return 1 if matrix.differences else 0


def _print_answer(matrix: Matrix, question: Question) -> None:
    told = ("does not get through", "gets through")
    verdict = matrix.expected.verdict(question)
    print(f"{show.question_text(question)} {told[matrix.measured[question]]}")
    print(f"  policy: {verdict.action} ({reason(verdict)})")
    for judgement in filter(None, (verdict.egress, verdict.ingress)):
        for step in judgement.steps:
            print(f"    {judgement.direction} {judgement.endpoint.workload}: {sentence(step)}")
    if matrix.measured[question] is not matrix.computed[question]:
        print("  MEASURED IS NOT COMPUTED")


def matrix(arguments: argparse.Namespace) -> int:
    """Measure and compute everything."""
    cluster = _open(arguments)
    found = cluster.matrix(outside=arguments.outside, settle_seconds=arguments.settle)
    if arguments.output == "json":
        print(show.matrix_json(found))
    else:
        show.show_matrix(Console(), found)
    return 1 if found.differences else 0


def _open(arguments: argparse.Namespace) -> Cluster:
    return Cluster.open(find_place(arguments.name))


def _check_station(cluster: Cluster, name: str) -> None:
    known = [station.name for station in cluster.topology.stations] + ["etcd", "fabric"]
    if name not in known:
        raise LabError(f"no machine is called {name!r}; there are: {', '.join(known)}")


def _label(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise LabError(f"{text!r} is no label: write key=value")
    return key, value


def _new_node(cluster: Cluster, name: str, segment_name: str | None) -> Station:
    topology = cluster.topology
    wanted = segment_name or topology.of_kind("node")[0].interfaces[0].segment
    segment = next((one for one in topology.segments if one.name == wanted), None)
    if segment is None:
        known = ", ".join(one.name for one in topology.segments)
        raise LabError(f"no segment is called {wanted!r}; there are: {known}")
    taken = {address for station in topology.stations for address in station.addresses}
    taken.add(cluster.description.config.etcd_address)
    addresses = next_address(segment, frozenset(taken))
    return Station(name, "node", (Interface("eth0", segment.name, addresses),))


COMMANDS: Mapping[str, Command] = {
    "up": up,
    "down": down,
    "status": status_,
    "env": env,
    "exec": exec_,
    "add-pod": add_pod,
    "delete-pod": remove_pod,
    "add-node": add_node,
    "kill-node": kill_node,
    "start-node": start_node,
    "probe": probe,
    "matrix": matrix,
}
