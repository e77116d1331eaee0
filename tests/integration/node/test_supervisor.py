"""calico-node as a process: what outlives what.

It runs in a namespace of its own, with its own /etc, /run and /var/lib.
"""

import os
import signal
import sys
from pathlib import Path

import pytest

from agent_process import Cluster, ruleset
from calico.core.model.keys import ResourceKey, path_of
from calico.datastore.client import Delete, Put
from calico.datastore.etcd import EtcdDatastore
from calico.kernel.run import run, spawn
from waiting import wait_until

pytestmark = [pytest.mark.netns, pytest.mark.etcd, pytest.mark.bird, pytest.mark.slow]

PRIVATE = (
    "for place in /etc /run /var/lib; do mount -t tmpfs tmpfs $place; done; "
    'mkdir -p /run/calico; exec "$@"'
)


class Node:
    def __init__(self, etcd, log):
        self.log = log
        self.environment = {
            **os.environ,
            "NODENAME": "n1",
            "DATASTORE_TYPE": "etcdv3",
            "ETCD_ENDPOINTS": etcd.url,
            "IP": "192.0.2.1/24",
            "IP6": "none",
            "FELIX_IPV6SUPPORT": "false",
        }

    def start(self):
        command = ("unshare", "--mount", "--propagation", "private", "sh", "-c", PRIVATE, "sh")
        program = (sys.executable, "-m", "calico.node.main")
        self.process = spawn([*command, *program], log=self.log, environment=self.environment)
        wait_until(lambda: self.child("bird"), what="bird")
        wait_until(ruleset, what="rules in the kernel")

    def child(self, name):
        """Return the process id of the child whose program or module is `name`."""
        return next(iter(self.children(name)), None)

    def children(self, name):
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                words = (entry / "cmdline").read_text().split("\0")
                parent = (entry / "stat").read_text().rpartition(") ")[2].split()[1]
            except OSError:
                continue
            if int(parent) == self.process.pid and name in (words[0], *words[2:3]):
                yield int(entry.name)

    def said(self):
        return self.log.read_text()

    def stop(self):
        if self.process.poll() is None:
            self.process.stop(20)


@pytest.fixture
def node(netns, own_etcd, tmp_path):
    run(["ip", "link", "add", "eth0", "type", "veth", "peer", "name", "wire"])
    run(["ip", "address", "add", "192.0.2.1/24", "dev", "eth0"])
    run(["ip", "link", "set", "eth0", "up"])
    node = Node(own_etcd, tmp_path / "log")
    node.start()
    yield node
    node.stop()


def is_gone(pid):
    return not Path(f"/proc/{pid}").exists()


def test_an_agents_death_touches_nothing_else(node):
    bird, agent = node.child("bird"), node.child("calico.node.agent")
    before = ruleset()
    os.kill(agent, signal.SIGKILL)
    wait_until(lambda: node.child("calico.node.agent") not in {None, agent}, what="another agent")
    assert node.child("bird") == bird
    assert ruleset() == before
    wait_until(lambda: node.said().count("in force") == 2, what="the new agent has applied")
    assert ruleset() == before


def test_birds_death_leaves_the_agent_alone(node):
    bird, agent = node.child("bird"), node.child("calico.node.agent")
    os.kill(bird, signal.SIGKILL)
    wait_until(lambda: node.child("bird") not in {None, bird}, what="another BIRD")
    assert node.child("calico.node.agent") == agent


def test_changed_settings_start_the_agent_again_at_once(node, own_etcd):
    agent = node.child("calico.node.agent")
    cluster = Cluster(own_etcd)
    cluster.apply("FelixConfiguration", "default", {"logPrefix": "mine"})
    cluster.close()
    wait_until(lambda: node.child("calico.node.agent") not in {None, agent}, what="another agent")
    assert "agent asks to be started again: its settings changed" in node.said()


def test_ends_with_everything_it_started(node):
    children = node.child("bird"), node.child("calico.node.agent")
    before = ruleset()
    assert node.process.stop(20) == 0
    assert all(is_gone(child) for child in children)
    assert "does not take leave" not in node.said()
    assert ruleset() == before, "the kernel keeps the last good policy"


def test_killed_itself_it_takes_the_agent_along(node):
    bird, agent = node.child("bird"), node.child("calico.node.agent")
    node.process.send_signal(signal.SIGKILL)
    wait_until(lambda: is_gone(agent), what="the agent ends with its supervisor")
    try:
        assert not is_gone(bird), "BIRD goes on"
    finally:
        os.kill(bird, signal.SIGKILL)


def test_settings_that_cannot_be_used_are_said_and_tried_again(netns, own_etcd, tmp_path):
    node = Node(own_etcd, tmp_path / "log")
    node.environment["IP"] = "300.1.1.1"
    command = ("unshare", "--mount", "--propagation", "private", "sh", "-c", PRIVATE, "sh")
    program = (sys.executable, "-m", "calico.node.main")
    node.process = spawn([*command, *program], log=node.log, environment=node.environment)
    try:
        wait_until(lambda: node.said().count("IP='300.1.1.1'") >= 2, what="said twice")
        assert "starting it again" in node.said()
    finally:
        node.stop()


def test_a_record_that_cannot_be_completed_is_waited_out(netns, own_etcd, tmp_path):
    """ClusterInformation by hand, without what an update demands: said, and no crash."""
    store = EtcdDatastore(own_etcd.settings)
    path = path_of(ResourceKey("ClusterInformation", "", "default"))
    store.commit([Put(path, b'{"kind":"ClusterInformation","metadata":{"name":"default"}}')])
    node = Node(own_etcd, tmp_path / "log")
    node.environment["CLUSTER_TYPE"] = "mine"
    command = ("unshare", "--mount", "--propagation", "private", "sh", "-c", PRIVATE, "sh")
    program = (sys.executable, "-m", "calico.node.main")
    node.process = spawn([*command, *program], log=node.log, environment=node.environment)
    try:
        wait_until(lambda: "waiting for the datastore" in node.said(), what="it is said")
        assert "Traceback" not in node.said()
        store.commit([Delete(path)])
        wait_until(lambda: "in force" in node.said(), what="it goes on once that is mended")
    finally:
        node.stop()
        store.close()
