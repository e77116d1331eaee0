"""Requests that fail leave nothing behind; without an agent nothing is lost."""

import json
import os
import socket
import subprocess
import threading

import pytest

from calico.cni import network
from calico.cni.delete import delete_endpoint
from calico.cni.plugin import VERSION
from calico.cni.request import prepare
from calico.cni.wire import Call
from calico.core.intent.keys import EndpointKey
from calico.felix.in_force import InForce
from calico.kernel import netns as namespaces
from calico.kernel.run import run
from cni_host import DUAL, containers, no_trace
from etcd_server import wait_until

pytestmark = pytest.mark.netns


class TestFailures:
    """Whatever goes wrong, nothing is left and one error says what to do."""

    def refused(self, host, pod, config=None, **more):
        done = host.run("ADD", pod, config, **more)
        assert done.status == 1, done
        assert no_trace(host, pod)
        return done.json

    def test_bad_configuration(self, host):
        with containers("web-0") as (pod,):
            error = self.refused(host, pod, host.config(mtu="big"))
            assert error["code"] == 7
            assert "mtu" in error["details"]

    def test_a_datastore_that_is_not_ready(self, host):
        host.write_cluster(ready=False)
        with containers("web-0") as (pod,):
            error = self.refused(host, pod)
            assert error["code"] == 11
            assert "not ready" in error["msg"]
            assert host.run("DEL", pod).status == 1, "is tried again later"
            status = host.run("STATUS", pod, host.config("1.1.0"))
            assert status.json["code"] == 50

    def test_a_full_pool(self, host):
        host.write_pool("p4", "10.65.0.0/24", 28, disabled=True)
        with containers("web-0") as (pod,):
            error = self.refused(host, pod)
            assert error["msg"].startswith("failed to request IPv4 addresses: ")
            assert "pool p4 (10.65.0.0/24) is disabled" in error["msg"]

    def test_one_family_short(self, host):
        host.write_pool("p6", "fd00:10::/112", 122, disabled=True)
        with containers("web-0") as (pod,):
            error = self.refused(host, pod, host.config(ipam=DUAL))
            assert "failed to request IPv6 addresses" in error["msg"]

    def test_an_interface_of_that_name_is_there_already(self, host):
        with containers("web-0") as (pod,):
            with namespaces.inside(pod.descriptor):
                run(["ip", "link", "add", "eth0", "type", "veth", "peer", "name", "x"])
            error = self.refused(host, pod)
            assert "eth0" in error["msg"] or "cali" in error["msg"]

    @pytest.mark.parametrize(
        ("changes", "code"),
        [
            ({"CNI_NETNS": None}, 4),
            ({"CNI_NETNS": "/nowhere"}, 5),
            ({"CNI_IFNAME": None}, 4),
            ({"CNI_ARGS": "x"}, 4),
        ],
    )
    def test_a_bad_environment(self, host, changes, code):
        with containers("web-0") as (pod,):
            assert self.refused(host, pod, **changes)["code"] == code

    def test_the_agents_own_namespace(self, host, netns):
        with containers("web-0") as (pod,):
            own = f"/proc/{os.getpid()}/fd/{netns}"
            assert self.refused(host, pod, CNI_NETNS=own)["code"] == 8

    def test_another_nodes_name(self, host):
        with containers("web-0") as (pod,):
            error = self.refused(host, pod, host.config(nodename="node-b"))
            assert "'node-b' is not this node, which is 'node-a'" in error["details"]

    def test_an_endpoint_that_does_not_come_into_force(self, memory_host):
        memory_host.gate = InForce()
        memory_host.wait_seconds = 0.2
        memory_host.start()
        with containers("web-0") as (pod,):
            error = self.refused(memory_host, pod)
            assert error["code"] == 11
            assert "has not yet read the datastore" in error["details"]


class TestWithoutAnAgent:
    def test_add_check_and_status_say_what_to_start(self, memory_host):
        with containers("web-0") as (pod,):
            for command in ("ADD", "CHECK", "STATUS"):
                told = memory_host.run(command, pod)
                assert told.status == 1
                assert told.json["code"] == 11
                assert str(memory_host.socket) in told.json["msg"]
                assert "start calico-node" in told.json["details"]

    def test_a_del_succeeds_and_is_finished_later(self, memory_host):
        memory_host.start()
        with containers("web-0") as (pod,):
            memory_host.run("ADD", pod)
            memory_host.stop()
            assert memory_host.run("DEL", pod).status == 0
            notes = memory_host.directory / "cni-deletes"
            assert len(list(notes.iterdir())) == 1
            memory_host.start()
            wait_until(lambda: not list(notes.iterdir()), "note worked off")
            assert no_trace(memory_host, pod)

    def test_a_note_that_cannot_be_read_is_dropped(self, memory_host):
        notes = memory_host.directory / "cni-deletes"
        notes.mkdir()
        (notes / "1-broken").write_bytes(b"nonsense")
        memory_host.start()
        wait_until(lambda: not list(notes.iterdir()), "note dropped")

    def test_a_del_that_cannot_be_noted_is_tried_again(self, memory_host):
        (memory_host.directory / "cni-deletes").write_text("in the way")
        with containers("web-0") as (pod,):
            assert memory_host.run("DEL", pod).json["code"] == 11


