"""A node to measure on: three namespaces, a private etcd, one agent.

    pods   p0 ... p249 --veth-- cali0 ... calif9  node  eth0 --veth-- eth0  outside
           one namespace                          etcd, agent          owns the prober's address

All 250 local endpoints have real interfaces, up at both ends, since routes and settings depend on
them; their far ends share one namespace. Everything is nameless, or a child of this process, and
gone when this ends.
"""

import os
import re
import socket
import sys
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.bench import world

from agent_process import HEALTH_PORT
from calico.datastore.etcd import EtcdDatastore
from calico.datastore.initialize import ensure_initialized
from calico.datastore.resources import Resources
from calico.kernel import netns
from calico.kernel.links import Links, Peer
from calico.kernel.run import run, spawn
from etcd_server import running_etcd

READY_SECONDS = 120.0
# An agent of its own, so its /run and /var/lib are nobody else's; exec keeps the process id.
PRIVATE = (
    *("unshare", "--mount", "sh", "-c"),
    'mount -t tmpfs none /run && mount -t tmpfs none /var/lib && exec "$@"',
    "sh",
)
TURN = re.compile(r"felix.turns: turn .*? milliseconds=(\S+) thought_milliseconds=(\S+)")
TICKS = os.sysconf("SC_CLK_TCK")


class Node:
    """The namespaces, their interfaces, and a way into the datastore."""

    def __init__(self, etcd, directory, pods, outside):
        self.etcd = etcd
        self.directory = Path(directory)
        self.pods = pods
        self.outside = outside
        self.store = EtcdDatastore(etcd.settings)
        ensure_initialized(Resources(self.store))

    def socket(self, namespace, kind=socket.SOCK_DGRAM):
        """Open a socket in another namespace."""
        with netns.inside(namespace):
            return socket.socket(socket.AF_INET, kind)

    def agent(self, module="calico.felix.main", **environment):
        """Return an agent of this node, not yet started."""
        return Agent(self, module, environment)

    def forget_rules(self):
        """Leave the kernel as if no agent had ever been here."""
        run(["nft", "flush", "ruleset"])
        run(["ip", "route", "flush", "proto", "80"])


class Agent:
    """One agent process and what it costs."""

    def __init__(self, node, module, environment):
        self._node = node
        self._command = [*PRIVATE, sys.executable, "-m", module]
        self.log = node.directory / "agent.log"
        self._environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("FELIX_", "CALICO_"))},
            "ETCD_ENDPOINTS": node.etcd.url,
            "DATASTORE_TYPE": "etcdv3",
            "NODENAME": world.NODE,
            "CALICO_NETWORKING_BACKEND": "none",
            "NO_DEFAULT_POOLS": "true",
            "CALICO_CNI_SOCKET": str(node.directory / f"cni-{world.NODE}.sock"),
            "FELIX_HEALTHENABLED": "true",
            "FELIX_HEALTHPORT": str(HEALTH_PORT),
            **environment,
        }
        self._process = None
        self.start_seconds = 0.0

    def __enter__(self):
        self.log.unlink(missing_ok=True)
        started = time.monotonic()
        self._process = spawn(self._command, log=self.log, environment=self._environment)
        try:
            self._wait_until_ready(started)
        except BaseException:
            self._process.stop()
            raise
        self.start_seconds = time.monotonic() - started
        return self

    def __exit__(self, *_):
        self._process.stop()

    def _wait_until_ready(self, started):
        """Ask on one connection at a time, not more often than it costs us to know."""
        while time.monotonic() - started < READY_SECONDS:
            if self._process.poll() is not None:
                raise AssertionError(f"the agent ended: {self.said()[-2000:]}")
            if b" 200 " in self._readiness():
                return
            time.sleep(0.02)
        raise AssertionError(f"not ready: {self._readiness()!r} {self.said()[-2000:]}")

    @staticmethod
    def _readiness():
        try:
            with socket.create_connection(("127.0.0.1", HEALTH_PORT), timeout=30) as connection:
                connection.sendall(b"GET /readiness HTTP/1.0\r\n\r\n")
                return connection.recv(4096)
        except OSError:
            return b""

    @property
    def cpu_seconds(self):
        """CPU used so far, user and system."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def memory_mb(self, field="VmRSS"):
        """Memory now, or its peak (VmHWM)."""
        for line in Path(f"/proc/{self._process.pid}/status").read_text().splitlines():
            if line.startswith(field + ":"):
                return int(line.split()[1]) / 1024
        raise AssertionError(field)

    def turns(self):
        """Give (milliseconds, of which thinking) of every turn so far that did something."""
        return [(float(all_), float(thought)) for all_, thought in TURN.findall(self.said())]

    def said(self):
        """Return the log so far."""
        return self.log.read_text() if self.log.exists() else ""

    def wait_until_idle(self, quiet_seconds=0.5):
        """Wait until it uses next to no CPU."""
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline:
            before = self.cpu_seconds
            time.sleep(quiet_seconds)
            if self.cpu_seconds - before <= 0.02 * quiet_seconds + 1 / TICKS:
                return
        raise AssertionError("the agent never rests")


@contextmanager
def running_node():
    """Make all of it; the calling thread is inside the node's namespace meanwhile."""
    with ExitStack() as stack:
        made = {}
        for name in ("node", "pods", "outside"):
            made[name] = netns.create()
            stack.callback(os.close, made[name])
        stack.enter_context(netns.inside(made["node"]))
        _build(made["pods"], made["outside"])
        etcd = stack.enter_context(running_etcd())
        directory = stack.enter_context(TemporaryDirectory(prefix="calico-bench-"))
        node = Node(etcd, directory, made["pods"], made["outside"])
        stack.callback(node.store.close)
        yield node


def _build(pods, outside):
    with Links() as links:
        links.create_veth("eth0", Peer("eth0", outside), up=True)
        for number in range(world.LOCALS):
            links.create_veth(world.interface(number), Peer(f"p{number}", pods), up=True)
    _quiet()
    run(["ip", "link", "set", "lo", "up"])
    run(["ip", "-batch", "-"], "addr add 192.0.2.1/24 dev eth0\nroute add default via 192.0.2.2")
    with netns.inside(pods):
        _quiet()
        ups = [f"link set p{number} up" for number in range(world.LOCALS)]
        addresses = [f"addr add {world.address(world.LOCAL)}/32 dev p{world.LOCAL}"]
        run(["ip", "-batch", "-"], "\n".join([*ups, *addresses]))
    with netns.inside(outside):
        _quiet()
        commands = [
            "link set eth0 up",
            "addr add 192.0.2.2/24 dev eth0",
            f"addr add {world.address(world.REMOTE)}/32 dev eth0",
            f"route add {world.address(world.LOCAL)}/32 via 192.0.2.1",
        ]
        run(["ip", "-batch", "-"], "\n".join(commands))


def _quiet():
    """Turn off what asks for the way back, and IPv6's announcements."""
    for part in ("all", "default"):
        run(["sysctl", "-q", f"net.ipv4.conf.{part}.rp_filter=0"])
        run(["sysctl", "-q", f"net.ipv6.conf.{part}.disable_ipv6=1"])
