"""Together with the plugins that runtimes bring: chained after ours, below us, and above us."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from calico.core.model.keys import HANDLES_PREFIX
from calico.datastore.etcd import EtcdDatastore
from calico.ipam import usage
from calico.kernel import netns as namespaces
from calico.kernel.run import run
from cni_host import PLUGINS, CniHost, containers, host_links, no_trace, wipe
from etcd_server import wait_until

pytestmark = pytest.mark.netns
AGENT = Path(__file__).parents[2] / "cni_agent.py"


def require(*plugins):
    for plugin in plugins:
        if not Path(PLUGINS, plugin).exists():
            pytest.skip(f"{PLUGINS}/{plugin} is not installed")


@pytest.fixture
def started(memory_host):
    memory_host.start()
    return memory_host


class TestChained:
    """As a runtime runs a list: each plugin gets the result of the one before."""

    def add(self, host, pod, plugins):
        result = None
        for plugin in plugins:
            config = {"cniVersion": "1.0.0", "name": "net1", **plugin}
            if result is not None:
                config["prevResult"] = result
            done = host.run("ADD", pod, config, program=self.program(host, plugin))
            assert done.status == 0, done
            result = done.json
        return result

    def delete(self, host, pod, plugins, result):
        for plugin in reversed(plugins):
            config = {"cniVersion": "1.0.0", "name": "net1", **plugin, "prevResult": result}
            done = host.run("DEL", pod, config, program=self.program(host, plugin))
            assert done.status == 0, done

    def program(self, host, plugin):
        return shutil.which(plugin["type"], path=f"{host.bin}:{PLUGINS}")

    def test_portmap_and_bandwidth(self, started):
        require("portmap", "bandwidth")
        mapping = {"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}
        limits = {"ingressRate": 8_000_000, "ingressBurst": 8_000_000}
        plugins = [
            {"type": "calico", "ipam": {"type": "calico-ipam"}},
            {
                "type": "portmap",
                "snat": True,
                "capabilities": {"portMappings": True},
                "runtimeConfig": {"portMappings": [mapping]},
            },
            {
                "type": "bandwidth",
                "capabilities": {"bandwidth": True},
                "runtimeConfig": {"bandwidth": limits},
            },
        ]
        with containers("web-0") as (pod,):
            result = self.add(started, pod, plugins)
            address = result["ips"][0]["address"].partition("/")[0]
            assert f"--to-destination {address}:80" in run(["iptables-save", "-t", "nat"])
            name = result["interfaces"][0]["name"]
            assert "tbf" in run(["tc", "qdisc", "show", "dev", name])
            self.delete(started, pod, plugins, result)
            assert no_trace(started, pod)
            assert address not in run(["iptables-save", "-t", "nat"])


class TestHostLocalBelowUs:
    """Another IPAM plugin: the plugin process runs it, in the runtime's environment."""

    def config(self, host, subnet="10.99.0.0/24", **more):
        require("host-local")
        leases = str(host.directory / "leases")
        ipam = {"type": "host-local", "subnet": subnet, "dataDir": leases, **more}
        return host.config(ipam=ipam)

    def leases(self, host):
        return {p.name for p in (host.directory / "leases").rglob("10.*")}

    def test_add_check_del(self, started):
        config = self.config(started)
        with containers("web-0") as (pod,):
            added = started.run("ADD", pod, config)
            assert added.addresses == ["10.99.0.2/32"]
            assert self.leases(started) == {"10.99.0.2"}
            (endpoint,) = started.records("workloadendpoints").values()
            assert endpoint["spec"]["ipNetworks"] == ["10.99.0.2/32"]
            assert started.records(HANDLES_PREFIX) == {}
            assert ("default", "169.254.1.1") in {
                (r["dst"], r.get("gateway")) for r in pod.ip("route")
            }
            checked = started.run("CHECK", pod, {**config, "prevResult": added.json})
            assert checked.status == 0, checked
            for _ in range(2):
                assert started.run("DEL", pod, config).status == 0
                assert self.leases(started) == set()
            assert no_trace(started, pod)

    def test_its_routes_take_the_place_of_the_defaults(self, started):
        config = self.config(started, routes=[{"dst": "10.0.0.0/8"}])
        with containers("web-0") as (pod,):
            assert started.run("ADD", pod, config).status == 0
            assert {r["dst"] for r in pod.ip("route")} == {"169.254.1.1", "10.0.0.0/8"}

    def test_the_nodes_pod_cidr(self, started):
        config = self.config(started, subnet="usePodCidr")
        with containers("web-0") as (pod,):
            error = started.run("ADD", pod, config).json
            assert "has no IPv4 pod CIDR" in error["details"]
            assert no_trace(started, pod)
            started.write_node(pod_cidrs=("fd00:5::/64", "10.98.0.0/24"))
            assert started.run("ADD", pod, config).addresses == ["10.98.0.2/32"]
            assert started.run("DEL", pod, config).status == 0
            assert self.leases(started) == set()

    def test_what_fails_after_it_is_given_back(self, started):
        config = self.config(started)
        with containers("Web_0") as (pod,):  # no valid name for an endpoint
            assert started.run("ADD", pod, config).status == 1
            assert self.leases(started) == set()
            assert no_trace(started, pod)

    def test_its_own_error_is_passed_on(self, started):
        with containers("web-0") as (pod,):
            error = started.run("ADD", pod, self.config(started, subnet="10.99.0.0/33")).json
            assert "10.99.0.0/33" in error["msg"]
            assert no_trace(started, pod)

    def test_it_may_not_be_there(self, started):
        config = started.config(ipam={"type": "no-such-ipam"})
        with containers("web-0") as (pod,):
            error = started.run("ADD", pod, config).json
            assert "no plugin no-such-ipam in CNI_PATH" in error["msg"]
            assert no_trace(started, pod)

    def test_a_del_that_was_noted_is_finished_without_the_runtime(self, started):
        config = self.config(started)
        with containers("web-0") as (pod,):
            assert started.run("ADD", pod, config).status == 0
            started.stop()
            assert started.run("DEL", pod, config).status == 0
            assert self.leases(started) == {"10.99.0.2"}
            started.start()
            notes = started.directory / "cni-deletes"
            wait_until(lambda: not list(notes.iterdir()), "note worked off")
            assert self.leases(started) == set()
            assert no_trace(started, pod)


