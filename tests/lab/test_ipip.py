"""IP in IP between two racks: routes, reachability, and the outer headers on the wire.

Needs a kernel with ipip; where it lacks, `make test-vm` runs this in a virtual machine. IPv4 alone:
IPIP carries nothing else, and the router between the racks knows of no pods.

left-1 (a), left-2 (b) | router | right-1 (c)
"""

import json
import os
from pathlib import Path

import pytest
from msgspec.structs import replace

from calico.datastore.resources import Resources
from calico.kernel import netns
from calico.kernel.netlink import KernelError
from calico.kernel.run import run, spawn
from calico.lab.build import read_files, up
from calico.lab.cluster import down
from calico.lab.fabric import entering
from calico.lab.patience import patient
from calico.lab.place import Place
from calico.lab.processes import wait_until

from .conftest import ROOT, World

pytestmark = [pytest.mark.netns, pytest.mark.etcd, pytest.mark.bird, pytest.mark.slow]

EXAMPLES = Path(__file__).parents[2] / "examples"
A, B, C = "shop/a", "shop/b", "shop/c"
NODES = {A: "172.30.1.11", B: "172.30.1.12", C: "172.30.2.11"}
NO_TUNNEL = """\
network_type: calico
network_cidr: 10.65.0.0/16
calico_ipip_mode: Never
calico_ip_autodetection_method: interface=eth.*
etcd_endpoints: http://172.30.1.2:2379
"""


class Racks(World):
    """The cluster, its pool's mode, and what its wires carry."""

    def inside(self, station, *words):
        return run((*entering(self.cluster.place, station), *words))

    def address(self, pod):
        return self.origin(pod).party.address(4)

    def set_mode(self, mode):
        """Change how the pool is carried, and wait until every node sends so."""
        resources = Resources(self.cluster.store)
        for pool in resources.list("IPPool").items:
            resources.update(replace(pool, spec=replace(pool.spec, ipip_mode=mode)))
        within = "tunl0" if mode == "Always" else "eth0"
        between = "eth0" if mode == "Never" else "tunl0"
        wanted = {("left-1", B): within, ("left-2", A): within}
        wanted |= {("left-1", C): between, ("left-2", C): between}
        wanted |= {("right-1", A): between, ("right-1", B): between}

        def arrived():
            return all(self.device(node, pod) == device for (node, pod), device in wanted.items())

        assert wait_until(arrived, patient(20), 0.2), self.inside("left-1", "ip", "route")

    def device(self, node, pod):
        """By which device a node sends to a pod."""
        return json.loads(self.inside(node, "ip", "-j", "route", "get", self.address(pod)))[0][
            "dev"
        ]

    def wire(self, tmp_path, source, destination):
        """Ping, and tell what left-1's link carried: tcpdump's line for the request."""
        log = tmp_path / f"{destination.replace('/', '-')}.txt"
        words = (
            *entering(self.cluster.place, "left-1"),
            "tcpdump",
            "-lnni",
            "eth0",
            "icmp or proto 4",
        )
        listener = spawn(words, log=log)
        try:
            assert wait_until(lambda: "listening on" in log.read_text(), patient(5)), (
                log.read_text()
            )
            inside = f"--net={self.origin(source).namespace}"
            run(("nsenter", inside, "ping", "-c1", "-W5", self.address(destination)))
            wait_until(lambda: "echo request" in log.read_text(), patient(5))
        finally:
            listener.stop()
        return next(line for line in log.read_text().splitlines() if "echo request" in line)


def has_ipip():
    """Whether a namespace can be given its tunl0."""
    descriptor = netns.create()
    try:
        with netns.inside(descriptor):
            run(("ip", "link", "add", "probe", "type", "ipip", "local", "192.0.2.1"))
    except KernelError:
        return False
    finally:
        os.close(descriptor)
    return True


@pytest.fixture(scope="module")
def racks(tmp_path_factory):
    if os.geteuid() != 0:
        pytest.skip("needs root: it makes namespaces")
    if not has_ipip():
        pytest.skip("this kernel has no ipip: `make test-vm` runs these tests where it has")
    folder = tmp_path_factory.mktemp("racks")
    (folder / "config.yaml").write_text(NO_TUNNEL)
    topology, config = read_files(EXAMPLES / "two-segments.yaml", folder / "config.yaml")
    place = Place(ROOT, f"ipip-{os.getpid()}")
    try:
        cluster = up(place, topology, config, print)
        yield Racks(cluster)
        cluster.close()
    finally:
        down(place)


def inner(racks, source, destination):
    return f"IP {racks.address(source)} > {racks.address(destination)}: ICMP echo request"


def outer(source, destination):
    return f"IP {NODES[source]} > {NODES[destination]}: "


def test_cross_subnet_tunnels_between_racks_only(racks, tmp_path):
    racks.set_mode("CrossSubnet")
    racks.agrees()
    assert outer(A, C) + inner(racks, A, C) in racks.wire(tmp_path, A, C)


def test_cross_subnet_sends_plainly_within_a_rack(racks, tmp_path):
    racks.set_mode("CrossSubnet")
    within = racks.wire(tmp_path, A, B)
    assert inner(racks, A, B) in within
    assert outer(A, B) not in within


def test_always_tunnels_within_a_rack_too(racks, tmp_path):
    racks.set_mode("Always")
    racks.agrees()
    assert outer(A, B) + inner(racks, A, B) in racks.wire(tmp_path, A, B)
    assert outer(A, C) + inner(racks, A, C) in racks.wire(tmp_path, A, C)


def test_never_tunnels_nothing(racks):
    racks.set_mode("Never")
    assert racks.device("right-1", A) == "eth0"
