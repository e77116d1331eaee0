"""calicoctl node status: is Calico running here, and how are its BGP sessions.

Source: shared/spec calicoctl 7b.7.
"""

import argparse
import os
import sys
from pathlib import Path

from calico.calicoctl.errors import CommandError
from calico.calicoctl.output import render_box
from calico.kernel.birdc import BirdControl, BirdError, BirdProtocol

SOCKETS = (Path("/var/run/calico/bird.ctl"), Path("/var/run/bird/bird.ctl"))
PEER_TYPES = {
    "Global_": "global",
    "Node_": "node specific",
    "Mesh_": "node-to-node mesh",
}
AGENTS = ("calico-felix", "calico-node", "calico.node.agent", "calico.node.main")


def run(_: argparse.Namespace) -> None:
    """Print the status of this node. Raises CommandError."""
    if os.geteuid() != 0:
        print("Need super user privileges: Operation not permitted")
        sys.exit(1)
    if not _is_running():
        raise CommandError(
            "Calico process is not running. Start calico-node on this node, or use a shell of "
            "the node (in a lab: calico-lab exec NODE -- calicoctl node status)"
        )
    print("Calico process is running.\n")
    path = next((path for path in SOCKETS if path.exists()), None)
    if path is None:
        print("The BGP backend process (BIRD) is not running.\n")
        return
    try:
        with BirdControl(path) as bird:
            protocols = bird.protocols()
    except BirdError as error:
        print(f"The BGP backend process (BIRD) does not answer: {error}\n")
        return
    for version in (4, 6):
        print(f"IPv{version} BGP status")
        print(_table(protocols, version))


def _is_running() -> bool:
    """Whether an agent runs in our namespaces: others' nodes on this machine do not count."""
    ours = Path("/proc/self/ns/net").readlink()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            arguments = (process / "cmdline").read_bytes().decode(errors="replace")
            runs = any(name in arguments for name in AGENTS)
            if runs and (process / "ns" / "net").readlink() == ours:
                return True
        except OSError:
            continue
    return False


def _table(protocols: list[BirdProtocol], version: int) -> str:
    rows = []
    for protocol in protocols:
        for prefix, peer_type in PEER_TYPES.items():
            address = peer_address(protocol.name, prefix)
            if protocol.kind == "BGP" and address and (":" in address) == (version == 6):
                row = (address, peer_type, protocol.state, protocol.since, protocol.info)
                rows.append(row)
    if not rows:
        return f"No IPv{version} peers found.\n"
    return render_box(("PEER ADDRESS", "PEER TYPE", "STATE", "SINCE", "INFO"), rows)


def peer_address(protocol: str, prefix: str) -> str:
    """Read the peer's address out of a protocol's name; "" if it has none of that prefix."""
    if not protocol.startswith(prefix):
        return ""
    symbol = protocol.removeprefix(prefix).partition("_port_")[0]
    parts = symbol.split("_")
    if len(parts) == 4 and all(part.isdigit() for part in parts):
        return ".".join(parts)
    return ":".join(parts)
