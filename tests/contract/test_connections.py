"""Forgetting connections, on the fake and on a real kernel, with `conntrack` as the oracle."""

import re
import socket
from contextlib import closing

import pytest

from calico.kernel.conntrack import Connection, KernelConnections
from calico.kernel.fake import FakeConnections
from calico.kernel.run import run
from calico.reconcile.connections import Connections


def other(address):
    return "2001:db8::9" if ":" in address else "198.51.100.9"


def conntrack(arguments):
    return run(["conntrack", *arguments.split()])


class FakeWorld:
    def __init__(self):
        self.table = FakeConnections()

    def add(self, source, reply_source):
        self.table.connections.append((source, reply_source))

    def all(self):
        return sorted(self.table.connections)


class RealWorld:
    def __init__(self):
        self.table = KernelConnections()
        self.port = 1000

    def close(self):
        self.table.close()

    def add(self, source, reply_source):
        self.port += 1
        ends = f"--orig-src {source} --orig-dst {other(source)}"
        replies = f"--reply-src {reply_source} --reply-dst {source}"
        ports = f"--sport {self.port} --dport 53"
        back = f"--reply-port-src 53 --reply-port-dst {self.port}"
        conntrack(f"-I -t 600 -p udp {ends} {ports} {replies} {back}")

    def all(self):
        text = "".join(conntrack(f"-L -f {family}") for family in ("ipv4", "ipv6"))
        pairs = (re.findall(r"src=(\S+)", line) for line in text.splitlines())
        return sorted((pair[0], pair[1]) for pair in pairs)


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.netns)])
def world(request):
    if request.param == "fake":
        yield FakeWorld()
        return
    request.getfixturevalue("netns")
    with closing(RealWorld()) as real:
        yield real


@pytest.mark.parametrize("many", [False, True])
@pytest.mark.parametrize("address", ["10.65.0.{}", "fd00::{}"])
def test_forgets_an_address_and_no_other(world, address, many):
    one, two, three = (address.format(n) for n in (1, 2, 3))
    far = other(one)
    for source, reply_source in ((one, far), (one, far), (two, one), (two, far), (three, two)):
        world.add(source, reply_source)
    addresses = [one, *(address.format(100 + n) for n in range(20 if many else 1))]
    assert world.table.delete(addresses) == 3
    assert world.all() == sorted([(two, far), (three, two)])
    assert world.table.delete(addresses) == 0
    assert world.table.delete([]) == 0


def test_the_families_are_told_apart(world):
    world.add("10.65.0.1", other("10.65.0.1"))
    world.add("fd00::1", other("fd00::1"))
    assert world.table.delete(["fd00::1"]) == 1
    assert world.all() == [("10.65.0.1", other("10.65.0.1"))]


@pytest.mark.netns
def test_lists_what_the_tool_lists(netns):
    with closing(RealWorld()) as world:
        world.add("10.65.0.1", "10.65.0.7")
        ping = "--icmp-type 8 --icmp-code 0 --icmp-id 5"
        conntrack(f"-I -p icmp -s 10.65.0.2 -d 10.65.0.3 -t 600 {ping}")
        assert sorted(world.table.list(), key=lambda found: -found.protocol) == [
            Connection(17, "10.65.0.1", "198.51.100.9", 1001, 53, "10.65.0.7"),
            Connection(1, "10.65.0.2", "10.65.0.3", 0, 0, "10.65.0.3"),
        ]
        assert world.table.list(socket.AF_INET6) == []


@pytest.mark.netns
def test_zones_are_no_hiding_place(netns):
    with closing(KernelConnections()) as table:
        for zone in ("1", "2"):
            ports = "--sport 1 --dport 2"
            conntrack(f"-I -p udp -s 10.65.0.1 -d 10.65.0.3 -t 600 {ports} --zone {zone}")
        assert table.delete(["10.65.0.1"]) == 2
        assert table.list() == []


def test_three_attempts(caplog):
    table = FakeConnections()
    table.connections = [("10.65.0.1", "10.65.0.2")]
    table.refusals = 2
    Connections(table).forget(["10.65.0.1"])
    assert table.connections == []
    assert caplog.records == []
    table.refusals = 3
    Connections(table).forget(["10.65.0.1"])
    assert [record.message for record in caplog.records] == ["connections not forgotten"]
