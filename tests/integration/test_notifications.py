"""What the kernel tells, and what its filters keep from us."""

import os
import socket
import threading
from contextlib import closing

import pytest

from calico.core.intent.keys import RouteKey
from calico.core.intent.routes import Replace, Route
from calico.kernel.addresses import Addresses
from calico.kernel.links import Link, Links, Peer
from calico.kernel.netlink import NETLINK_NETFILTER, NetlinkSocket
from calico.kernel.notifications import (
    AddressChanged,
    Distrusted,
    KnownLinks,
    LinkChanged,
    Notifications,
    RouteChanged,
)
from calico.kernel.routes import KernelRouteTable
from calico.kernel.run import run

SECONDS = 10.0


class Collected:
    """All that was told: the latest by key, and every value in turn."""

    def __init__(self):
        self.latest, self.history = {}, []
        self.arrived = threading.Condition()

    def put(self, updates):
        with self.arrived:
            self.latest.update(updates)
            self.history.append(dict(updates))
            self.arrived.notify()

    def wait_until(self, is_so):
        with self.arrived:
            assert self.arrived.wait_for(lambda: is_so(self.latest), SECONDS), self.latest

    def values(self, key):
        with self.arrived:
            return [updates[key] for updates in self.history if key in updates]


@pytest.fixture
def collected():
    return Collected()


@pytest.fixture
def own(netns):
    with closing(KernelRouteTable("ipv4")) as table:
        yield table


@pytest.fixture
def listening(own, collected):
    notifications = Notifications(collected.put, own_ports=[own.port_id, 77])
    notifications.start()
    yield notifications
    notifications.stop()


@pytest.fixture
def links(netns):
    with Links() as opened:
        yield opened


def flush(collected, links):
    """Wait until everything that happened before has been told."""
    name = f"mark{len(links.list())}"
    links.create_bridge(name)
    collected.wait_until(lambda latest: LinkChanged(name) in latest)


def link(name, index, *, up=True):
    return Link(index=index, name=name, is_up=up)


def test_each_rise_is_a_new_life():
    known = KnownLinks()
    key = LinkChanged("cali1")
    first = known.set(link("cali1", 5))[key]
    assert first.life > 0
    assert known.set(link("cali1", 5)) == {}, "nothing new"
    assert known.set(link("cali1", 5, up=False))[key].life == 0
    second = known.set(link("cali1", 5))[key]
    assert second.life not in {0, first.life}
    third = known.set(link("cali1", 6))[key]
    assert third.life not in {0, first.life, second.life}, "another interface of that name"
    assert known.remove(5) == {}, "its predecessor is mourned late"
    assert known.remove(6) == {key: None}
    assert known.remove(6) == {}
    assert (known.names, known.states) == ({}, {})


def test_a_new_name_is_a_new_interface():
    known = KnownLinks()
    known.set(link("veth1", 5))
    updates = known.set(link("cali1", 5))
    assert updates.pop(LinkChanged("veth1")) is None
    assert updates.pop(LinkChanged("cali1")).life > 0
    assert updates == {}


def test_after_a_loss_every_life_is_a_new_one():
    known = KnownLinks()
    before = known.set(link("cali1", 5))[LinkChanged("cali1")]
    known.set(link("cali2", 6))
    updates = known.replace({"cali1": link("cali1", 5)})
    assert updates[LinkChanged("cali2")] is None
    assert updates[LinkChanged("cali1")].life not in {0, before.life}


@pytest.mark.netns
def test_tells_of_links_from_the_first_to_the_last(links, collected, listening):
    collected.wait_until(lambda latest: LinkChanged("lo") in latest)
    links.create_veth("cali1", Peer("p1"), up=True)
    key = LinkChanged("cali1")
    collected.wait_until(lambda latest: key in latest and latest[key].life)
    state = collected.latest[key]
    assert state.link.mac == links.get("cali1").mac
    links.set_up("cali1", "down")
    links.set_up("cali1")
    collected.wait_until(lambda latest: latest[key].life not in {0, state.life})
    links.delete("cali1")
    collected.wait_until(lambda latest: latest[key] is None)


