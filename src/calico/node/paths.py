"""Where a node keeps its files, by Calico's own names and variables.

Source: shared/spec bgp-confd 5.1, cni 4.2, felix 6.12.
"""

from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct


class Paths(Struct, frozen=True):
    """One node's files. `run` goes with a reboot, `lib` stays."""

    run: Path
    lib: Path
    nodename: Path
    mtu: Path
    bird_config: Path
    bird_socket: Path
    bird_pid: Path
    cni_socket: Path
    show_socket: Path
    felix_config: Path


def node_paths(environment: Mapping[str, str]) -> Paths:
    """Calico's default paths, moved by the variables that move them."""
    run, lib = Path("/var/run/calico"), Path("/var/lib/calico")
    return Paths(
        run=run,
        lib=lib,
        nodename=Path(environment.get("CALICO_NODENAME_FILE") or lib / "nodename"),
        mtu=lib / "mtu",
        bird_config=Path("/etc/calico/bird/bird.cfg"),
        bird_socket=run / "bird.ctl",
        bird_pid=run / "bird.pid",
        cni_socket=Path(environment.get("CALICO_CNI_SOCKET") or run / "cni.sock"),
        show_socket=run / "felix.sock",
        felix_config=Path("/etc/calico/felix.cfg"),
    )
