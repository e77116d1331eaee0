"""The lab's own etcd: Debian's program in a station, its data in the lab's directory.

    stations --http://<its address>:2379--> etcd <--unix socket file-- this machine's programs

The socket lets commands here reach it, though no interface of this machine leads there.
"""

from pathlib import Path

from calico.datastore.client import Datastore, NotFound
from calico.datastore.settings import Settings, open_datastore
from calico.lab.config import ETCD_STATION, Config
from calico.lab.fabric import entering
from calico.lab.place import Place
from calico.lab.processes import start
from calico.lab.topology import LabError

ROLE = "etcd"
LONGEST_SOCKET_PATH = 107
_SOCKET = "etcd.sock:2379"  # etcd insists on a port, even in a file's name


def socket_path(place: Place) -> Path:
    """Say where its socket is. Raises LabError if no socket can be there."""
    path = place.etcd / _SOCKET
    if len(str(path)) > LONGEST_SOCKET_PATH:
        raise LabError(f"{path} is too long for a socket: set CALICO_LAB_DIR to a shorter path")
    return path


def endpoint(place: Place) -> str:
    """Say how programs of this machine reach it."""
    return f"unix://{socket_path(place)}"


def start_etcd(place: Place, config: Config) -> int:
    """Start it; it is not yet ready then. Returns its process id."""
    (place.etcd / _SOCKET).unlink(missing_ok=True)
    host = config.etcd_endpoint.rpartition(":")[0]
    options = {
        "name": "lab",
        "data-dir": str(place.etcd / "data"),
        "listen-client-urls": f"unix://{_SOCKET},{config.etcd_endpoint}",
        "advertise-client-urls": config.etcd_endpoint,
        "listen-peer-urls": "unix://peer.sock:2380",
        "initial-advertise-peer-urls": f"{host}:2380",
        "initial-cluster": f"lab={host}:2380",
        "heartbeat-interval": "20",  # a cluster of one elects itself: no need to wait long
        "election-timeout": "100",
        "logger": "zap",
        "log-level": "warn",
    }
    words = [f"--{name}={value}" for name, value in options.items()]
    there = (*entering(place, ETCD_STATION), "env", f"--chdir={place.etcd}")
    return start(place, ROLE, ETCD_STATION, (*there, "etcd", *words))


def open_store(place: Place) -> Datastore:
    """Give a client; calls wait for an etcd that is starting."""
    return open_datastore(Settings(datastore_type="etcdv3", etcd_endpoints=endpoint(place)))


def wait_until_ready(store: Datastore) -> None:
    """Return once it answers. Raises Unavailable."""
    try:
        store.get("/is-anybody-there")
    except NotFound:
        return
