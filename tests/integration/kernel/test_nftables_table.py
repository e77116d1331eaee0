"""Our table among others, and in the hands of others, in a real kernel."""

import json

import pytest

from calico.core.nftables.changes import AddChain, AddElements, AddSet, SetRules, Subject
from calico.core.nftables.vocabulary import (
    Chain,
    Counter,
    Hook,
    InSet,
    Is,
    Masquerade,
    Rule,
    Set,
    TableDelta,
    Verdict,
)
from calico.kernel.netlink import NETLINK_NETFILTER, NetlinkSocket, attributes
from calico.kernel.nftables import KernelTable
from calico.kernel.nftables_fields import NFNL_SUBSYS_NFTABLES, NFNLGRP_NFTABLES, NFT_MSG_NEWGEN
from calico.kernel.run import run
from calico.reconcile.nftables import NftablesReconciler
from calico.reconcile.nftables_plan import DROP_RULE

pytestmark = pytest.mark.netns

ADDRESSES = Set(("saddr",))
FORWARD = Hook("filter", "forward", 0, "accept")


@pytest.fixture
def table(netns):
    opened = KernelTable("ip", "calico")
    yield opened
    opened.close()


@pytest.fixture
def reconciler(table):
    return NftablesReconciler(table)


def nft(*args, stdin=""):
    return run(["nft", *args], stdin)


def rule(port):
    return Rule((Is("dport", port), Counter()))


def jump(name):
    return Rule((Verdict("jump", name),))


WORLD = TableDelta(
    {
        "filter-FORWARD": Chain((jump("c"),), FORWARD),
        "c": Chain((rule(1), Rule((InSet(("saddr",), "s"),), "members"), rule(3))),
    },
    {"s": ADDRESSES, "n": Set(("saddr",), intervals=True), "m": Set(("iifname",), verdicts=True)},
    {
        ("s", ("10.0.0.1",)): True,
        ("n", ("10.0.0.0/8",)): True,
        ("m", ("cali1",)): Verdict("goto", "c"),
    },
)


def handles(chain):
    rows = json.loads(nft("-j", "list", "chain", "ip", "calico", chain))["nftables"]
    return [row["rule"]["handle"] for row in rows if "rule" in row]


def test_other_tables_are_not_touched(table, reconciler):
    others = "add table ip other\nadd chain ip other c\nadd table ip6 calico\n"
    nft("-f", "-", stdin=others)
    before = nft("list", "ruleset")
    reconciler.update(WORLD)
    assert reconciler.apply().failures == {}
    assert "calico" in nft("list", "tables", "ip")
    reconciler.sweep()
    assert nft("list", "ruleset") == before


def test_a_flushed_ruleset_comes_back(table, reconciler):
    reconciler.update(WORLD)
    reconciler.apply()
    before = table.read_back()
    nft("flush", "ruleset")
    reconciler.queue_resync()
    assert reconciler.apply().failures == {}
    assert table.read_back() == before
    assert reconciler.repairs == 8


@pytest.mark.parametrize(
    "damage",
    [
        "add rule ip calico c tcp flags syn drop",
        "insert rule ip calico c ip saddr 10.0.0.1 ip daddr 10.0.0.2 accept",
        "add rule ip calico c ip daddr vmap { 10.0.0.1 : accept, 10.0.0.2 : continue }",
        "flush chain ip calico c",
        "add chain ip calico more { type filter hook input priority 7; policy drop; }",
        "add set ip calico macs { type ether_addr; }",
        "add set ip calico old { type ipv4_addr; flags timeout; }",
        "add map ip calico ports { type inet_service : ipv4_addr; }",
        "add element ip calico s { 10.0.0.2 }",
        "add element ip calico n { 11.0.0.1-11.0.0.6, 12.0.0.0/7 }",
        "delete element ip calico n { 10.0.0.0/8 }",
        "add element ip calico m { cali2 : accept, cali3 : continue }",
        "delete element ip calico m { cali1 }\nadd element ip calico m { cali1 : drop }",
        "add table ip calico { flags dormant; }",
        "add chain ip calico filter-FORWARD { policy drop; }",
        """flush chain ip calico c
        delete set ip calico s
        add set ip calico s { type ipv4_addr; flags timeout; }
        add rule ip calico c ip daddr @s accept""",
        "flush chain ip calico c\ndelete set ip calico s\nadd set ip calico s { type ifname; }",
        "flush chain ip calico filter-FORWARD\ndelete chain ip calico filter-FORWARD",
        "delete table ip calico",
    ],
)
def test_damage_is_repaired(table, reconciler, damage):
    reconciler.update(WORLD)
    reconciler.apply()
    contents, text = table.read_back(), nft("list", "ruleset")
    nft("-f", "-", stdin=damage + "\n")
    assert nft("list", "ruleset") != text
    reconciler.queue_resync()
    outcome = reconciler.apply()
    assert (outcome.failures, outcome.left) == ({}, 0)
    assert table.read_back() == contents
    assert sorted(nft("list", "ruleset").split()) == sorted(text.split())