def test_the_socket_is_roots_alone_and_there_is_one(memory_host):
    memory_host.start()
    assert memory_host.socket.stat().st_mode & 0o777 == 0o600
    first, memory_host.service = memory_host.service, None
    with pytest.raises(OSError, match="another agent listens"):
        memory_host.start()
    memory_host.service = first


def test_rubbish_on_the_socket_does_not_stop_the_service(memory_host):
    memory_host.start()
    for rubbish in (b"", b"0000000a", b"zzzzzzzz", b"ffffffff", b"00000003abc"):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(memory_host.socket))
            connection.sendall(rubbish)
    with containers("web-0") as (pod,):
        assert memory_host.run("ADD", pod).status == 0


def test_requests_about_one_container_take_turns(memory_host):
    """A DEL that comes while its ADD is under way waits for it, whatever becomes of that."""
    memory_host.gate = gate = InForce()
    gate.set_blocked("")
    memory_host.start()
    outcomes = {}

    def run_it(command, pod):
        outcomes[command] = memory_host.run(command, pod)

    with containers("web-0") as (pod,):
        adding = threading.Thread(target=run_it, args=("ADD", pod))
        adding.start()
        path = wait_until(lambda: next(iter(memory_host.records("workloadendpoints")), ""), "ADD")
        deleting = threading.Thread(target=run_it, args=("DEL", pod))
        deleting.start()
        turns = memory_host.service._turns._changed
        wait_until(lambda: turns._waiters, "the DEL waits for its turn")
        revision = memory_host.store.get(path).revision
        gate.set_applied({EndpointKey("k8s", "shop/web-0", "eth0"): revision}, ())
        adding.join(30)
        assert outcomes["ADD"].status == 0
        wait_until(lambda: not memory_host.records("workloadendpoints"), "DEL")
        gate.set_applied({}, (EndpointKey("k8s", "shop/web-0", "eth0"),))
        deleting.join(30)
        assert outcomes["DEL"].status == 0
        assert no_trace(memory_host, pod)


def test_a_pair_counts_as_removed_when_it_is_out_of_sight(memory_host):
    memory_host.start()
    with containers("web-0") as (pod,):
        memory_host.run("ADD", pod)
        may_go, removed = threading.Event(), threading.Event()

        def aside(job):
            threading.Thread(target=lambda: may_go.wait(30) and job()).start()

        def remove():
            network.remove_pair("eth0", pod.descriptor, aside)
            removed.set()

        remover = threading.Thread(target=remove)
        remover.start()
        assert not removed.wait(0.05)
        assert [i["ifname"] for i in pod.ip("link")] == ["lo", "eth0"]
        may_go.set()
        remover.join(30)
        assert [i["ifname"] for i in pod.ip("link")] == ["lo"]


def test_the_right_to_delete_is_the_containers(memory_host):
    memory_host.start()
    with containers("web-0", "web-0") as (old, new):
        memory_host.run("ADD", new)
        environment = memory_host.environment("DEL", old)
        call = Call("calico", environment, json.dumps(memory_host.config()).encode())
        assert delete_endpoint(prepare(memory_host.agent, call, None)) is False
        assert memory_host.records("workloadendpoints")


class TestTheCommandLine:
    """The executable called by a person."""

    def call(self, host, pod, *arguments, name="calico", **environment):
        program = [host.bin / name, *arguments]
        variables = {**host.environment("", pod), **environment}
        variables = {k: v for k, v in variables.items() if v}
        done = subprocess.run(
            program, input=b"{}", capture_output=True, env=variables, timeout=30, check=False
        )
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    def test_versions(self, memory_host):
        with containers("") as (container,):
            assert self.call(memory_host, container, "-v") == (0, f"{VERSION}\n", "")
            status, out, err = self.call(memory_host, container, name="calico-ipam")
            assert (status, out) == (0, "")
            assert err.startswith(f"Calico CNI IPAM {VERSION}\n")
            assert "0.3.1, 0.4.0" in err

    def test_the_datastore_can_be_tried(self, memory_host):
        with containers("") as (container,):
            assert self.call(memory_host, container, "-t")[0] == 1, "no agent"
            memory_host.start()
            assert self.call(memory_host, container, "-t") == (0, "", "")
            memory_host.write_cluster(ready=False)
            status, out, _ = self.call(memory_host, container, "-t")
            assert status == 1
            assert json.loads(out)["code"] == 11