class TestCalicoIpamBelowOthers:
    def config(self, host):
        require("bridge")
        return {
            "cniVersion": "0.4.0",
            "name": "net1",
            "type": "bridge",
            "bridge": "br0",
            "ipam": {"type": "calico-ipam"},
        }

    def test_add_check_del(self, started):
        config = self.config(started)
        bridge = Path(PLUGINS, "bridge")
        with containers("web-0") as (pod,):
            added = started.run("ADD", pod, config, program=bridge)
            assert added.status == 0, added
            (address,) = added.addresses
            assert address.endswith("/28"), "the length of the block"
            assert started.records("workloadendpoints") == {}
            assert usage.ips_by_handle(started.store, f"net1.{pod.id}") == (
                address.partition("/")[0],
            )
            checked = {**config, "prevResult": added.json}
            done = started.run("CHECK", pod, checked, program=started.bin / "calico-ipam")
            assert done.status == 0, done
            assert started.run("DEL", pod, config, program=bridge).status == 0
            assert started.records(HANDLES_PREFIX) == {}

    def test_by_itself_twice(self, started):
        config = {**self.config(started), "cniVersion": "0.3.1"}
        with containers("web-0") as (pod,):
            program = started.bin / "calico-ipam"
            first = started.run("ADD", pod, config, program=program)
            again = started.run("ADD", pod, config, program=program)
            assert first.json == again.json
            (ip,) = first.json["ips"]
            assert ip["version"] == "4"
            assert first.json["routes"] == [{"dst": ip["address"]}]
            assert first.json["dns"] == {}
            for _ in range(2):
                assert started.run("DEL", pod, config, program=program).status == 0
            gone = {**config, "cniVersion": "1.0.0", "prevResult": first.json}
            checked = started.run("CHECK", pod, gone, program=program)
            assert "no address is allocated under the handle" in checked.json["msg"]


@pytest.mark.etcd
class TestAKilledAgent:
    """The agent dies in the middle of an ADD: after the commit, before the answer."""

    @pytest.fixture
    def outside(self, shared_etcd):
        """Give etcd, a store and a descriptor of the namespace in which etcd can be reached."""
        store, namespace = EtcdDatastore(shared_etcd.settings), namespaces.open_own()
        wipe(store)
        yield shared_etcd, store, namespace
        wipe(store)
        store.close()
        os.close(namespace)

    @pytest.fixture
    def host(self, outside, netns, tmp_path):
        etcd, store, outer = outside
        host = CniHost(store, tmp_path)
        host.agent_arguments = [etcd.url, host.node, str(host.socket), str(outer), str(netns)]
        host.agent_descriptors = (outer, netns)
        host.write_pool("p4", "10.65.0.0/24", 28)
        yield host
        host.stop()

    def killed_in_add(self, host, pod):
        arguments = [sys.executable, str(AGENT), *host.agent_arguments]
        agent = subprocess.Popen(arguments, stdout=subprocess.PIPE, pass_fds=host.agent_descriptors)
        assert agent.stdout.readline() == b"ready\n"
        child, config = host.spawn("ADD", pod)
        child.stdin.write(config)
        child.stdin.close()
        wait_until(lambda: host.records("workloadendpoints"), "endpoint written")
        wait_until(lambda: [r for r in pod.ip("route") if r["dst"] == "default"], "routes")
        agent.kill()
        agent.wait(10)
        agent.stdout.close()
        told = json.loads(child.stdout.read())
        assert child.wait(10) == 1
        child.stdout.close()
        child.stderr.close()
        return told

    def test_the_runtime_is_told_to_try_again_and_add_goes_on(self, host):
        with containers("web-0") as (pod,):
            told = self.killed_in_add(host, pod)
            assert told["code"] == 11
            (before,) = host.records("workloadendpoints").values()
            host.start()
            added = host.run("ADD", pod)
            assert added.status == 0, added
            assert added.addresses == before["spec"]["ipNetworks"]
            assert usage.utilization(host.store)[0].in_use == 1
            assert host.run("DEL", pod).status == 0
            assert no_trace(host, pod)

    def test_or_del_removes_all(self, host):
        with containers("web-0") as (pod,):
            self.killed_in_add(host, pod)
            assert [name for name in host_links() if name.startswith("cali")]
            assert host.run("DEL", pod).status == 0, "noted"
            host.start()
            wait_until(lambda: no_trace(host, pod), "deletion finished")