@pytest.mark.netns
def test_a_port_that_leaves_its_bridge_is_still_there(links, collected, listening):
    links.create_veth("cali1", Peer("p1"), up=True)
    links.create_bridge("br0")
    links.change("cali1", master=links.get("br0").index)
    links.change("cali1", master=0)
    flush(collected, links)
    states = collected.values(LinkChanged("cali1"))
    assert None not in states
    assert len({state.life for state in states if state.life}) == 1


@pytest.mark.netns
def test_tells_of_addresses(links, collected, listening):
    with Addresses() as addresses:
        addresses.add(1, "192.0.2.1/32")
        key = AddressChanged(1, "192.0.2.1/32")
        collected.wait_until(lambda latest: latest.get(key))
        addresses.delete(1, "192.0.2.1/32")
        collected.wait_until(lambda latest: latest[key] is None)


@pytest.mark.netns
def test_tells_of_routes_that_others_make(links, collected, listening):
    links.create_veth("cali1", Peer("p1"), up=True)
    run(["ip", "route", "add", "10.65.0.1/32", "dev", "cali1", "metric", "9"])
    key = RouteChanged(RouteKey("10.65.0.1/32", 9))
    collected.wait_until(lambda latest: latest.get(key))
    assert collected.latest[key] == Route(
        "10.65.0.1/32", "cali1", scope="link", protocol=3, metric=9
    )
    run(["ip", "route", "del", "10.65.0.1/32", "metric", "9"])
    collected.wait_until(lambda latest: latest[key] is None)
    run(["ip", "route", "add", "blackhole", "10.66.0.0/26", "proto", "static"])
    foreign = RouteChanged(RouteKey("10.66.0.0/26"))
    collected.wait_until(lambda latest: foreign in latest)
    assert collected.latest[foreign] is None, "not ours"


@pytest.mark.netns
def test_keeps_quiet_about_bird_the_kernel_and_ourselves(own, links, collected, listening):
    links.create_bridge("br0")
    run(["ip", "route", "add", "blackhole", "10.1.0.0/24", "proto", "bird"])
    own.apply([Replace(Route("10.2.0.0/24", kind="blackhole", protocol=80))])
    run(["ip", "route", "add", "blackhole", "10.3.0.0/24", "table", "99"])
    run(["ip", "address", "add", "10.4.0.1/24", "dev", "br0"])
    links.set_up("br0")
    flush(collected, links)
    assert [key for key in collected.latest if isinstance(key, RouteChanged)] == []


@pytest.mark.netns
def test_tells_of_rules_that_others_change(links, collected, listening):
    flush(collected, links)
    assert Distrusted("nftables") not in collected.latest
    run(["nft", "add table ip x; add chain ip x y; add rule ip x y accept"])
    collected.wait_until(lambda latest: Distrusted("nftables") in latest)
    run(["nft", "list ruleset"])
    run(["nft", "flush ruleset"])
    flush(collected, links)
    assert len(collected.values(Distrusted("nftables"))) in {1, 2}, "once a transaction, or both"


@pytest.mark.netns
def test_keeps_quiet_about_our_own_rules(netns, collected, links):
    with NetlinkSocket(NETLINK_NETFILTER) as ours:
        notifications = Notifications(collected.put, own_ports=[ours.port_id])
        notifications.start()
        begin, end = (0x10, 0, b"\0\0\0\x0a"), (0x11, 0, b"\0\0\0\x0a")
        new_table = (0x0A00, 0x400, b"\x02\0\0\0" + b"\x06\0\x01\0" + b"t\0\0\0")
        ours.transaction("add a table", begin, [new_table], end)
        flush(collected, links)
        notifications.stop()
    assert "table ip t" in run(["nft", "list tables"])
    assert Distrusted("nftables") not in collected.latest


@pytest.mark.netns
def test_what_was_lost_is_read_again(netns, links, collected, tmp_path):
    notifications = Notifications(collected.put)
    with socket.socket(fileno=os.dup(notifications._route.fileno())) as same:
        same.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    commands = tmp_path / "routes"
    lines = (f"route add blackhole 10.0.{n}.0/24 proto 9\n" for n in range(200))
    commands.write_text("".join(lines))
    run(["ip", "-batch", str(commands)])
    notifications.start()
    collected.wait_until(lambda latest: Distrusted("routes") in latest)
    flush(collected, links)
    notifications.stop()
