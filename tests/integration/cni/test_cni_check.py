"""CHECK finds what is wrong with a container, GC what belongs to none."""

import pytest

from calico.core.model.keys import HANDLES_PREFIX
from calico.datastore.client import Delete
from calico.ipam.release import ReleaseHandle
from calico.kernel import netns as namespaces
from calico.kernel.run import run
from cni_host import containers, host_links

pytestmark = pytest.mark.netns


class TestCheck:
    @pytest.fixture
    def pod(self, host):
        with containers("web-0") as (pod,):
            self.result = host.run("ADD", pod).json
            yield pod

    def check(self, host, pod):
        return host.run("CHECK", pod, {**host.config(), "prevResult": self.result})

    def test_all_is_well(self, host, pod):
        checked = self.check(host, pod)
        assert (checked.status, checked.out) == (0, "")

    @pytest.mark.parametrize(
        ("fault", "told"),
        [
            (["ip", "link", "set", "eth0", "down"], "eth0 is down"),
            (["ip", "link", "delete", "eth0"], "eth0 does not exist"),
            (["ip", "address", "flush", "dev", "eth0"], "is not on interface eth0"),
            (["ip", "route", "delete", "default"], "no route to 0.0.0.0/0"),
        ],
    )
    def test_a_fault_inside_is_found(self, host, pod, fault, told):
        with namespaces.inside(pod.descriptor):
            run(fault)
        checked = self.check(host, pod)
        assert checked.status == 1
        assert told in checked.json["details"]

    def test_a_released_address_is_found(self, host, pod):
        host.agent.assigner.ask(ReleaseHandle(f"net1.{pod.id}"))
        assert "not allocated to the container" in self.check(host, pod).json["details"]

    def test_a_deleted_endpoint_is_found(self, host, pod):
        for path in host.records("workloadendpoints"):
            host.store.commit([Delete(path)])
        assert "does not exist" in self.check(host, pod).json["msg"]

    def test_versions_that_do_not_know_it(self, host, pod):
        checked = host.run("CHECK", pod, host.config("0.3.1"))
        assert checked.json == {"code": 1, "msg": "config version does not allow CHECK"}


def test_gc_releases_what_is_not_valid(host):
    with containers("kept", "lost", "") as (kept, lost, lone):
        for container in (kept, lost, lone):
            assert host.run("ADD", container, host.config("1.1.0")).status == 0
        other = {**host.config("1.1.0"), "name": "net2"}
        with containers("other") as (stranger,):
            host.run("ADD", stranger, other)
            valid = [{"containerID": kept.id, "ifname": "eth0"}]
            config = {**host.config("1.1.0"), "cni.dev/valid-attachments": valid}
            collected = host.run("GC", kept, config)
            assert collected.status == 0, collected
            left = {e["spec"]["containerID"] for e in host.records("workloadendpoints").values()}
            assert left == {kept.id, stranger.id}
            assert set(host.records(HANDLES_PREFIX)) == {
                f"{HANDLES_PREFIX}net1.{kept.id}",
                f"{HANDLES_PREFIX}net2.{stranger.id}",
            }
            assert len([n for n in host_links() if n.startswith("cali")]) == 2
