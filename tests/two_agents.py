"""Calico's own agent and ours, each on a node of its own, told the same by one etcd.

              etcd (here)
         tunnel |     | tunnel             both nodes are called n1 and have the same pods at the
    node: calico-felix   node: ours        same addresses (tests/packets.py), so that every packet
    pods a b c x         pods a b c x      can be sent twice, and the two fates compared

The last record of every world is a marker that ends up in the rules of a pod that sends nothing:
once its address is in a node's rules, that node has seen the world. It stands in the first tier:
our agent leaves out policies that no packet can reach. The original watches every
kind by itself, so whoever compares must ask again before believing in a difference.

Needs Calico's own agent: CALICO_FELIX=/path/to/calico-felix.
"""

import contextlib
import json
import os
import select
import socket
import sys
import threading
import urllib.request

from calico.core.model.checks import check
from calico.core.model.codec import decode
from calico.core.model.defaults import with_defaults
from calico.core.model.keys import RESOURCES_PREFIX, ResourceKey, path_of
from calico.core.model.problem import InvalidResource
from calico.core.model.stored import to_record
from calico.datastore.client import Delete, Put
from calico.kernel import netns
from calico.kernel.run import run, spawn
from packets import Net
from waiting import wait_until

FELIX = os.environ.get("CALICO_FELIX", "")
NODE = "n1"
ETCD_PORT = 2379
CHUNK = 65536
BATCH = 100
KEPT = ("clusterinformations/default", "tiers/default", "tiers/kube-", "tiers/marker")
SETTINGS = {
    "FELIX_FELIXHOSTNAME": NODE,
    "FELIX_DATASTORETYPE": "etcdv3",
    "FELIX_ETCDENDPOINTS": f"http://127.0.0.1:{ETCD_PORT}",
    "FELIX_NFTABLESMODE": "Enabled",
    "FELIX_IPINIPENABLED": "false",
    "FELIX_BPFENABLED": "false",
    "FELIX_USAGEREPORTINGENABLED": "false",
    "FELIX_HEALTHENABLED": "true",
    "FELIX_LOGFILEPATH": "none",
    "FELIX_LOGSEVERITYSYS": "none",
    "FELIX_DebugSkipCTLBCleanup": "true",  # read with exactly these letters
    "ETCD_ENDPOINTS": f"http://127.0.0.1:{ETCD_PORT}",
    "DATASTORE_TYPE": "etcdv3",
}


class Tunnel:
    """A port inside a namespace that leads to a port of ours."""

    def __init__(self, namespace, port, to):
        with netns.inside(namespace):
            self._listener = socket.create_server(("127.0.0.1", port))
        self._to = to
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                inner, _ = self._listener.accept()
                outer = socket.create_connection(("127.0.0.1", self._to))
                threading.Thread(target=pump, args=(inner, outer), daemon=True).start()

    def close(self):
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


def pump(one, other):
    """Carry bytes both ways until one side ends."""
    peer = {one: other, other: one}
    with one, other, contextlib.suppress(OSError):
        while True:
            for ready in select.select([one, other], [], [])[0]:
                data = ready.recv(CHUNK)
                if not data:
                    return
                peer[ready].sendall(data)


class Side:
    """One agent, its node and its pods."""

    def __init__(self, name, command, etcd_port, directory, **environment):
        self.name, self.command = name, command
        self.directory = directory / name
        self.directory.mkdir()
        self.log = self.directory / "log"
        self.net = Net()
        self.tunnel = Tunnel(self.net.node.namespace, ETCD_PORT, etcd_port)
        clean = {k: v for k, v in os.environ.items() if not k.startswith("FELIX_")}
        own = {"FELIX_ENDPOINTSTATUSPATHPREFIX": str(self.directory)}
        self.environment = {**clean, **SETTINGS, **own, **environment}
        self.process = None

    def start(self):
        with self.inside():
            self.process = spawn(
                [*self.command, "-c", "/nonexistent"], log=self.log, environment=self.environment
            )
            wait_until(self.is_ready, what=f"{self.name} is ready")

    def inside(self):
        return netns.inside(self.net.node.namespace)

    def is_ready(self):
        assert self.process.poll() is None, self.log.read_text()[-2000:]
        try:
            with urllib.request.urlopen("http://127.0.0.1:9099/readiness", timeout=5) as answer:
                return answer.status == 200
        except OSError:
            return False

    def rules(self):
        with self.inside():
            return run(["nft", "list", "ruleset"])

    def stop(self):
        if self.process is not None and self.process.poll() is None:
            self.process.stop()

    def close(self):
        self.stop()
        self.tunnel.close()
        self.net.close()


