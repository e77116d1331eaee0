"""Nodes: stations that run calico-node, with the CNI plugin installed as an installer does.

    start_node   holder, cables --> calico-node (which starts BIRD and the agent) --> its socket
    kill_node    every process of the station at once: a power cut, no goodbye

Default paths are each node's own (see holder.py), so nothing needs to be told where files are.
"""

import sys
from collections.abc import Mapping
from pathlib import Path

from calico.cni.install import install
from calico.lab.config import Config
from calico.lab.fabric import entering, keeper, plug
from calico.lab.patience import patient
from calico.lab.place import Place, write_record
from calico.lab.processes import recall, start, start_holder, wait_until
from calico.lab.runtime import CONFIGURATIONS, PATH, is_ready
from calico.lab.shape import Segment, Station
from calico.lab.topology import LabError

BIRD_SOCKET = "/run/calico/bird.ctl"
READY_SECONDS = 20.0
CONFLIST = "10-calico.conflist"
PROGRAMS = "opt/cni/bin"


def start_station(place: Place, station: Station, segments: tuple[Segment, ...]) -> None:
    """Make a station's namespaces and plug it in."""
    start_holder(place, station.name)
    plug(place, station, segments)


def start_calico_node(place: Place, node: str, environment: Mapping[str, str]) -> None:
    """Start calico-node on a node; it is not yet ready then."""
    program = (*entering(place, node), sys.executable, "-m", "calico.node.main")
    start(place, role(node), node, program, {"PATH": PATH, "NODENAME": node, **environment})


def role(node: str) -> str:
    """Name calico-node of a node among the lab's processes, and its log."""
    return f"calico-node-{node}"


def node_environment(place: Place, config: Config) -> dict[str, str]:
    """Work out what calico-node is told: what the installer wrote, and how to find addresses."""
    told = {
        "DATASTORE_TYPE": "etcdv3",
        "ETCD_ENDPOINTS": config.etcd_endpoint,
        "CALICO_NETWORKING_BACKEND": "bird",
        "NO_DEFAULT_POOLS": "true",
    }
    for version, variable in (("4", "IP"), ("6", "IP6")):
        wanted = any((":" in cidr) == (version == "6") for cidr in config.settings.network_cidr)
        told[variable] = "autodetect" if wanted else "none"
    told["IP_AUTODETECTION_METHOD"] = config.settings.calico_ip_autodetection_method
    told["IP6_AUTODETECTION_METHOD"] = config.settings.calico_ip6_autodetection_method
    return {**told, **_installed_environment(place)}


def environment_file(place: Place) -> Path:
    """Say where the installer writes what every node is told."""
    return place.directory / "node.env"


def _installed_environment(place: Place) -> dict[str, str]:
    if not environment_file(place).exists():
        return {}
    lines = environment_file(place).read_text().splitlines()
    pairs = (line.partition("=") for line in lines if "=" in line and not line.startswith("#"))
    return {name.strip(): value.strip().strip("'\"") for name, _, value in pairs}


def wait_until_node_ready(place: Place, node: str) -> None:
    """Wait until pods can be added (CNI STATUS). Raises LabError with the end of the log."""

    def ready_or_dead() -> bool:
        return is_ready(place, node) or recall(place, role(node)) is None

    if (
        not wait_until(ready_or_dead, patient(READY_SECONDS), 0.05)
        or recall(place, role(node)) is None
    ):
        log = place.logs / f"{role(node)}.log"
        last = "\n".join(log.read_text(errors="replace").splitlines()[-12:])
        raise LabError(f"calico-node on {node} is not ready; {log} ends with:\n{last}")


def write_conflist(place: Place, node: str, config: Config) -> None:
    """Write what an installer puts in /etc/cni/net.d: for the lab's etcd, labels from us."""
    versions = [":" in cidr for cidr in config.settings.network_cidr]
    calico = {
        "type": "calico",
        "log_level": "info",
        "log_file_path": "/var/log/calico/cni/cni.log",
        "datastore_type": "etcdv3",
        "etcd_endpoints": config.etcd_endpoint,
        "nodename": node,
        "mtu": config.settings.calico_tunnel_mtu,
        "ipam": {
            "type": "calico-ipam",
            "assign_ipv4": str(False in versions).lower(),
            "assign_ipv6": str(True in versions).lower(),
        },
        "policy": {"type": "k8s"},
    }
    portmap = {"type": "portmap", "snat": True, "capabilities": {"portMappings": True}}
    folder = place.stations / node / CONFIGURATIONS
    folder.mkdir(parents=True, exist_ok=True)
    conflist = {"cniVersion": "1.0.0", "name": "k8s-pod-network", "plugins": [calico, portmap]}
    write_record(folder / CONFLIST, conflist)


def install_plugins(place: Place, node: str) -> None:
    """Put the plugins into a node's /opt/cni/bin, which is a place where programs may run."""
    install(Path(f"/proc/{keeper(place, node)}/root", PROGRAMS))
