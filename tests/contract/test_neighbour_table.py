"""The permanent neighbours and their reconciler, on the fake and on a real kernel."""

import json
from contextlib import closing

import pytest

from calico.core.intent.interfaces import NeighbourKey
from calico.kernel.fake import FakeNeighbourTable
from calico.kernel.links import Links, Peer
from calico.kernel.neighbours import KernelNeighbourTable
from calico.kernel.routes import INTERFACE_NOT_UP
from calico.kernel.run import run
from calico.reconcile.neighbours import NeighbourReconciler

A, B, C = (NeighbourKey("cali1", f"10.65.0.{n}") for n in (1, 2, 3))
MAC, OTHER_MAC = "02:00:00:00:00:01", "02:00:00:00:00:02"


class FakeWorld:
    def __init__(self):
        self.table = FakeNeighbourTable()

    def create(self, name):
        self.table.up.add(name)

    set_up = create

    def set_down(self, name):
        self.table.set_down(name)

    def write(self, key, mac):
        self.table.entries[key] = mac

    def entries(self):
        return dict(self.table.entries)


class RealWorld:
    def __init__(self):
        self.table = KernelNeighbourTable()
        self.links = Links()

    def close(self):
        self.table.close()
        self.links.close()

    def create(self, name):
        self.links.create_veth(name, Peer(f"p{name}"), up=True)

    def set_up(self, name):
        self.links.set_up(name)

    def set_down(self, name):
        self.links.set_up(name, "down")

    def write(self, key, mac):
        run(["ip", "neigh", "replace", key.address, "lladdr", mac, "dev", key.interface])

    def entries(self):
        shown = json.loads(run(["ip", "-4", "-j", "neigh", "show"]))
        return {NeighbourKey(one["dev"], one["dst"]): one["lladdr"] for one in shown}


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.netns)])
def world(request):
    if request.param == "fake":
        yield FakeWorld()
        return
    request.getfixturevalue("netns")
    with closing(RealWorld()) as real:
        yield real


@pytest.fixture
def reconciler(world):
    return NeighbourReconciler(world.table)


def test_what_is_written_reads_back(world):
    world.create("cali1")
    assert world.table.apply({A: MAC, B: MAC}) == {}
    assert world.table.apply({A: OTHER_MAC, B: None, C: None}) == {}
    assert world.table.read_back() == world.entries() == {A: OTHER_MAC}


def test_sweeps_leftovers_and_repairs_drift(world, reconciler):
    world.create("cali1")
    world.write(C, MAC)
    reconciler.update({A: MAC, B: MAC})
    assert reconciler.apply().applied == 3
    assert world.entries() == {A: MAC, B: MAC}
    world.write(A, OTHER_MAC)
    assert reconciler.apply().applied == 0
    reconciler.queue_resync()
    assert reconciler.apply().applied == 1
    assert world.entries() == {A: MAC, B: MAC}
    reconciler.update({A: None})
    assert reconciler.apply().applied == 1
    assert world.entries() == {B: MAC}


def test_an_entry_waits_for_its_interface(world, reconciler):
    reconciler.update({A: MAC})
    outcome = reconciler.apply()
    assert (outcome.failures, outcome.held) == ({}, {A: INTERFACE_NOT_UP})
    world.create("cali1")
    reconciler.set_links({"cali1": 1})
    assert reconciler.apply().held == {}
    for life in (2, 3):
        world.set_down("cali1")
        if life == 2:
            reconciler.set_links({"cali1": 0})
            assert set(reconciler.apply().held) == {A}
        world.set_up("cali1")
        reconciler.set_links({"cali1": life})
        assert reconciler.apply().applied == 1
        assert world.entries() == {A: MAC}
    assert reconciler.apply().applied == 0


def test_a_refusal_stands_until_a_resync():
    table = FakeNeighbourTable()
    table.up.add("cali1")
    table.refused.add(A)
    reconciler = NeighbourReconciler(table)
    reconciler.update({A: MAC, B: MAC})
    assert reconciler.apply().failures == {A: "refused"}
    table.refused.clear()
    assert reconciler.apply().failures == {A: "refused"}
    reconciler.queue_resync()
    assert reconciler.apply().failures == {}
    assert table.entries == {A: MAC, B: MAC}


@pytest.mark.netns
def test_only_permanent_entries_of_workload_interfaces_are_ours(netns):
    with closing(RealWorld()) as world:
        world.create("cali1")
        world.create("eth0")
        world.write(NeighbourKey("eth0", "10.0.0.1"), MAC)
        add = ["ip", "neigh", "add", "10.0.0.2", "lladdr", MAC, "dev", "cali1"]
        run([*add, "nud", "stale"])
        world.write(A, MAC)
        assert world.table.read_back() == {A: MAC}
