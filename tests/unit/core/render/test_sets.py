import pytest

from calico.core.intent.delta import IntentDelta
from calico.core.intent.ip_sets import IpSet
from calico.core.intent.nat import Pool
from calico.core.nftables.vocabulary import Set, TableDelta
from calico.core.render.sets import SetMembers, element, fixed_sets, pool_elements
from calico.core.render.tables import Ledger

NAME, NET_NAME = "cali40s-1", "cali40s-1-net"
HASH, TREE = Set(("saddr",)), Set(("saddr",), intervals=True)


@pytest.mark.parametrize(
    ("member", "expected"),
    [
        ("10.0.0.1", ("ip", ("10.0.0.1",))),
        ("10.0.0.0/8", ("ip", ("10.0.0.0/8",))),
        ("fd00::1", ("ip6", ("fd00::1",))),
        ("10.0.0.1,tcp:80", ("ip", ("10.0.0.1", 6, 80))),
        ("fd00::1,udp:53", ("ip6", ("fd00::1", 17, 53))),
        ("fd00::1,sctp:7", ("ip6", ("fd00::1", 132, 7))),
    ],
)
def test_element(member, expected):
    assert element(member) == expected


def test_pools():
    pools = [
        Pool("10.0.0.0/8", nat_outgoing=True),
        Pool("10.1.0.0/16"),
        Pool("10.2.0.0/16", nat_outgoing=True),
        Pool("192.168.0.0/16", workloads=False),
        Pool("fd00::/8", nat_outgoing=True),
    ]
    held = {pool.cidr: pool for pool in pools}
    assert pool_elements(held, "ip") == {
        ("cali40masq-ipam-pools", ("10.0.0.0/8",)),
        ("cali40network-ip-pools", ("10.0.0.0/8",)),
    }
    del held["10.0.0.0/8"]
    assert pool_elements(held, "ip") == {
        ("cali40masq-ipam-pools", ("10.2.0.0/16",)),
        ("cali40network-ip-pools", ("10.1.0.0/16",)),
        ("cali40network-ip-pools", ("10.2.0.0/16",)),
    }
    assert pool_elements(held, "ip6") == {
        ("cali60masq-ipam-pools", ("fd00::/8",)),
        ("cali60network-ip-pools", ("fd00::/8",)),
    }


def test_fixed_sets():
    assert fixed_sets("arp") == {"filter-cali-arp-dispatch": Set(("oifname",), verdicts=True)}
    assert set(fixed_sets("ip6")) == {
        "filter-cali-from-wl-dispatch",
        "filter-cali-to-wl-dispatch",
        "cali60masq-ipam-pools",
        "cali60network-ip-pools",
    }


@pytest.fixture
def ledger():
    return Ledger()


@pytest.fixture
def sets(ledger):
    return SetMembers({"ip": ledger})


def having(kind, *members):
    return IntentDelta(ip_sets={"s:1": IpSet(kind, frozenset(members))})


GONE = IntentDelta(ip_sets={"s:1": None})


def test_a_set_comes_changes_and_goes(ledger, sets):
    assert sets.feed(having("address", "10.0.0.1", "fd00::1")) == {"s:1"}
    assert ledger.flush() == TableDelta({}, {NAME: HASH}, {(NAME, ("10.0.0.1",)): True})
    members = {("s:1", "10.0.0.2"): True, ("s:1", "10.0.0.1"): None, ("s:none", "10.0.0.3"): True}
    assert sets.feed(IntentDelta(members=members)) == set()
    changes = {(NAME, ("10.0.0.2",)): True, (NAME, ("10.0.0.1",)): None}
    assert ledger.flush() == TableDelta({}, {}, changes)
    assert sets.feed(GONE) == {"s:1"}
    assert ledger.flush() == TableDelta({}, {NAME: None}, {})
    assert sets.kinds == {}


def test_a_member_that_is_there_already(ledger, sets):
    sets.feed(having("address", "10.0.0.1"))
    ledger.flush()
    sets.feed(IntentDelta(members={("s:1", "10.0.0.1"): True, ("s:1", "10.0.0.9"): None}))
    assert ledger.flush() is None


def test_a_set_changes_kind(ledger, sets):
    sets.feed(having("address", "10.0.0.1"))
    ledger.flush()
    assert sets.feed(having("net", "10.0.0.0/8")) == {"s:1"}
    elements = {(NET_NAME, ("10.0.0.0/8",)): True}
    assert ledger.flush() == TableDelta({}, {NAME: None, NET_NAME: TREE}, elements)


def test_a_set_that_is_told_again(ledger, sets):
    sets.feed(having("address", "10.0.0.1", "10.0.0.2"))
    ledger.flush()
    assert sets.feed(having("address", "10.0.0.2", "10.0.0.3")) == set()
    changes = {(NAME, ("10.0.0.1",)): None, (NAME, ("10.0.0.3",)): True}
    assert ledger.flush() == TableDelta({}, {}, changes)


def test_a_set_that_goes_and_comes_back_before_the_flush(ledger, sets):
    sets.feed(having("address", "10.0.0.1", "10.0.0.2"))
    ledger.flush()
    sets.feed(GONE)
    sets.feed(having("address", "10.0.0.2"))
    delta = ledger.flush()
    assert delta.sets == {}
    assert delta.elements == {(NAME, ("10.0.0.1",)): None, (NAME, ("10.0.0.2",)): True}
