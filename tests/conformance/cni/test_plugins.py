"""The same calls to Calico's own CNI plugins and to ours leave the same world behind.

What the host's end of a pair needs besides (routes, settings) is our agent's to program, as it is
its to keep: test_tables.py of the agents compares it.

    a fresh namespace and etcd -- the story of calls --> theirs: answers, records, links, routes
    a fresh namespace and etcd -- the same story ------> ours: the same, but for uids and times

Needs Calico's own plugins: CALICO_CNI_BIN=/directory with `calico` and `calico-ipam` in it.
"""

import json
import os
import re
from pathlib import Path

import pytest

from calico.datastore.etcd import EtcdDatastore
from calico.kernel import netns as namespaces
from calico.kernel.run import run
from cni_host import CniHost, Container
from etcd_server import running_etcd

THEIRS = os.environ.get("CALICO_CNI_BIN", "")

pytestmark = [
    pytest.mark.netns,
    pytest.mark.etcd,
    pytest.mark.conformance,
    pytest.mark.slow,
    pytest.mark.skipif(not THEIRS, reason="set CALICO_CNI_BIN to the folder of Calico's plugins"),
]

FREE = re.compile(r'"(uid|creationTimestamp|affinity_claim_time|timestamp|sandbox|mac)": "[^"]*"')
NUMBERS = re.compile(r"\b1[0-9]{18}\b")  # a block's numbers start from the clock
SETTINGS = (
    "ipv4/conf/{}/forwarding",
    *(f"ipv6/conf/{{}}/{name}" for name in ("forwarding", "accept_dad", "disable_ipv6")),
)


class Story:
    """One host, on which either side's plugins are called."""

    def __init__(self, store, directory, is_ours, *pools, **config):
        self.host = CniHost(store, directory)
        self.directory, self.is_ours = Path(directory), is_ours
        self.config = {
            "datastore_type": "etcdv3",
            "etcd_endpoints": store.url,
            "nodename": self.host.node,
            "nodename_file_optional": True,
            "ipam_lock_file": str(self.directory / "lock"),
            "log_level": "error",
            "mtu": 1440,
            "kubernetes": {"k8s_api_root": "http://127.0.0.1:1"},  # nobody asks it anything
            **config,
        }
        for number, cidr in enumerate(pools):
            size = 122 if ":" in cidr else 26
            self.host.write_pool(f"pool-{number}", cidr, block_size=size)
        self.containers = {}
        if is_ours:
            self.host.start()

    def container(self, number, pod="", namespace="shop"):
        if number not in self.containers:
            made = self.containers[number] = Container(pod, namespace)
            made.id = f"c0ffee{number:02x}" * 8
        return self.containers[number]

    def call(self, command, container, config=None, **environment):
        config = {**self.host.config(), **self.config} if config is None else config
        folder = self.host.bin if self.is_ours else Path(THEIRS)
        plugin = config.get("type", "calico") if isinstance(config, dict) else "calico"
        environment.setdefault("CNI_PATH", str(folder))
        program = folder / plugin if self.is_ours else self.in_own_places(folder / plugin)
        return self.host.run(command, container, config, program=program, **environment)

    def in_own_places(self, program):
        """A way to start the original, which keeps files under /run, in a /run of its own."""
        script = self.directory / f"start-{program.name}"
        start = f"mount -t tmpfs none /run && exec {program}"
        script.write_text(f"#!/bin/sh\nexec unshare --mount sh -c '{start}'\n")
        script.chmod(0o755)
        return script

    def set(self, version="1.0.0", **more):
        return {**self.host.config(version), **self.config, **more}

    def world(self):
        """All records, links, addresses, routes and settings that are there now."""
        records = {
            entry.path: free(entry.value.decode()) for entry in self.host.store.list("/").entries
        }
        containers = {}
        for number, container in self.containers.items():
            with namespaces.inside(container.descriptor):
                containers[number] = kernel("eth0")
        return {"records": records, "host": kernel("cali")["links"], "containers": containers}

    def close(self):
        self.host.stop()
        for container in self.containers.values():
            container.close()


def free(text):
    """Normalise what no two runs have in common."""
    try:
        return json.loads(NUMBERS.sub("1", FREE.sub(r'"\1": "any"', json.dumps(json.loads(text)))))
    except json.JSONDecodeError:
        return text


