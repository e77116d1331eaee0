"""A node for CNI tests: agent side and plugin processes, in the namespace of the test.

    host = CniHost(store, directory)   executables installed, datastore filled; nobody listens yet
    host.start()                       assigner and service, in the calling thread's namespace
    host.run("ADD", container) --> Outcome: exit status, the JSON that was printed

Containers are nameless namespaces of this process, known by a path under /proc.

Fixtures, imported by name: `host` (twice: memory and etcd; started), `memory_host` (not started).
"""

import contextlib
import itertools
import json
import os
import subprocess
from pathlib import Path

import pytest

from calico.cni.gate import OpenGate
from calico.cni.install import install
from calico.cni.request import Agent
from calico.cni.service import CniService
from calico.core.model.cluster import ClusterInformation, ClusterInformationSpec
from calico.core.model.codec import encode
from calico.core.model.keys import ResourceKey, path_of
from calico.core.model.metadata import Metadata
from calico.core.model.node import Node, NodeStatus
from calico.core.model.pool import IPPool, IPPoolSpec
from calico.datastore.client import Delete, Put
from calico.datastore.etcd import EtcdDatastore
from calico.datastore.memory import MemoryDatastore
from calico.ipam.assigner import Assigner
from calico.kernel import netns as namespaces
from calico.kernel.run import run

PLUGINS = "/usr/lib/cni"
DUAL = {"type": "calico-ipam", "assign_ipv6": "true"}
_numbers = itertools.count(1)


class Outcome:
    """What a plugin process did."""

    def __init__(self, done):
        self.status = done.returncode
        self.out = done.stdout.decode()
        self.err = done.stderr.decode()

    @property
    def json(self):
        return json.loads(self.out)

    @property
    def addresses(self):
        return [ip["address"] for ip in self.json["ips"]]

    def __repr__(self):
        return f"Outcome({self.status}, {self.out!r}, {self.err!r})"


class Container:
    """A namespace, and how a runtime names it."""

    def __init__(self, pod="", namespace="shop"):
        number = next(_numbers)
        self.id = f"{os.getpid():x}c{number:04x}f00d"
        self.pod = pod
        self.namespace = namespace
        self.descriptor = namespaces.create()

    @property
    def netns(self):
        return f"/proc/{os.getpid()}/fd/{self.descriptor}"

    @property
    def args(self):
        if not self.pod:
            return ""
        return f"IgnoreUnknown=1;K8S_POD_NAMESPACE={self.namespace};K8S_POD_NAME={self.pod}"

    def ip(self, *arguments):
        """Run `ip -j` inside."""
        with namespaces.inside(self.descriptor):
            out = run(["ip", "-j", *arguments])
        return json.loads(out or "[]")

    def close(self):
        os.close(self.descriptor)


def resource(kind, name, value, namespace=""):
    return Put(path_of(ResourceKey(kind, namespace, name)), encode(value))


def wipe(store):
    for entry in store.list("/calico/").entries:
        store.commit([Delete(entry.path)])


class CniHost:
    """One node with its executables."""

    def __init__(self, store, directory, node="node-a", gate=None):
        self.store = store
        self.node = node
        self.directory = Path(directory)
        self.socket = self.directory / f"cni-{node}.sock"
        self.bin = self.directory / "bin"
        self.gate = gate or OpenGate()
        self.agent = None
        self.service = None
        self.wait_seconds = 10.0
        install(self.bin)
        self.write_cluster()

    def write_cluster(self, ready=True):
        spec = ClusterInformationSpec(datastore_ready=ready)
        cluster = ClusterInformation(metadata=Metadata(name="default"), spec=spec)
        self.store.commit([resource("ClusterInformation", "default", cluster)])
        self.write_node()

    def write_node(self, **status):
        node = Node(metadata=Metadata(name=self.node), status=NodeStatus(**status))
        self.store.commit([resource("Node", self.node, node)])

    def write_pool(self, name, cidr, block_size=0, **spec):
        pool = IPPool(
            metadata=Metadata(name=name), spec=IPPoolSpec(cidr=cidr, block_size=block_size, **spec)
        )
        self.store.commit([resource("IPPool", name, pool)])

    def start(self):
        assigner = Assigner(self.store, self.node)
        assigner.start()
        self.agent = Agent(
            node=self.node,
            store=self.store,
            assigner=assigner,
            gate=self.gate,
            mtu_file=self.directory / "mtu",
            wait_seconds=self.wait_seconds,
        )
        self.service = CniService(self.agent, self.socket)
        self.service.start()

    def stop(self):
        if self.service is not None:
            self.service.stop()
            self.agent.assigner.stop()
            self.service = None

    def config(self, version="1.0.0", plugin="calico", **more):
        return {
            "cniVersion": version,
            "name": "net1",
            "type": plugin,
            "ipam": {"type": "calico-ipam"},
            **more,
        }

    def environment(self, command, container, plugin="calico", ifname="eth0", **more):
        environment = {
            "CNI_COMMAND": command,
            "CNI_CONTAINERID": container.id,
            "CNI_NETNS": container.netns,
            "CNI_IFNAME": ifname,
            "CNI_ARGS": container.args,
            "CNI_PATH": f"{self.bin}:{PLUGINS}",
            "CALICO_CNI_SOCKET": str(self.socket),
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            **more,
        }
        return {key: value for key, value in environment.items() if value is not None}

    def spawn(self, command, container, config=None, program=None, **environment):
        """Start a plugin process as a runtime does; the caller waits with `finish`."""
        config = self.config() if config is None else config
        program = program or self.bin / config["type"]
        child = subprocess.Popen(
            [program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self.environment(command, container, **environment),
        )
        return child, json.dumps(config).encode()

    @staticmethod
    def finish(started):
        child, config = started
        out, err = child.communicate(config, timeout=60)
        return Outcome(subprocess.CompletedProcess([], child.returncode, out, err))

    def run(self, command, container, config=None, **more):
        return self.finish(self.spawn(command, container, config, **more))

    def records(self, part):
        """Give the values of all records whose path has this part."""
        entries = self.store.list("/calico/").entries
        return {e.path: json.loads(e.value) for e in entries if part in e.path}


@contextlib.contextmanager
def containers(*pods):
    made = [Container(pod) for pod in pods]
    try:
        yield made
    finally:
        for container in made:
            container.close()


def host_links():
    return {link["ifname"]: link for link in json.loads(run(["ip", "-j", "-d", "link"]))}


def no_trace(host, container):
    """Nothing of a container is left in the datastore or in this namespace."""
    return not [
        path
        for path, record in host.records("/").items()
        if container.id in path or container.id in json.dumps(record)
    ] and not [name for name in host_links() if name.startswith("cali")]


@pytest.fixture(params=["memory", pytest.param("etcd", marks=pytest.mark.etcd)])
def cni_store(request):
    if request.param == "memory":
        yield MemoryDatastore()
        return
    datastore = EtcdDatastore(request.getfixturevalue("shared_etcd").settings)
    wipe(datastore)
    yield datastore
    wipe(datastore)
    datastore.close()


@pytest.fixture
def host(cni_store, netns, tmp_path):
    host = CniHost(cni_store, tmp_path)
    host.write_pool("p4", "10.65.0.0/24", 28)
    host.write_pool("p6", "fd00:10::/112", 122)
    host.start()
    yield host
    host.stop()


@pytest.fixture
def memory_host(netns, tmp_path):
    host = CniHost(MemoryDatastore(), tmp_path)
    host.write_pool("p4", "10.65.0.0/24", 28)
    yield host
    host.stop()
