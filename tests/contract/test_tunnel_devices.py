"""Tunnel devices and their reconciler, on the fake and on a real kernel."""

import json
from contextlib import closing

import pytest
from msgspec.structs import replace

from calico.core.intent.devices import Device
from calico.kernel.addresses import Addresses
from calico.kernel.fake import FakeTunnels
from calico.kernel.features import probe
from calico.kernel.links import Links
from calico.kernel.run import run
from calico.kernel.tunnels import KernelTunnels
from calico.reconcile.tunnels import LINGER_SECONDS, TunnelReconciler

FOUR = Device("vxlan", 1450, "10.65.0.1/32", "192.0.2.1", "br0", "66:00:00:00:00:01", 4096, 4789)
SIX = Device("vxlan", 1430, "fd65::1/128", "2001:db8::1", "br0", "66:00:00:00:00:02", 4096, 4789)
NAMES = {"vxlan.calico": FOUR, "vxlan-v6.calico": SIX}


class FakeWorld:
    def __init__(self):
        self.table = FakeTunnels()

    def close(self):
        pass

    def index(self, name):
        """Another number for each time it was made."""
        return self.table.made.count(name)

    def spoil(self):
        self.table.devices["vxlan.calico"] = replace(FOUR, address="10.9.9.9/32", mtu_bytes=1400)

    def make_another(self):
        self.table.devices["vxlan.calico"] = replace(FOUR, vni=7)


class RealWorld:
    def __init__(self):
        self.table = KernelTunnels()
        with closing(Links()) as links, closing(Addresses()) as addresses:
            links.create_bridge("br0")
            links.set_up("br0")
            for address in ("192.0.2.1/24", "2001:db8::1/64"):
                addresses.add(links.get("br0").index, address)

    def close(self):
        self.table.close()

    def index(self, name):
        return json.loads(run(["ip", "-j", "link", "show", name]))[0]["ifindex"]

    def spoil(self):
        run(["ip", "link", "set", "vxlan.calico", "mtu", "1400"])
        run(["ip", "address", "add", "10.9.9.9/32", "dev", "vxlan.calico"])
        run(["ip", "address", "del", "10.65.0.1/32", "dev", "vxlan.calico"])

    def make_another(self):
        make = ("type", "vxlan", "id", "7", "dstport", "4789", "local", "192.0.2.1", "dev", "br0")
        run(["ip", "link", "add", "vxlan.calico", *make])


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.netns)])
def world(request):
    if request.param == "real":
        request.getfixturevalue("netns")
    with closing(FakeWorld() if request.param == "fake" else RealWorld()) as world:
        yield world


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


def test_makes_devices_and_then_leaves_them_alone(world):
    reconciler = TunnelReconciler(world.table, Clock())
    reconciler.update(NAMES)
    assert reconciler.apply().applied == 2
    assert world.table.read_back() == NAMES
    indices = [world.index(name) for name in NAMES]
    for again in (reconciler, TunnelReconciler(world.table, Clock())):
        again.update(NAMES)
        assert again.apply().applied == 0
    assert [world.index(name) for name in NAMES] == indices


def test_repairs_drift_without_making_the_device_anew(world):
    reconciler = TunnelReconciler(world.table, Clock())
    reconciler.update({"vxlan.calico": FOUR})
    reconciler.apply()
    index = world.index("vxlan.calico")
    world.spoil()
    assert world.table.read_back() != {"vxlan.calico": FOUR}
    assert reconciler.apply().applied == 0, "drift is looked for when there is doubt"
    reconciler.queue_resync()
    assert reconciler.apply().applied == 1
    assert world.table.read_back() == {"vxlan.calico": FOUR}
    assert world.index("vxlan.calico") == index


def test_an_address_can_come_later_and_change(world):
    reconciler = TunnelReconciler(world.table, Clock())
    for address in ("", "10.65.0.1/32", "10.65.0.7/32", ""):
        reconciler.update({"vxlan.calico": replace(FOUR, address=address)})
        reconciler.apply()
        assert world.table.read_back()["vxlan.calico"].address == address


def test_makes_anew_what_is_of_another_make(world):
    world.make_another()
    reconciler = TunnelReconciler(world.table, Clock())
    reconciler.update({"vxlan.calico": FOUR})
    assert reconciler.apply().failures == {}
    assert world.table.read_back() == {"vxlan.calico": FOUR}


def test_a_device_lingers_and_goes_also_if_it_is_a_leftover(world):
    world.table.create("vxlan.calico", FOUR)
    clock = Clock()
    reconciler = TunnelReconciler(world.table, clock)
    reconciler.apply()
    reconciler.retire()
    assert world.table.read_back() == {"vxlan.calico": FOUR}, "others may still send"
    clock.now += LINGER_SECONDS
    assert reconciler.retire().applied == 1
    assert world.table.read_back() == {}
    assert reconciler.retire().applied == 0


def test_a_device_that_is_wanted_again_stays(world):
    clock = Clock()
    reconciler = TunnelReconciler(world.table, clock)
    for wanted in (FOUR, None, FOUR):
        reconciler.update({"vxlan.calico": wanted})
        reconciler.apply()
    clock.now += LINGER_SECONDS
    assert reconciler.retire().applied == 0
    assert world.table.read_back() == {"vxlan.calico": FOUR}


def test_one_that_cannot_be_made_holds_up_no_other():
    table = FakeTunnels()
    table.refused.add("tunl0")
    reconciler = TunnelReconciler(table, Clock())
    reconciler.update({"tunl0": Device("ipip", 1480, "10.65.0.9/32"), "vxlan.calico": FOUR})
    outcome = reconciler.apply()
    assert set(outcome.failures) == {"tunl0"}
    assert table.devices == {"vxlan.calico": FOUR}
    table.refused.clear()
    assert set(reconciler.apply().failures) == {"tunl0"}, "until it is looked at again"
    reconciler.queue_resync()
    assert reconciler.apply().failures == {}


@pytest.mark.netns
def test_the_ipip_device_is_the_kernels(netns):
    if "ipip" not in probe().link_kinds:
        pytest.skip("this kernel has no ipip")
    table, clock = KernelTunnels(), Clock()
    with closing(table):
        reconciler = TunnelReconciler(table, clock)
        wanted = Device("ipip", 1480, "10.65.0.9/32")
        reconciler.update({"tunl0": wanted})
        assert reconciler.apply().failures == {}
        assert table.read_back() == {"tunl0": wanted}
        reconciler.update({"tunl0": None})
        reconciler.apply()
        clock.now += LINGER_SECONDS
        reconciler.retire()
        assert table.read_back() == {}
        assert "tunl0" in run(["ip", "link"]), "emptied, not deleted"