def kernel(prefix):
    links = json.loads(run(["ip", "-j", "-d", "addr"]))
    names = [link["ifname"] for link in links if link["ifname"].startswith(prefix)]
    facts = {
        link["ifname"]: {
            "flags": sorted({*link["flags"]} - {"NO-CARRIER", "LOWER_UP"}),  # a moment later
            "mtu": link["mtu"],
            "mac": link["address"] if prefix == "cali" else "",
            "queues": (link["num_tx_queues"], link["num_rx_queues"]),
            "kind": link["linkinfo"]["info_kind"],
            "addresses": sorted(
                f"{each['local']}/{each['prefixlen']} {each['scope']}"
                for each in link["addr_info"]
                if not each["local"].startswith("fe80")  # a moment later
            ),
        }
        for link in links
        if link["ifname"] in names
    }
    routes = sorted(run(["ip", "route"]).splitlines() + run(["ip", "-6", "route"]).splitlines())
    return {"links": facts, "routes": routes, "settings": settings((*names, "all", "lo"))}


def settings(interfaces):
    found = {}
    for name in interfaces:
        for pattern in SETTINGS:
            path = Path("/proc/sys/net", pattern.format(name))
            found[str(path)] = path.read_text().strip() if path.exists() else ""
    return found


@pytest.fixture
def told(make_namespace, tmp_path):
    """Return a function that runs a story on both sides and returns both results."""

    def tell(story, *pools, **config):
        results = []
        for is_ours in (False, True):
            directory = tmp_path / ("ours" if is_ours else "theirs")
            directory.mkdir()
            with namespaces.inside(make_namespace()), running_etcd() as server:
                store = EtcdDatastore(server.settings)
                store.url = server.url
                side = Story(store, directory, is_ours, *pools, **config)
                try:
                    results.append(story(side))
                finally:
                    side.close()
                    store.close()
        return results

    return tell


