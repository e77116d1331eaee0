"""Real plugin processes, a real service, real namespaces; the datastore in memory and in etcd."""

import threading

import pytest

from calico.core.intent.keys import EndpointKey
from calico.core.model.keys import HANDLES_PREFIX
from calico.felix.in_force import InForce
from calico.ipam import usage
from calico.kernel import netns as namespaces
from calico.kernel import sysctl
from calico.kernel.run import run
from cni_host import DUAL, containers, host_links, no_trace
from etcd_server import wait_until

pytestmark = pytest.mark.netns
K8S = {"type": "k8s"}


class TestAddOfAPod:
    @pytest.fixture
    def pod(self, host):
        with containers("web-0") as (pod,):
            self.added = host.run("ADD", pod, host.config(ipam=DUAL, policy=K8S, mtu=1400))
            assert self.added.status == 0, self.added
            self.mine, self.theirs = self.added.json["interfaces"]
            yield pod

    def test_the_result(self, host, pod):
        four, six = self.added.addresses
        assert four.startswith("10.65.0.")
        assert four.endswith("/32")
        assert six.startswith("fd00:10::")
        assert six.endswith("/128")
        assert self.theirs["sandbox"] == pod.netns
        assert self.theirs["mtu"] == 1400
        assert [r["dst"].partition("/")[2] for r in self.added.json["routes"]] == ["28", "122"]

    def test_the_pair(self, host, pod):
        link = host_links()[self.mine["name"]]
        assert link["address"] == "ee:ee:ee:ee:ee:ee"
        assert "UP" in link["flags"]
        (inside,) = [i for i in pod.ip("addr") if i["ifname"] == "eth0"]
        assert inside["address"] == self.theirs["mac"]
        assert inside["mtu"] == 1400
        found = {f"{a['local']}/{a['prefixlen']}" for a in inside["addr_info"]}
        assert set(self.added.addresses) <= found
        assert not [a for a in inside["addr_info"] if a.get("tentative")]

    def test_the_routes(self, host, pod):
        routes = {(r["dst"], r.get("gateway")) for r in pod.ip("route")}
        assert routes == {("169.254.1.1", None), ("default", "169.254.1.1")}
        gateways = [r.get("gateway") for r in pod.ip("-6", "route") if r["dst"] == "default"]
        assert gateways == ["fe80::ecee:eeff:feee:eeee"]

    def test_the_records(self, host, pod):
        (endpoint,) = host.records("workloadendpoints").values()
        assert endpoint["metadata"]["name"] == "node--a-k8s-web--0-eth0"
        assert endpoint["spec"]["ipNetworks"] == self.added.addresses
        assert endpoint["spec"]["interfaceName"] == self.mine["name"]
        assert endpoint["spec"]["mac"] == self.theirs["mac"]
        assert host.records("profiles") == {}, "Kubernetes' profiles are not ours to make"
        (block, _) = host.records("ipv4/block/").values()
        secondary = block["attributes"][0]["secondary"]
        assert secondary.pop("timestamp").endswith(" +0000 UTC")
        assert secondary == {"node": "node-a", "pod": "web-0", "namespace": "shop"}


def test_a_network_makes_its_profile_once(host):
    with containers("a", "b") as pods:
        for pod in pods:
            assert host.run("ADD", pod).status == 0
        (path,) = host.records("profiles")
        assert path.endswith("/profiles/net1")
        revision = host.store.get(path).revision
        host.run("DEL", pods[0])
        host.run("ADD", pods[0])
        assert host.store.get(path).revision == revision


