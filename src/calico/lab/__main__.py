"""calico-lab: a cluster on this machine, in namespaces of its own.

    argv --> parser --> one function below --> Cluster --> tables, or JSON

One clear error and exit status 1 for what a person can put right; `matrix` exits 1 too when
what packets do is not what policy says.
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from calico import __version__
from calico.datastore.client import DatastoreError
from calico.kernel.netlink import KernelError
from calico.lab.topology import LabError

NAMED = "the lab's name (default: the one that runs)"


def build_parser() -> argparse.ArgumentParser:
    """Describe every command and flag."""
    parser = argparse.ArgumentParser(
        prog="calico-lab",
        description="Run a whole Calico cluster on this machine, in network namespaces. Nothing "
        "of the machine's own network is touched.",
        epilog="A lab lives in $CALICO_LAB_DIR/<name> (default /run/calico-lab/<name>).",
        allow_abbrev=False,
    )
    parser.add_argument("-v", "--version", action="version", version=f"calico-lab {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)

    def add(name: str, description: str) -> argparse.ArgumentParser:
        one = commands.add_parser(name, help=description, description=description)
        one.add_argument("--name", help=NAMED)
        return one

    _add_lab_commands(add)
    _add_machine_commands(add)
    _add_questions(add)
    return parser


Add = Callable[[str, str], argparse.ArgumentParser]


def _add_lab_commands(add: Add) -> None:
    up = add("up", "Build the cluster that a topology file describes, and leave it running.")
    up.add_argument("topology", type=Path, metavar="TOPOLOGY", help="see examples/three-nodes.yaml")
    up.add_argument("--config", type=Path, required=True, help="the installer's config.yaml")
    up.add_argument("--keep", action="store_true", help="if it fails, leave what was built")
    add("down", "Remove every trace of a lab, whatever state it is in.")
    _output(add("status", "Show nodes, BGP sessions, pools, blocks and pods."))
    add("env", "Print what to export so that calicoctl works on the lab.")


def _add_machine_commands(add: Add) -> None:
    run = add("exec", "Run a command in a machine or a pod of the lab.")
    run.add_argument("target", help="NODE or NAMESPACE/POD")
    run.add_argument("words", nargs=argparse.REMAINDER, metavar="-- CMD")
    pod = add("add-pod", "Add a pod, by CNI ADD as a runtime does.")
    pod.add_argument("node")
    pod.add_argument("pod", metavar="NAMESPACE/POD")
    pod.add_argument("--label", action="append", default=[], metavar="KEY=VALUE")
    pod.add_argument("--port", action="append", default=[], metavar="tcp/80", help="answer there")
    add("delete-pod", "Delete a pod, by CNI DEL.").add_argument("pod", metavar="NAMESPACE/POD")
    node = add("add-node", "Add a node to the cluster and start it.")
    node.add_argument("node")
    node.add_argument("--segment", help="where to plug it in (default: as the first node)")
    add("kill-node", "End a node at once, as a power cut would.").add_argument("node")
    add("start-node", "Start a node again after kill-node, and its pods.").add_argument("node")


def _add_questions(add: Add) -> None:
    probe = add("probe", "Ask whether one pod reaches another, and say what policy thinks.")
    probe.add_argument("source", metavar="FROM")
    probe.add_argument("destination", metavar="TO")
    probe.add_argument("port", nargs="?", default="icmp", help="icmp (default), tcp/80, udp/53 ...")
    matrix = add("matrix", "Measure who reaches whom, and compare it with what policy says.")
    matrix.add_argument("--outside", action="store_true", help="ask nodes and outside hosts too")
    matrix.add_argument(
        "--settle",
        type=float,
        default=10.0,
        metavar="SECONDS",
        help="how long to ask again where the two differ (default %(default)g)",
    )
    _output(matrix)


def _output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text")


def main(argv: Sequence[str] | None = None) -> None:
    """Run calico-lab and exit."""
    arguments = build_parser().parse_args(argv)
    if os.geteuid() != 0:
        sys.stderr.write("calico-lab: only root may enter network namespaces: use sudo\n")
        sys.exit(1)
    # Reading the arguments must be quick; the lab needs gRPC, YAML and rich.
    from calico.lab.commands import COMMANDS  # noqa: PLC0415

    try:
        status = COMMANDS[arguments.command](arguments)
        sys.stdout.flush()
    except (LabError, KernelError, DatastoreError) as error:
        sys.stderr.write(f"calico-lab: {error}\n")
        sys.exit(1)
    except BrokenPipeError:  # the reader went away, e.g. `| head`: Python must not flush again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(status)


if __name__ == "__main__":
    main()