def test_an_edit_touches_no_other_rule(table, reconciler):
    reconciler.update(WORLD)
    reconciler.apply()
    before = handles("c")
    reconciler.update(TableDelta({"c": Chain((rule(1), rule(2), rule(9), rule(3)))}))
    assert reconciler.apply().failures == {}
    first, *new, last = handles("c")
    assert [first, last] == [before[0], before[2]]
    assert before[1] not in new
    reconciler.update(TableDelta({"c": Chain((rule(2), rule(9), rule(3)))}))
    assert reconciler.apply().failures == {}
    assert handles("c") == [*new, last]
    reconciler.update(TableDelta({"c": Chain((rule(2), rule(9), rule(3), rule(5), rule(6)))}))
    assert reconciler.apply().failures == {}
    assert handles("c")[:3] == [*new, last]
    *_, five, six = handles("c")
    reconciler.update(TableDelta({"c": Chain((rule(5), rule(6)))}))
    assert reconciler.apply().failures == {}
    assert handles("c") == [five, six]


def test_comments_are_shown(table, reconciler):
    reconciler.update(WORLD)
    reconciler.apply()
    assert 'ip saddr @s comment "members"' in nft("list", "table", "ip", "calico")


def test_what_is_wrong_only_as_a_whole_is_found(table):
    """Masquerading is legal in a chain, but not where this one is reached from."""
    failures = table.apply(
        [
            AddChain("f", FORWARD),
            *(AddChain(name, None) for name in ("bad", "worse", "good")),
            SetRules("f", (), (jump("bad"), jump("worse"), jump("good"))),
            SetRules("bad", (), (Rule((Masquerade(),)),), (DROP_RULE,)),
            SetRules("worse", (), (Rule((Masquerade(),)),), (DROP_RULE,)),
            SetRules("good", (), (rule(1),), (DROP_RULE,)),
        ]
    )
    assert set(failures) == {Subject("chain", "bad"), Subject("chain", "worse")}
    assert table.read_back().chains == {
        "f": Chain((jump("bad"), jump("worse"), jump("good")), FORWARD),
        "bad": Chain((DROP_RULE,)),
        "worse": Chain((DROP_RULE,)),
        "good": Chain((rule(1),)),
    }


def test_a_loop_is_refused_and_drops(table, reconciler):
    reconciler.update(
        TableDelta(
            {
                "a": Chain((jump("b"),)),
                "b": Chain((jump("a"),)),
                "c": Chain((rule(1),)),
                "f": Chain((jump("a"), jump("c")), FORWARD),
            }
        )
    )
    assert set(reconciler.apply().failures) == {Subject("chain", "b")}
    assert table.read_back().chains == {
        "a": Chain((jump("b"),)),
        "b": Chain((DROP_RULE,)),
        "c": Chain((rule(1),)),
        "f": Chain((jump("a"), jump("c")), FORWARD),
    }


def test_ten_thousand_elements_at_once(table):
    members = {(f"10.{i >> 8}.{i & 255}.1",): True for i in range(10_000)}
    assert table.apply([AddSet("s", ADDRESSES), AddElements("s", ADDRESSES, members)]) == {}
    assert table.read_back().elements["s"] == members


def test_our_own_generation_can_be_told_apart(table):
    with NetlinkSocket(NETLINK_NETFILTER) as listener:
        listener.join(NFNLGRP_NFTABLES)
        table.apply([AddChain("c", None)])
        nft("add", "table", "ip", "other")
        ports = []
        while len(ports) < 2:
            for message in listener.listen():
                if message.kind == NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWGEN:
                    assert 1 in attributes(message.body, 4), "the number of the generation"
                    ports.append(message.port)
    assert ports[0] == table.port_id
    assert ports[1] != table.port_id


def test_two_tables_can_share_a_socket(netns):
    with NetlinkSocket(NETLINK_NETFILTER) as netlink:
        four, six = KernelTable("ip", "calico", netlink), KernelTable("ip6", "calico", netlink)
        assert four.port_id == six.port_id == netlink.port_id
        four.apply([AddChain("a", None)])
        six.apply([AddChain("b", None)])
        assert (set(four.read_back().chains), set(six.read_back().chains)) == ({"a"}, {"b"})