def test_the_host_reaches_the_container_by_its_gateway(host):
    """The routes and settings of the host's side are the loop's: made here by hand."""
    with containers("web-0") as (pod,):
        added = host.run("ADD", pod, host.config(ipam=DUAL))
        four, six = [a.partition("/")[0] for a in added.addresses]
        name = added.json["interfaces"][0]["name"]
        run(["ip", "route", "add", four, "dev", name])
        run(["ip", "-6", "route", "add", six, "dev", name])
        run(["ip", "address", "add", "192.0.2.1/32", "dev", "lo"])
        run(["ip", "route", "add", "default", "dev", "lo"])  # proxy ARP asks for a way to there
        for setting in ("proxy_arp", "forwarding"):
            sysctl.write(f"net/ipv4/conf/{name}/{setting}", "1")
        sysctl.write(f"net/ipv4/neigh/{name}/proxy_delay", "0")
        run(["ping", "-c1", "-W2", four])
        run(["ping", "-6", "-c1", "-W2", six])


def test_del_leaves_nothing_and_may_be_repeated(host):
    with containers("web-0") as (pod,):
        assert host.run("ADD", pod).status == 0
        for _ in range(2):
            deleted = host.run("DEL", pod)
            assert (deleted.status, deleted.out) == (0, "")
            assert no_trace(host, pod)
        assert [i["ifname"] for i in pod.ip("link")] == ["lo"]


def test_del_without_a_namespace(host):
    with containers("web-0") as (pod,):
        assert host.run("ADD", pod).status == 0
        assert host.run("DEL", pod, CNI_NETNS="/run/netns/gone").status == 0
        assert no_trace(host, pod)


def test_repeated_add_gives_the_same_addresses(host):
    with containers("web-0") as (pod,):
        first, second = host.run("ADD", pod), host.run("ADD", pod)
        assert second.status == 0, second
        assert first.addresses == second.addresses
        assert first.json["routes"] == second.json["routes"]
        assert len(host.records(HANDLES_PREFIX)) == 1
        assert usage.utilization(host.store)[0].in_use == 1
        host.run("DEL", pod)
        assert no_trace(host, pod)


def test_a_pods_new_sandbox_takes_its_endpoint_over(host):
    with containers("web-0", "web-0") as (old, new):
        assert host.run("ADD", old).status == 0
        added = host.run("ADD", new)
        assert added.status == 0
        assert host.run("DEL", old).status == 0, "comes late, and must not harm the new one"
        (endpoint,) = host.records("workloadendpoints").values()
        assert endpoint["spec"]["containerID"] == new.id
        assert usage.utilization(host.store)[0].in_use == 1
        config = {**host.config(), "prevResult": added.json}
        checked = host.run("CHECK", new, config)
        assert checked.status == 0, checked


def test_four_at_once(host):
    with containers("a", "b", "c", "d") as pods:
        started = [host.spawn("ADD", pod) for pod in pods]
        added = [host.finish(s) for s in started]
        assert [a.status for a in added] == [0] * 4, added
        assert len({a.addresses[0] for a in added}) == 4
        started = [host.spawn("DEL", pod) for pod in pods]
        assert [host.finish(s).status for s in started] == [0] * 4
        assert usage.utilization(host.store)[0].in_use == 0


KEY = EndpointKey("k8s", "shop/web-0", "eth0")


@pytest.fixture
def gated(memory_host):
    """Give a node whose loop is the test."""
    memory_host.gate = InForce()
    memory_host.gate.set_blocked("")
    memory_host.start()
    return memory_host


def test_add_answers_when_its_endpoint_is_in_force(gated):
    with containers("web-0") as (pod,):
        child, config = gated.spawn("ADD", pod)
        results = []
        waiter = threading.Thread(target=lambda: results.append(gated.finish((child, config))))
        waiter.start()
        path = wait_until(lambda: next(iter(gated.records("workloadendpoints")), ""), "endpoint")
        revision = gated.store.get(path).revision
        gated.gate.set_applied({KEY: revision - 1}, ())
        assert child.poll() is None
        gated.gate.set_applied({KEY: revision}, ())
        waiter.join(30)
        assert results[0].status == 0
        gated.gate.set_applied({}, (KEY,))
        assert gated.run("DEL", pod).status == 0