def ours(etcd_port, directory, **environment):
    command = [sys.executable, "-m", "calico.felix.main"]
    return Side("ours", command, etcd_port, directory, **environment)


def theirs(etcd_port, directory, **environment):
    """The original, which keeps files of its own, in places that are its own here."""
    places = "mount -t tmpfs none /var/lib && mount -t tmpfs none /run"
    command = ["unshare", "--mount", "sh", "-c", f'{places} && exec "$0" "$@"', FELIX]
    return Side("theirs", command, etcd_port, directory, **environment)


class World:
    """What both are told: whole worlds, one after the other."""

    def __init__(self, datastore):
        self.datastore = datastore
        self.number = 0

    def become(self, resources, raw=()):
        """Replace all records by these, and by the marker of a new number, which is returned.

        Policies go before their tiers: the original remembers what a deleted tier passed.
        """
        self.number += 1
        records = {path_of(key_of_resource(each)): to_record(each) for each in resources}
        records |= dict(raw)
        there = {
            entry.path: entry.value
            for entry in self.datastore.list(RESOURCES_PREFIX).entries
            if not entry.path.removeprefix(RESOURCES_PREFIX).startswith(KEPT)
        }
        gone = sorted(path for path in there if path not in records)
        self._commit([Delete(path) for path in gone])
        changed = {path: new for path, new in records.items() if there.get(path) != new}
        self._commit([Put(path, new) for path, new in sorted(changed.items())])
        for resource in marker(self.number):
            self._commit([Put(path_of(key_of_resource(resource)), to_record(resource))])
        return marker_address(self.number)

    def _commit(self, changes):
        for first in range(0, len(changes), BATCH):
            self.datastore.commit(changes[first : first + BATCH])


def key_of_resource(resource):
    return ResourceKey(resource.kind, resource.metadata.namespace, resource.metadata.name)


def marker_address(number):
    return f"10.{99 + number // 62500}.{number // 250 % 250}.{number % 250 + 1}"


def marker(number):
    rule = {"action": "Deny", "source": {"nets": [f"{marker_address(number)}/32"]}}
    yield resource("Tier", "marker", {"order": -1, "defaultAction": "Pass"})
    yield resource(
        "WorkloadEndpoint",
        f"{NODE}-k8s-beacon-eth0",
        workload("beacon", "10.98.0.1/32"),
        "beacon",
        {"beacon": "here", **orchestrated("beacon")},
    )
    yield resource(
        "GlobalNetworkPolicy",
        "marker.marker",
        {
            "tier": "marker",
            "selector": "beacon == 'here'",
            "types": ["Ingress"],
            "ingress": [rule],
        },
    )


def workload(name, *nets, **more):
    """The spec of a pod's endpoint."""
    return {
        "orchestrator": "k8s",
        "node": NODE,
        "pod": name,
        "endpoint": "eth0",
        "ipNetworks": nets,
        "interfaceName": f"cali-{name}",
        **more,
    }


def orchestrated(namespace, **labels):
    """The labels that every workload endpoint has, and more."""
    return {
        "projectcalico.org/namespace": namespace,
        "projectcalico.org/orchestrator": "k8s",
        **labels,
    }


def resource(kind, name, spec, namespace="", labels=None):
    """A resource as a client writes it. Raises InvalidResource, as a client would."""
    document = {
        "kind": kind,
        "apiVersion": "projectcalico.org/v3",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": labels or {},
            "uid": "1",
            "creationTimestamp": "2026-01-01T00:00:00Z",
        },
        "spec": spec,
    }
    made = with_defaults(decode(kind, json.dumps(document).encode(), strict=True))
    if problems := check(made):
        raise InvalidResource(problems)
    return made
