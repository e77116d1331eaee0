"""One thing is broken in a whole cluster, and the doctor names it, with its fix."""

import json
import signal
from contextlib import contextmanager

import pytest

from calico.core.model.keys import ResourceKey
from calico.datastore.resources import Resources
from calico.kernel.run import ProgramFailed, run
from calico.lab.commands import PATH
from calico.lab.fabric import entering
from calico.lab.processes import wait_until

pytestmark = [pytest.mark.netns, pytest.mark.etcd, pytest.mark.bird, pytest.mark.slow]

BIRD_SECONDS = 40  # BIRD calls again within 5 s, after an error within 30


class Doctor:
    """Breaks things in a cluster, mends them, and asks `calicoctl node doctor`."""

    def __init__(self, world):
        self.world = world
        self.place = world.cluster.place
        self.environment = {
            "PATH": PATH,
            "DATASTORE_TYPE": "etcdv3",
            "ETCD_ENDPOINTS": world.cluster.description.config.etcd_endpoint,
        }

    def on(self, node, *words):
        return run(
            (*entering(self.place, node), *words),
            environment=self.environment,
            deadline_seconds=30,
        )

    def findings(self, node="node-1"):
        """Return what is wrong, as (what, why and fix); the exit status must agree."""
        try:
            text, status = self.on(node, "calicoctl", "node", "doctor", "-o", "json"), 0
        except ProgramFailed as failed:
            text, status = failed.out, failed.status
        every = json.loads(text)
        wrong = {one["what"]: f"{one['why']} -- {one['fix']}" for one in every
                 if one["severity"] == "error"}  # fmt: skip
        assert status == (1 if wrong else 0)
        return wrong

    def is_healthy(self):
        return all(self.findings(node) == {} for node in self.world.nodes)


@pytest.fixture
def doctor(world):
    doctor = Doctor(world)
    assert wait_until(doctor.is_healthy, BIRD_SECONDS), doctor.findings()
    yield doctor
    assert wait_until(doctor.is_healthy, BIRD_SECONDS), doctor.findings()


@contextmanager
def undone(doctor, node, do, undo):
    doctor.on(node, *do)
    try:
        yield
    finally:
        doctor.on(node, *undo)


def test_a_healthy_cluster_and_the_list_for_people(doctor):
    told = doctor.on("node-2", "calicoctl", "node", "doctor")
    assert "172.30.1.12/24 on eth0: " in told
    assert told.count("session is established") == 4
    assert told.endswith("node-2: nothing is wrong\n")


def test_forwarding_is_off(doctor):
    name = "net.ipv4.ip_forward"
    with undone(doctor, "node-1", ("sysctl", "-qw", f"{name}=0"), ("sysctl", "-qw", f"{name}=1")):
        wrong = doctor.findings()
        assert list(wrong) == ["IPv4 forwarding"]
        assert "sysctl -w net.ipv4.ip_forward=1" in wrong["IPv4 forwarding"]


def test_somebody_elses_rule_drops_pods_packets(doctor):
    rules = (
        "add table inet other; add chain inet other c { type filter hook forward priority 0; }; "
    )
    rules += "add rule inet other c ip daddr 10.65.0.0/16 udp dport 53 drop"
    with undone(doctor, "node-1", ("nft", rules), ("nft", "delete table inet other")):
        wrong = doctor.findings()
        assert list(wrong) == ["foreign rules"]
        assert "udp dport 53 drop" in wrong["foreign rules"]
        delete = wrong["foreign rules"].partition("-- ")[2].partition(",")[0]
        doctor.on("node-1", *delete.split())
        assert doctor.findings() == {}, "the fix, as it is printed, mends it"


def test_an_as_number_on_one_node_alone(doctor):
    resources = Resources(doctor.world.cluster.store)
    key = ResourceKey("Node", "", "node-2")

    def number(value):
        node = json.loads(doctor.on("node-2", "calicoctl", "get", "node", "node-2", "-o", "json"))
        node["spec"]["bgp"].pop("asNumber", None)
        if value:
            node["spec"]["bgp"]["asNumber"] = value
        run((*entering(doctor.place, "node-2"), "calicoctl", "apply", "-f", "-"),
            json.dumps(node), environment=doctor.environment)  # fmt: skip

    number(65001)
    try:
        assert resources.get(key).spec.bgp.as_number == 65001
        peers = {"peer node-2 172.30.1.12", "peer node-2 fd30:1::12"}
        assert wait_until(lambda: set(doctor.findings()) == peers, 10), doctor.findings()
        told = doctor.findings()["peer node-2 172.30.1.12"]
        assert "wrong AS: this node speaks as AS 64512 and expects AS 65001 of node-2" in told
        assert "remove spec.bgp.asNumber of Node node-2" in told
    finally:
        number(None)


def test_a_peers_bird_is_gone(doctor):
    pid = doctor.on("node-3", "cat", "/var/run/calico/bird.pid").strip()
    parent = doctor.on("node-3", "ps", "-o", "ppid=", "-p", pid).strip()
    doctor.on("node-3", "kill", f"-{signal.SIGSTOP.value}", parent)  # it would start another one
    try:
        doctor.on("node-3", "kill", f"-{signal.SIGKILL.value}", pid)
        peers = {"peer node-3 172.30.1.13", "peer node-3 fd30:1::13"}
        assert wait_until(lambda: set(doctor.findings()) == peers, 10), doctor.findings()
        told = doctor.findings()["peer node-3 172.30.1.13"]
        assert "BIRD does not run there" in told
        assert "start calico-node on node-3" in told
        assert "BIRD" in doctor.findings("node-3")
    finally:
        doctor.on("node-3", "kill", f"-{signal.SIGCONT.value}", parent)


def test_the_wire_to_a_peer_is_too_narrow(doctor):
    narrow = ("ip", "link", "set", "eth0", "mtu", "1396")
    with undone(doctor, "node-3", narrow, (*narrow[:-1], "1500")):
        wrong = doctor.findings()
        assert set(wrong) == {
            "path MTU node-3 172.30.1.13",
            "path MTU node-3 fd30:1::13",
        }
        told = wrong["path MTU node-3 172.30.1.13"]
        assert "more than 1400 bytes are lost, pods send up to 1500" in told
        assert "100 bytes less" in told


def test_a_firewall_between_or_a_password(doctor):
    rules = "add table ip6 other; add chain ip6 other c { type filter hook input priority 0; }; "
    rules += "add rule ip6 other c tcp dport 179 counter drop"
    with undone(doctor, "node-2", ("nft", rules), ("nft", "delete table ip6 other")):
        assert "tcp dport 179" in doctor.findings("node-2")["foreign rules"]
        doctor.on("node-3", "birdc", "-s", "/var/run/calico/bird.ctl", "restart", "Mesh_fd30_1__12")
        doctor.on("node-2", "birdc", "-s", "/var/run/calico/bird.ctl", "restart", "Mesh_fd30_1__13")
        title = "peer node-2 fd30:1::12"
        told = doctor.findings("node-3")
        assert "answers ping, but not TCP 179: a firewall drops it" in told[title]
        assert "this side has none" in told[title]
