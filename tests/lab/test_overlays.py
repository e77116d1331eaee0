"""Two racks with a router between that knows nothing of pods: tunnels, and changes of mode.

The cluster is examples/two-segments.yaml: left-1 (a), left-2 (b) | right-1 (c).
"""

import json
import os
import subprocess
from pathlib import Path

import pytest
from msgspec.structs import replace

from calico.datastore.resources import Resources
from calico.kernel.run import run
from calico.lab.build import read_files, up
from calico.lab.cluster import down
from calico.lab.fabric import entering
from calico.lab.place import Place
from calico.lab.processes import wait_until

from .conftest import ROOT, World
from .steady import Steady

pytestmark = [pytest.mark.netns, pytest.mark.etcd, pytest.mark.bird, pytest.mark.slow]

EXAMPLES = Path(__file__).parents[2] / "examples"
A, B, C = "shop/a", "shop/b", "shop/c"


class Racks(World):
    """The cluster, its pools, and where packets go."""

    def inside(self, station, *words):
        return run((*entering(self.cluster.place, station), *words))

    def set_mode(self, mode):
        """Change the VXLAN mode of every pool."""
        resources = Resources(self.cluster.store)
        for pool in resources.list("IPPool").items:
            resources.update(replace(pool, spec=replace(pool.spec, vxlan_mode=mode)))

    def device(self, station, pod, version):
        """By which device a node sends to a pod."""
        address = self.origin(pod).party.address(version)
        return json.loads(self.inside(station, "ip", "-j", "route", "get", address))[0]["dev"]

    def wait_for(self, mode):
        """Wait until every node's routes are as the mode says."""
        devices = {4: "vxlan.calico", 6: "vxlan-v6.calico"}

        def arrived():
            return all(
                self.device("left-1", B, version)
                == (devices[version] if mode == "Always" else "eth0")
                and self.device("left-2", A, version)
                == (devices[version] if mode == "Always" else "eth0")
                and (self.device("left-1", C, version) == devices[version]) == (mode != "Never")
                and (self.device("right-1", A, version) == devices[version]) == (mode != "Never")
                for version in (4, 6)
            )

        assert wait_until(arrived, 20), self.inside("left-1", "ip", "route")

    def captured(self, station, source, destination):
        """What a node's own link carries while one pod pings the other, as tcpdump tells it."""
        words = (*entering(self.cluster.place, station), "tcpdump", "-lnni", "eth0", "-c", "2")
        address = self.origin(destination).party.address(4)
        wanted = f"(udp port 4789) or (icmp and host {address})"
        listener = subprocess.Popen(
            [*words, wanted], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        try:
            assert "listening" in [listener.stderr.readline() for _ in range(2)][-1]
            self.ping(source, address)
            out, _ = listener.communicate(timeout=10)
        finally:
            listener.kill()
        return out

    def ping(self, source, address):
        descriptor = self.origin(source).namespace
        run(["nsenter", f"--net={descriptor}", "ping", "-c", "3", "-i", "0.2", address])


@pytest.fixture(scope="module")
def racks():
    if os.geteuid() != 0:
        pytest.skip("needs root: it makes namespaces")
    files = EXAMPLES / "two-segments.yaml", EXAMPLES / "two-segments-config.yaml"
    topology, config = read_files(*files)
    place = Place(ROOT, f"racks-{os.getpid()}")
    try:
        cluster = up(place, topology, config, print)
        yield Racks(cluster)
        cluster.close()
    finally:
        down(place)


def test_cross_subnet_tunnels_between_racks_only(racks):
    racks.set_mode("CrossSubnet")
    racks.wait_for("CrossSubnet")
    racks.agrees(outside=True)  # nodes reach pods by the tunnels, too
    between = racks.captured("left-1", A, C)
    assert "VXLAN" in between
    assert "vni 4096" in between
    within = racks.captured("left-1", A, B)
    assert "ICMP echo" in within
    assert "VXLAN" not in within


def test_always_tunnels_within_a_rack_too(racks):
    racks.set_mode("Always")
    racks.wait_for("Always")
    racks.agrees(outside=True)
    assert "VXLAN" in racks.captured("left-1", A, B)


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("CrossSubnet", "Always"),
        ("Always", "CrossSubnet"),
        ("Never", "Always"),
        ("Always", "Never"),
        ("Never", "CrossSubnet"),
        ("CrossSubnet", "Never"),
    ],
)
def test_a_change_of_mode_loses_no_packet(racks, before, after, version):
    racks.set_mode(before)
    racks.wait_for(before)
    sources = [(A, B), (B, A)]
    if "Never" not in {before, after}:
        sources += [(C, A)]
    parties = {name: racks.origin(name) for name in (A, B, C)}
    flows = [Steady(parties[s], parties[d].party, version) for s, d in sources]
    for flow in flows:
        flow.__enter__()
    try:
        flows[0].wait_for(100)
        racks.set_mode(after)
        racks.wait_for(after)
        flows[0].wait_for(600)
    finally:
        for flow in flows:
            flow.__exit__()
    told = {pair: flow.gap() for pair, flow in zip(sources, flows, strict=True) if flow.lost}
    assert not told, told