def test_del_frees_the_address_when_the_endpoint_is_gone(gated):
    gated.gate.set_applied({KEY: 1 << 40}, ())
    with containers("web-0") as (pod,):
        assert gated.run("ADD", pod).status == 0
        child, config = gated.spawn("DEL", pod)
        results = []
        waiter = threading.Thread(target=lambda: results.append(gated.finish((child, config))))
        waiter.start()
        wait_until(lambda: not gated.records("workloadendpoints"), "endpoint deleted")
        assert gated.records(HANDLES_PREFIX), "not free while rules speak of it"
        gated.gate.set_applied({}, (KEY,))
        waiter.join(30)
        assert results[0].status == 0
        assert no_trace(gated, pod)


class TestAddressesByName:
    def test_cni_args(self, host):
        with containers("web-0") as (pod,):
            added = host.run("ADD", pod, CNI_ARGS=f"{pod.args};IP=10.65.0.77")
            assert added.addresses == ["10.65.0.77/32"]

    def test_the_conventions(self, host):
        with containers("web-0") as (pod,):
            config = host.config(
                args={"cni": {"ips": ["10.65.0.78"]}},
                runtimeConfig={"ips": ["fd00:10::78/112"], "mac": "02:00:00:00:00:78"},
            )
            added = host.run("ADD", pod, config)
            assert set(added.addresses) == {"10.65.0.78/32", "fd00:10::78/128"}
            assert added.json["interfaces"][1]["mac"] == "02:00:00:00:00:78"

    def test_taken(self, host):
        with containers("a", "b") as (one, two):
            args = "IP=10.65.0.77"
            assert host.run("ADD", one, CNI_ARGS=f"{one.args};{args}").status == 0
            error = host.run("ADD", two, CNI_ARGS=f"{two.args};{args}").json
            assert "10.65.0.77 is already assigned" in error["msg"]


@pytest.mark.parametrize("forwarding", [False, True])
def test_forwarding_inside(memory_host, forwarding):
    memory_host.start()
    with containers("web-0") as (pod,):
        settings = {"allow_ip_forwarding": forwarding}
        memory_host.run("ADD", pod, memory_host.config(container_settings=settings))
        with namespaces.inside(pod.descriptor):
            assert sysctl.read("net/ipv4/ip_forward") == str(int(forwarding))


class TestMtuFile:
    def added(self, host, **config):
        with containers("web-0") as (pod,):
            done = host.run("ADD", pod, host.config(**config))
            return done, {i["ifname"]: i["mtu"] for i in pod.ip("link")}

    def test_is_used_unless_the_configuration_says_otherwise(self, memory_host):
        memory_host.start()
        (memory_host.directory / "mtu").write_text("1420\n")
        assert self.added(memory_host)[1]["eth0"] == 1420
        assert self.added(memory_host, mtu=1300)[1]["eth0"] == 1300

    def test_may_be_required_and_must_hold_a_number(self, memory_host):
        memory_host.start()
        assert self.added(memory_host)[1]["eth0"] == 1500
        assert self.added(memory_host, require_mtu_file=True)[0].json["code"] == 11
        (memory_host.directory / "mtu").write_text("jumbo")
        assert "holds no number" in self.added(memory_host)[0].json["msg"]


@pytest.mark.parametrize("version", ["0.2.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"])
def test_the_result_is_of_the_version_asked_for(memory_host, version):
    memory_host.start()
    with containers("web-0") as (pod,):
        added = memory_host.run("ADD", pod, memory_host.config(version))
        assert added.json["cniVersion"] == version
        assert ("ip4" in added.json) == (version == "0.2.0")
        assert memory_host.run("DEL", pod, memory_host.config(version)).status == 0


def test_version_needs_no_agent(memory_host):
    with containers("") as (container,):
        told = memory_host.run("VERSION", container).json
        assert told["cniVersion"] == "1.1.0"
        assert "0.3.1" in told["supportedVersions"]