def differences(theirs, ours, where=""):
    """The leaves in which two results differ, one a line."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        for key in sorted(theirs.keys() | ours.keys(), key=str):
            yield from differences(theirs.get(key), ours.get(key), f"{where}/{key}")
    elif isinstance(theirs, list) and isinstance(ours, list) and len(theirs) == len(ours):
        for index, pair in enumerate(zip(theirs, ours, strict=True)):
            yield from differences(*pair, f"{where}/{index}")
    elif theirs != ours:
        yield f"{where}:\n    theirs {theirs}\n    ours   {ours}"


def alike(results):
    found = list(differences(*results))
    assert not found, "\n".join(found)


def answer(outcome):
    return [outcome.status, free(outcome.out)]


VERSIONS = ("0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0")


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("pod", ["web-0", ""])
def test_add_check_delete(told, version, pod):
    def story(side):
        container = side.container(1, pod)
        added = side.call("ADD", container, side.set(version))
        after_add = side.world()
        checked = side.call("CHECK", container, side.set(version))
        deleted = side.call("DEL", container, side.set(version))
        again = side.call("DEL", container, side.set(version))
        outs = [answer(each) for each in (added, deleted, again)]
        outs.append(checked.status)  # the original also prints a bare "OK"
        return {"answers": outs, "form": added.out.split('"')[0], "after add": after_add,
                "after delete": side.world()}  # fmt: skip

    alike(told(story, "10.65.0.0/24"))


def test_both_families_pools_and_more_pods(told):
    """Addresses of several pods, in order; a pool by name, by CIDR; an address by name."""

    def story(side):
        ipam = {"type": "calico-ipam", "assign_ipv6": "true"}
        by_name = {"type": "calico-ipam", "ipv4_pools": ["pool-1"]}
        by_cidr = {"type": "calico-ipam", "ipv4_pools": ["10.66.0.0/24"]}
        only6 = {"type": "calico-ipam", "assign_ipv4": "false", "assign_ipv6": "true"}
        asked = [side.set(ipam=each) for each in (ipam, ipam, by_name, by_cidr, only6)]
        outs = [
            answer(side.call("ADD", side.container(number, f"web-{number}"), config))
            for number, config in enumerate(asked)
        ]
        named = "IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web-9;IP=10.65.0.200"
        container = side.container(9, "web-9")
        outs.append(answer(side.call("ADD", container, side.set(), CNI_ARGS=named)))
        before = side.world()
        for number, config in enumerate(asked):
            outs.append(answer(side.call("DEL", side.container(number), config)))
        return {"answers": outs, "before": before, "after": side.world()}

    alike(told(story, "10.65.0.0/24", "10.66.0.0/24", "fd65::/64"))


def test_again_and_labels(told):
    """ADD twice, by another sandbox of the same pod, and a late DEL of the first."""

    def story(side):
        first, second = side.container(1, "web"), side.container(2, "web")
        outs = [answer(side.call("ADD", each)) for each in (first, second)]
        both = side.world()
        outs.append(answer(side.call("DEL", first)))
        one = side.world()
        outs.append(answer(side.call("DEL", second, CNI_NETNS="")))
        none = side.world()["records"]  # the original leaves the pair, we remove it
        return {"answers": outs, "both": both, "one": one, "none": none}

    alike(told(story, "10.65.0.0/24"))


def test_alone(told):
    """calico-ipam without calico around it."""

    def story(side):
        container = side.container(1, "web")
        config = side.set("0.3.1", type="calico-ipam", ipam={"type": "calico-ipam"})
        outs = [
            answer(side.call(command, container, config, plugin="calico-ipam"))
            for command in ("ADD", "DEL", "DEL")
        ]
        return {"answers": outs, "after": side.world()}

    alike(told(story, "10.65.0.0/24"))


WRONG = {
    "version": lambda side: side.set("9.9.9"),
    "no name": lambda side: side.set(name=""),
    "bad name": lambda side: side.set(name="-net"),
    "unknown pool": lambda side: side.set(ipam={"type": "calico-ipam", "ipv4_pools": ["none"]}),
    "pool of the other family": lambda side: side.set(
        ipam={"type": "calico-ipam", "ipv4_pools": ["pool-1"]}
    ),
    "bad CIDR": lambda side: side.set(ipam={"type": "calico-ipam", "ipv4_pools": ["10.0/8"]}),
    "no such plugin": lambda side: side.set(ipam={"type": "no-such-plugin"}),
    "no IPAM": lambda side: side.set(ipam={}),
    "full": lambda side: side.set(ipam={"type": "calico-ipam", "ipv4_pools": ["10.67.0.0/26"]}),
}


@pytest.mark.parametrize("adder", [False, True])
def test_each_deletes_what_the_other_added(make_namespace, tmp_path, adder):
    with namespaces.inside(make_namespace()), running_etcd() as server:
        store = EtcdDatastore(server.settings)
        store.url = server.url
        side = Story(store, tmp_path, True, "10.65.0.0/24")
        try:
            container = side.container(1, "web")
            side.is_ours = adder
            assert side.call("ADD", container).status == 0
            assert side.host.records("workloadendpoints")
            side.is_ours = not adder
            assert answer(side.call("DEL", container)) == [0, ""]
            world = side.world()
            assert not side.host.records("workloadendpoints")
            assert not side.host.records("/handle/")
            assert not world["host"]
            assert not world["containers"][1]["links"]
        finally:
            side.close()
            store.close()


CODES_OF_OURS = {"no such plugin": 5, "no IPAM": 7}  # the original: 999, like all of its own


def code_of(outcome):
    found = json.loads(outcome.out) if outcome.out.startswith("{") else {}
    return outcome.status, found.get("code", 0)


@pytest.mark.parametrize("command", ["ADD", "DEL"])
@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_has_the_same_code(told, what, command):
    def story(side):
        return code_of(side.call(command, side.container(1, "web"), WRONG[what](side)))

    theirs, ours = told(story, "10.65.0.0/24", "fd65::/64")
    assert ours == (theirs[0], CODES_OF_OURS.get(what, theirs[1]))


MISSING = ("CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_PATH")


@pytest.mark.parametrize("command", ["ADD", "DEL", "VERSION", "NONSENSE"])
def test_what_is_missing_has_the_same_code(told, command):
    def story(side):
        container = side.container(1, "web")
        found = {what: code_of(side.call(command, container, **{what: None})) for what in MISSING}
        return found | {"bad JSON": code_of(side.call(command, container, "not an object"))}

    theirs, ours = told(story, "10.65.0.0/24")
    if command == "NONSENSE":  # we look at the command before the configuration
        theirs["bad JSON"] = (1, 4)
    assert ours == theirs
