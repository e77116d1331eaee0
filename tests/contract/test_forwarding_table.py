"""Forwarding entries and IPv6 neighbours of VXLAN devices: one reconciler keeps both."""

import json
from contextlib import closing

import pytest

from calico.core.intent.interfaces import NeighbourKey
from calico.kernel.fake import FakeNeighbourTable
from calico.kernel.forwarding import KernelForwardingTable
from calico.kernel.links import Links, Vxlan
from calico.kernel.neighbours import KernelNeighbourTable
from calico.kernel.routes import INTERFACE_NOT_UP
from calico.kernel.run import run
from calico.reconcile.neighbours import NeighbourReconciler

DEVICE = "vxlan.calico"
A, B = (NeighbourKey(DEVICE, f"66:00:00:00:00:0{n}") for n in (1, 2))


def make_device():
    with closing(Links()) as links:
        links.create_vxlan(DEVICE, Vxlan(4096, 4789, "192.0.2.1", mac="66:00:00:00:00:09"))
        links.set_up(DEVICE)


def shown():
    """The entries with a destination, as `bridge` tells them."""
    listed = json.loads(run(["bridge", "-j", "fdb", "show", "dev", DEVICE]))
    return {entry["mac"]: entry["dst"] for entry in listed if entry["mac"] != "00:00:00:00:00:00"}


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.netns)])
def table(request):
    if request.param == "fake":
        table = FakeNeighbourTable()
        table.up.add(DEVICE)
        yield table
        return
    request.getfixturevalue("netns")
    make_device()
    with closing(KernelForwardingTable((DEVICE,))) as table:
        yield table


def test_writes_what_differs_and_nothing_else(table):
    reconciler = NeighbourReconciler(table)
    reconciler.update({A: "192.0.2.7", B: "192.0.2.8"})
    assert reconciler.apply().applied == 2
    assert table.read_back() == {A: "192.0.2.7", B: "192.0.2.8"}
    reconciler.update({A: "192.0.2.9", B: None})
    assert reconciler.apply().applied == 2
    assert table.read_back() == {A: "192.0.2.9"}
    reconciler.queue_resync()
    assert reconciler.apply().applied == 0


def test_sweeps_leftovers_of_a_previous_life(table):
    table.apply({A: "192.0.2.7"})
    reconciler = NeighbourReconciler(table)
    reconciler.update({B: "192.0.2.8"})
    assert reconciler.apply().failures == {}
    assert table.read_back() == {B: "192.0.2.8"}


def test_waits_for_its_device(table):
    missing = NeighbourKey("vxlan-v6.calico", A.address)
    reconciler = NeighbourReconciler(table)
    reconciler.update({missing: "2001:db8::7", A: "192.0.2.7"})
    outcome = reconciler.apply()
    assert (outcome.failures, outcome.held) == ({}, {missing: INTERFACE_NOT_UP})
    assert table.read_back() == {A: "192.0.2.7"}


@pytest.mark.netns
def test_bridge_sees_the_same(netns):
    make_device()
    with closing(KernelForwardingTable((DEVICE,))) as table:
        assert table.apply({A: "192.0.2.7", B: "192.0.2.8"}) == {}
        assert shown() == {A.address: "192.0.2.7", B.address: "192.0.2.8"}
        run(["bridge", "fdb", "del", A.address, "dev", DEVICE])
        assert table.read_back() == {B: "192.0.2.8"}
        assert table.apply({A: None}) == {}, "absent is fine"


@pytest.mark.netns
def test_ipv6_neighbours_of_a_tunnel(netns):
    make_device()
    key = NeighbourKey(DEVICE, "fd65::7")
    with closing(KernelNeighbourTable((DEVICE,), "ipv6")) as table:
        assert table.apply({key: A.address}) == {}
        assert table.read_back() == {key: A.address}
        listed = json.loads(run(["ip", "-6", "-j", "neigh", "show", "dev", DEVICE]))
        assert ("fd65::7", A.address, ["PERMANENT"]) in [
            (one["dst"], one.get("lladdr"), one["state"]) for one in listed
        ]
        assert table.apply({key: None}) == {}
        assert table.read_back() == {}
