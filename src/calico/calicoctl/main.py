"""calicoctl: read the arguments, run one command, print one clear error if it fails.

    argv --> parser --> command module's run(arguments) --> exit status

Commands import what they need themselves: `calicoctl version --client` loads neither gRPC nor YAML.

Source: shared/spec calicoctl 7b.1.
"""

import argparse
import contextlib
import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from calico.calicoctl.errors import CommandError

_RESOURCE_COMMANDS = {
    "create": "Create resources from files.",
    "apply": "Create resources from files, or bring them up to date.",
    "replace": "Replace resources by what files say.",
    "delete": "Delete resources, by file or by name.",
    "get": "Show resources.",
    "validate": "Check files of resources without a datastore.",
    "label": "Set or remove a label of a resource.",
}


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, as calicoctl does; knows what every command takes."""

    def __init__(self, **described: Any) -> None:  # noqa: ANN401  # what argparse takes
        super().__init__(**described)
        self.add_argument(
            "-l",
            "--log-level",
            default=argparse.SUPPRESS,  # so that a command does not undo what stands before it
            metavar="LEVEL",
            help="panic (default), fatal, error, warn, info or debug",
        )
        self.add_argument(
            "--allow-version-mismatch",
            action="store_true",
            default=argparse.SUPPRESS,
            help="do not compare this client's version with the cluster's",
        )

    def error(self, message: str) -> NoReturn:
        if message.startswith("unrecognized arguments: "):
            flag = message.partition(": ")[2].split()[0]
            kind = "flag" if flag.startswith("--") else "shorthand flag"
            message = f"unknown {kind}: {flag}" if flag.startswith("-") else message
        sys.stderr.write(f"{message}\n(calicoctl {self.prog.partition(' ')[2]} --help lists all)\n")
        sys.exit(1)


def build_parser() -> argparse.ArgumentParser:
    """Describe every command and flag."""
    parser = _Parser(
        prog="calicoctl",
        description="Manage Calico's network, policy and addresses.",
        epilog="The datastore is found by ETCD_ENDPOINTS and its kin, or by --config FILE.",
        allow_abbrev=False,
    )
    parser.set_defaults(log_level="panic", allow_version_mismatch=False)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=_Parser)
    for name, description in _RESOURCE_COMMANDS.items():
        _add_resource_command(commands.add_parser(name, help=description, description=description))
    _add_version(commands)
    _add_ipam(commands)
    _add_node(commands)
    _add_install(commands)
    return parser


def _config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-c",
        "--config",
        default="/etc/calico/calicoctl.cfg",
        metavar="FILE",
        help="how to reach the datastore (default %(default)s)",
    )


def _add_resource_command(parser: argparse.ArgumentParser) -> None:
    name = parser.prog.split()[-1]
    _config(parser)
    if name == "label":
        parser.add_argument("kind")
        parser.add_argument("name")
        parser.add_argument("label", help="key=value, or with --remove just key")
        parser.add_argument("--overwrite", action="store_true", help="change a label that is set")
        parser.add_argument("--remove", action="store_true", help="remove the label")
        parser.add_argument("-n", "--namespace", default="")
        parser.set_defaults(module="calico.calicoctl.label")
        return
    parser.set_defaults(module="calico.calicoctl.resources")
    takes_names = name in {"get", "delete"}
    if takes_names:
        parser.add_argument("kind", nargs="?", help="e.g. ippool, node, gnp, workloadendpoint")
        parser.add_argument("names", nargs="*", metavar="name")
    parser.add_argument("-f", "--filename", help="file or folder of YAML or JSON, or - for input")
    parser.add_argument("-R", "--recursive", action="store_true", help="folders, all levels")
    parser.add_argument("--skip-empty", action="store_true", help="no resource is no error")
    if name != "validate":
        parser.add_argument("-n", "--namespace", default="", help="of namespaced resources")
    if name == "create":
        parser.add_argument("--skip-exists", action="store_true", help="what exists is no error")
    if name == "delete":
        parser.add_argument(
            "-s", "--skip-not-exists", action="store_true", help="what does not exist is no error"
        )
    if name == "get":
        parser.add_argument(
            "-o", "--output", default="ps", help="ps, wide, yaml, json, name or custom-columns=A,B"
        )
        parser.add_argument("-A", "--all-namespaces", "-a", action="store_true")
        parser.add_argument("--export", action="store_true", help="without cluster's own fields")


def _add_version(commands: "argparse._SubParsersAction[_Parser]") -> None:
    description = "Show the version of this client, and of the cluster."
    parser = commands.add_parser("version", help=description, description=description)
    _config(parser)
    parser.add_argument("--client", action="store_true", help="this client only")
    parser.set_defaults(module="calico.calicoctl.version")


def _add_ipam(commands: "argparse._SubParsersAction[_Parser]") -> None:
    parser = commands.add_parser("ipam", help="Addresses: pools, blocks, allocations.")
    below = parser.add_subparsers(dest="ipam_command", metavar="COMMAND", required=True)
    show = below.add_parser("show", help="Show how pools and blocks are used.")
    _config(show)
    show.add_argument("--ip", help="who has this address")
    show.add_argument("--show-blocks", action="store_true", help="every block of every pool")
    show.add_argument("--show-borrowed", action="store_true", help="addresses of others' blocks")
    show.add_argument("--show-configuration", action="store_true")
    show.set_defaults(module="calico.calicoctl.ipam")


def _add_node(commands: "argparse._SubParsersAction[_Parser]") -> None:
    parser = commands.add_parser("node", help="This node.")
    below = parser.add_subparsers(dest="node_command", metavar="COMMAND", required=True)
    status = below.add_parser("status", help="Show the BGP sessions of this node.")
    status.set_defaults(module="calico.calicoctl.node")
    description = "Find what is wrong with the network of this node, why, and the fix."
    doctor = below.add_parser("doctor", help=description, description=description)
    _config(doctor)
    doctor.add_argument("-o", "--output", default="list", choices=("list", "json"))
    doctor.set_defaults(module="calico.calicoctl.doctor.command")


def _add_install(commands: "argparse._SubParsersAction[_Parser]") -> None:
    description = "Write a cluster's pools and configuration from an installer's config.yaml."
    parser = commands.add_parser("install", help=description, description=description)
    parser.add_argument("--config", required=True, metavar="FILE", help="the config.yaml")
    parser.add_argument(
        "--inventory",
        metavar="FILE",
        help="YAML with groups: {name: [host, ...]}, for {{ groups['x'][0] }}",
    )
    parser.add_argument(
        "--node-environment",
        metavar="FILE",
        help="write the variables that every calico-node needs to this file",
    )
    parser.set_defaults(module="calico.calicoctl.install")


def main(argv: Sequence[str] | None = None) -> None:
    """Run calicoctl and exit."""
    parser = build_parser()
    arguments = parser.parse_args(argv)
    if not arguments.command:
        parser.print_help()
        sys.exit(0)
    _leave(_status_of(arguments))


def _status_of(arguments: argparse.Namespace) -> int:
    try:
        importlib.import_module(arguments.module).run(arguments)
        sys.stdout.flush()
    except CommandError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except BrokenPipeError:
        return 141  # the reader went away, e.g. `| head`
    except KeyboardInterrupt:
        return 130
    return 0


def _leave(status: int) -> NoReturn:
    """End at once: gRPC takes 0.2 s to take its threads down, and there is nothing left to do."""
    with contextlib.suppress(OSError):
        sys.stdout.flush()
    os._exit(status)


if __name__ == "__main__":
    main()
