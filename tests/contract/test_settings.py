"""Settings and their reconciler, on the fake and on a real /proc/sys."""

import pytest

from calico.core.intent.interfaces import Setting
from calico.kernel.fake import FakeSettings
from calico.kernel.links import Links, Peer
from calico.kernel.netlink import KernelError
from calico.kernel.sysctl import KernelSettings
from calico.reconcile.sysctls import NODE, SysctlReconciler

PROXY_ARP = "net/ipv4/conf/cali1/proxy_arp"
FORWARDING = "net/ipv4/conf/cali1/forwarding"
ODD = "net/ipv4/conf/cali1/no_such_setting"
NODE_WIDE = "net/ipv4/ip_nonlocal_bind"


class FakeWorld:
    def __init__(self):
        self.table = FakeSettings({NODE_WIDE: "0"})

    def create(self):
        self.table.values |= {PROXY_ARP: "0", FORWARDING: "0"}

    def delete(self):
        for name in (PROXY_ARP, FORWARDING):
            del self.table.values[name]

    def set(self, name, value):
        self.table.values[name] = value


class RealWorld:
    def __init__(self):
        self.table = KernelSettings()

    def create(self):
        with Links() as links:
            links.create_veth("cali1", Peer("p1"), up=True)

    def delete(self):
        with Links() as links:
            links.delete("cali1")

    def set(self, name, value):
        self.table.write(name, value)


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.netns)])
def world(request):
    if request.param == "fake":
        return FakeWorld()
    request.getfixturevalue("netns")
    return RealWorld()


@pytest.fixture
def reconciler(world):
    return SysctlReconciler(world.table)


def test_reads_what_was_written(world):
    world.table.write(NODE_WIDE, "1")
    assert world.table.read(NODE_WIDE) == "1"
    for refused in (lambda: world.table.read(ODD), lambda: world.table.write(ODD, "1")):
        with pytest.raises(KernelError, match="No such file"):
            refused()


def test_writes_what_differs_once(world, reconciler):
    world.create()
    reconciler.update({NODE: (Setting(NODE_WIDE, "1"),), "cali1": (Setting(PROXY_ARP, "1"),)})
    assert reconciler.apply().applied == 2
    assert reconciler.apply().applied == 0
    world.set(PROXY_ARP, "0")
    assert reconciler.apply().applied == 0
    reconciler.queue_resync()
    assert reconciler.apply().applied == 1
    assert (world.table.read(PROXY_ARP), world.table.read(NODE_WIDE)) == ("1", "1")


def test_every_life_of_an_interface_gets_its_settings(world, reconciler):
    reconciler.update({"cali1": (Setting(PROXY_ARP, "1"), Setting(FORWARDING, "1"))})
    assert set(reconciler.apply().held) == {"cali1"}
    for life in (1, 2):
        world.create()
        reconciler.set_links({"cali1": life})
        outcome = reconciler.apply()
        assert (outcome.held, outcome.failures) == ({}, {})
        assert world.table.read(PROXY_ARP) == "1"
        world.delete()
        reconciler.set_links({"cali1": 0})
        assert set(reconciler.apply().held) == {"cali1"}
    reconciler.update({"cali1": None})
    assert reconciler.apply().held == {}


def test_an_interface_that_is_down_is_left_alone(world, reconciler):
    world.create()
    reconciler.update({"cali1": (Setting(PROXY_ARP, "1"),)})
    reconciler.set_links({"cali1": 1})
    reconciler.set_links({"cali1": 0})
    assert set(reconciler.apply().held) == {"cali1"}
    assert world.table.read(PROXY_ARP) == "0"
    reconciler.set_links({"cali1": 2})
    assert reconciler.apply().applied == 1


def test_what_is_not_required_may_be_missing(world, reconciler):
    world.create()
    settings = (Setting(ODD, "1", is_required=False), Setting(PROXY_ARP, "1"))
    reconciler.update({"cali1": settings})
    outcome = reconciler.apply()
    assert (outcome.applied, outcome.failures, outcome.held) == (1, {}, {})


def test_a_refusal_stands_until_a_resync(world, reconciler):
    world.create()
    bad = Setting("net/ipv4/conf/cali1/mc_forwarding", "1")  # read-only, to everybody
    if isinstance(world, FakeWorld):
        world.table.values[bad.name] = "0"
        world.table.refused.add(bad.name)
    reconciler.update({"cali1": (bad, Setting(PROXY_ARP, "1"))})
    outcome = reconciler.apply()
    assert set(outcome.failures) == {"cali1"}
    assert outcome.applied == 1, "the others are written all the same"
    assert set(reconciler.apply().failures) == {"cali1"}
    reconciler.update({"cali1": (Setting(PROXY_ARP, "1"),)})
    assert reconciler.apply().failures == {}
