"""The table and its reconciler: the fake and the real kernel keep the same promises."""

import pytest

from calico.core.nftables.changes import (
    AddChain,
    AddElements,
    AddSet,
    DeleteChain,
    DeleteElements,
    DeleteSet,
    SetRules,
    Subject,
)
from calico.core.nftables.vocabulary import (
    AnyOf,
    Chain,
    Counter,
    Dispatch,
    Hook,
    InSet,
    Is,
    Rule,
    Set,
    TableDelta,
    Verdict,
)
from calico.kernel.fake_nftables import FakeTable
from calico.kernel.nftables import KernelTable
from calico.reconcile.nftables import NftablesReconciler
from calico.reconcile.nftables_plan import DROP_RULE

ADDRESSES = Set(("saddr",))
PREFIXES = Set(("saddr",), intervals=True)
INTERFACES = Set(("iifname",), verdicts=True)
FORWARD = Hook("filter", "forward", 0, "drop")
ACCEPT, DROP = Rule((Verdict("accept"),)), Rule((Verdict("drop"),))


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.netns)])
def table(request):
    if request.param == "fake":
        yield FakeTable()
    else:
        request.getfixturevalue("netns")
        opened = KernelTable("ip", "calico")
        yield opened
        opened.close()


@pytest.fixture
def reconciler(table):
    return NftablesReconciler(table)


def rule(number, *more):
    return Rule((Is("dport", number), Counter(), *more))


def jump(name):
    return Rule((Verdict("jump", name),))


def addresses(*names):
    return {("s", (name,)): True for name in names}


def hold(table):
    contents = table.read_back()
    return contents.chains, contents.sets, contents.elements


def test_nothing_is_an_empty_table(table):
    assert hold(table) == ({}, {}, {})
    assert table.apply([]) == {}
    assert hold(table) == ({}, {}, {})


def test_holds_what_was_written(table):
    base = Chain((Rule((Dispatch(("iifname",), "m"),)), jump("c")), FORWARD)
    failures = table.apply(
        [
            AddSet("s", ADDRESSES),
            AddSet("n", PREFIXES),
            AddSet("m", INTERFACES),
            AddElements("s", ADDRESSES, {("10.0.0.1",): True, ("10.0.0.2",): True}),
            AddElements("n", PREFIXES, {("10.0.0.0/8",): True, ("192.168.0.1",): True}),
            AddChain("f", FORWARD),
            AddChain("c", None),
            SetRules("c", (), (rule(80), Rule((InSet(("saddr",), "s"),), "why"))),
            SetRules("f", (), base.rules),
            AddElements("m", INTERFACES, {("cali1",): Verdict("goto", "c")}),
        ]
    )
    assert failures == {}
    chains, sets, elements = hold(table)
    assert chains == {
        "f": base,
        "c": Chain((rule(80), Rule((InSet(("saddr",), "s"),), "why"))),
    }
    assert sets == {"s": ADDRESSES, "n": PREFIXES, "m": INTERFACES}
    assert elements == {
        "s": {("10.0.0.1",): True, ("10.0.0.2",): True},
        "n": {("10.0.0.0/8",): True, ("192.168.0.1",): True},
        "m": {("cali1",): Verdict("goto", "c")},
    }


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ((), (1, 2)),
        ((1, 2, 3), (1, 2, 3)),
        ((1, 2, 3), ()),
        ((1, 2, 3), (1, 3)),
        ((1, 3), (1, 2, 3)),
        ((1, 2), (0, 1, 2)),
        ((1, 2), (1, 2, 3)),
        ((1, 2, 3), (1, 9, 8, 3)),
        ((1, 1, 1), (1, 1)),
        ((1, 2), (2, 1)),
        ((1, 2, 3), (4, 5)),
    ],
)
def test_rules_become_the_new_ones(table, old, new):
    before, after = tuple(map(rule, old)), tuple(map(rule, new))
    assert table.apply([AddChain("c", None), SetRules("c", (), before)]) == {}
    assert table.apply([SetRules("c", before, after)]) == {}
    assert table.read_back().chains["c"].rules == after
    assert table.apply([SetRules("c", after, before)]) == {}
    assert table.read_back().chains["c"].rules == before


def test_a_chain_may_change_twice_before_it_is_written(table, reconciler):
    for rows in [(1, 2), (3, 2), (3, 4)]:
        reconciler.update(TableDelta({"c": Chain(tuple(map(rule, rows)))}))
        if rows == (1, 2):
            reconciler.apply()
    assert reconciler.apply().applied == 1
    assert table.read_back().chains["c"].rules == (rule(3), rule(4))
    reconciler.update(TableDelta({"c": Chain()}))
    reconciler.update(TableDelta({"c": Chain((rule(3), rule(4)))}))
    assert reconciler.apply().applied == 0


def test_a_wrong_belief_about_rules_does_no_harm(table):
    table.apply([AddChain("c", None), SetRules("c", (), (rule(1), rule(2)))])
    assert table.apply([SetRules("c", (rule(1),), (rule(1), rule(3)))]) == {}
    assert table.read_back().chains["c"].rules == (rule(1), rule(3))
    assert table.apply([SetRules("c", None, (rule(4),))]) == {}
    assert table.read_back().chains["c"].rules == (rule(4),)


def test_one_refusal_does_not_stop_the_rest(table):
    failures = table.apply(
        [
            AddSet("s", ADDRESSES),
            AddElements("s", ADDRESSES, {(f"10.0.0.{i}",): True for i in range(9)}),
            AddChain("good", None),
            AddChain("bad", None),
            SetRules("bad", (), (jump("nowhere"),)),
            SetRules("good", (), (rule(1),)),
        ]
    )
    assert set(failures) == {Subject("chain", "bad")}
    chains, sets, elements = hold(table)
    assert chains == {"good": Chain((rule(1),))}
    assert sets == {"s": ADDRESSES}
    assert len(elements["s"]) == 9


def test_a_refused_chain_gets_what_is_to_stand_there_instead(table):
    table.apply([AddChain("c", None), SetRules("c", (), (ACCEPT,))])
    failures = table.apply([SetRules("c", (ACCEPT,), (jump("nowhere"),), (DROP,))])
    assert set(failures) == {Subject("chain", "c")}
    assert table.read_back().chains["c"].rules == (DROP,)
    failures = table.apply([SetRules("c", (DROP,), (jump("nowhere"),), None)])
    assert set(failures) == {Subject("chain", "c")}
    assert table.read_back().chains["c"].rules == (DROP,), "nothing instead: it keeps what it has"


def test_a_refused_user_does_not_hold_on_to_what_it_used(table):
    table.apply([AddChain("user", None), AddChain("old", None)])
    table.apply([SetRules("user", (), (jump("old"),))])
    failures = table.apply(
        [SetRules("user", (jump("old"),), (jump("nowhere"),), (DROP,)), DeleteChain("old")]
    )
    assert set(failures) == {Subject("chain", "user")}
    assert table.read_back().chains == {"user": Chain((DROP,))}


def test_one_bad_element_among_many_is_found(table):
    members = {(f"10.0.{i}.0/24",): True for i in range(40)}
    table.apply([AddSet("n", PREFIXES), AddElements("n", PREFIXES, {("10.0.7.0/25",): True})])
    failures = table.apply([AddElements("n", PREFIXES, members)])
    assert set(failures) == {Subject("element", "n", ("10.0.7.0/24",))}
    held = table.read_back().elements["n"]
    assert set(held) == set(members) - {("10.0.7.0/24",)} | {("10.0.7.0/25",)}


def test_what_is_gone_already_is_deleted(table):
    table.apply([AddSet("s", ADDRESSES), AddElements("s", ADDRESSES, {("10.0.0.1",): True})])
    gone = {("10.0.0.1",): True, ("10.0.0.9",): True, ("10.0.0.8",): True}
    failures = table.apply(
        [DeleteElements("s", ADDRESSES, gone), DeleteChain("nothing"), DeleteSet("nothing")]
    )
    assert failures == {}
    assert table.read_back().elements["s"] == {}


def test_what_is_used_is_not_deleted(table):
    table.apply([AddSet("s", ADDRESSES), AddChain("a", None), AddChain("b", None)])
    table.apply([SetRules("a", (), (jump("b"), Rule((InSet(("saddr",), "s"),))))])
    failures = table.apply([DeleteChain("b"), DeleteSet("s")])
    assert set(failures) == {Subject("chain", "b"), Subject("set", "s")}
    assert table.apply([DeleteChain("a"), DeleteChain("b"), DeleteSet("s")]) == {}
    assert hold(table) == ({}, {}, {})


def test_a_map_element_changes_its_verdict(table):
    table.apply([AddSet("m", INTERFACES), AddChain("a", None), AddChain("b", None)])
    to_a, to_b = {("cali1",): Verdict("goto", "a")}, {("cali1",): Verdict("goto", "b")}
    assert table.apply([AddElements("m", INTERFACES, to_a)]) == {}
    changes = [DeleteElements("m", INTERFACES, to_a), AddElements("m", INTERFACES, to_b)]
    assert table.apply(changes) == {}
    assert table.read_back().elements["m"] == to_b
    assert table.apply([DeleteChain("a")]) == {}


def test_delete_removes_the_table(table):
    table.apply([AddSet("s", ADDRESSES), AddChain("f", FORWARD)])
    table.delete()
    assert hold(table) == ({}, {}, {})
    table.delete()


# --- the reconciler


def test_leaves_correct_things_alone(table, reconciler):
    delta = TableDelta({"c": Chain((rule(1),))}, {"s": ADDRESSES}, addresses("10.0.0.1"))
    reconciler.update(delta)
    assert reconciler.apply().applied == 3
    again = NftablesReconciler(table)
    again.update(delta)
    outcome = again.apply()
    assert (outcome.applied, outcome.failures, outcome.left) == (0, {}, 0)
    assert again.repairs == 0


def test_sweeps_leftovers_of_a_previous_life(table, reconciler):
    previous = NftablesReconciler(table)
    previous.update(
        TableDelta(
            {
                "old-base": Chain((jump("old"),), FORWARD),
                "old": Chain((jump("older"), Rule((InSet(("saddr",), "old-set"),)))),
                "older": Chain((rule(1),)),
            },
            {"old-set": ADDRESSES, "s": ADDRESSES},
            {("old-set", ("10.0.0.1",)): True, **addresses("10.0.0.1", "10.0.0.2")},
        )
    )
    previous.apply()
    reconciler.update(TableDelta({"c": Chain()}, {"s": ADDRESSES}, addresses("10.0.0.2")))
    assert reconciler.apply().failures == {}
    assert hold(table) == ({"c": Chain()}, {"s": ADDRESSES}, {"s": {("10.0.0.2",): True}})


def test_repairs_drift_at_a_resync(table, reconciler):
    wanted = Chain((rule(1), rule(2)))
    reconciler.update(
        TableDelta({"c": wanted, "d": Chain()}, {"s": ADDRESSES}, addresses("10.0.0.1"))
    )
    reconciler.apply()
    before = hold(table)
    table.apply(
        [
            SetRules("c", wanted.rules, (rule(2), rule(7))),
            DeleteChain("d"),
            AddChain("e", None),
            DeleteElements("s", ADDRESSES, {("10.0.0.1",): True}),
            AddElements("s", ADDRESSES, {("10.0.0.9",): True}),
        ]
    )
    assert reconciler.apply().applied == 0, "drift is looked for at a resync, not at every apply"
    reconciler.queue_resync()
    outcome = reconciler.apply()
    assert (outcome.applied, outcome.failures) == (5, {})
    assert hold(table) == before
    assert reconciler.repairs == 5


def test_repairs_a_table_that_somebody_deleted(table, reconciler):
    reconciler.update(TableDelta({"c": Chain((rule(1),))}, {"s": ADDRESSES}, addresses("10.0.0.1")))
    reconciler.apply()
    before = hold(table)
    table.delete()
    reconciler.queue_resync()
    assert reconciler.apply().failures == {}
    assert hold(table) == before


def test_a_stale_belief_is_noticed_when_it_hurts(table, reconciler):
    reconciler.update(TableDelta({"c": Chain((rule(1),)), "d": Chain((rule(1),))}))
    reconciler.apply()
    table.delete()
    reconciler.update(TableDelta({"c": Chain((rule(2),))}))
    assert reconciler.apply().failures == {}
    assert table.read_back().chains == {"c": Chain((rule(2),)), "d": Chain((rule(1),))}


def test_a_refused_chain_drops_until_it_is_right(table, reconciler):
    bad = Chain((jump("nowhere"),))
    reconciler.update(TableDelta({"c": bad, "d": Chain((rule(1),))}))
    outcome = reconciler.apply()
    assert set(outcome.failures) == {Subject("chain", "c")}
    assert table.read_back().chains == {"c": Chain((DROP_RULE,)), "d": Chain((rule(1),))}
    reconciler.update(TableDelta({"d": Chain()}))
    assert set(reconciler.apply().failures) == {Subject("chain", "c")}, "still so"
    reconciler.update(TableDelta({"c": Chain((rule(3),))}))
    assert reconciler.apply().failures == {}
    assert table.read_back().chains == {"c": Chain((rule(3),)), "d": Chain()}


def test_a_refused_chain_is_tried_again_at_a_resync(table, reconciler):
    reconciler.update(TableDelta({"c": Chain((jump("later"),))}))
    assert reconciler.apply().failures
    reconciler.update(TableDelta({"later": Chain()}))
    assert reconciler.apply().failures, "what failed is left alone"
    reconciler.queue_resync()
    assert reconciler.apply().failures == {}
    assert table.read_back().chains["c"] == Chain((jump("later"),))
    assert reconciler.repairs == 0


def test_a_refused_chain_that_is_no_longer_wanted_goes(table, reconciler):
    reconciler.update(TableDelta({"c": Chain((jump("nowhere"),)), "f": Chain((), FORWARD)}))
    reconciler.apply()
    reconciler.update(TableDelta({"c": None}))
    assert reconciler.apply().failures == {}
    assert set(table.read_back().chains) == {"f"}


def test_a_base_chain_moves_and_changes_its_policy(table, reconciler):
    reconciler.update(TableDelta({"f": Chain((jump("c"),), FORWARD), "c": Chain()}))
    reconciler.apply()
    for hook in (
        Hook("filter", "forward", 0, "accept"),
        Hook("filter", "forward", 5, "accept"),
        Hook("filter", "input", 5),
    ):
        reconciler.update(TableDelta({"f": Chain((jump("c"),), hook)}))
        assert reconciler.apply().failures == {}
        assert table.read_back().chains == {"f": Chain((jump("c"),), hook), "c": Chain()}


def test_a_set_changes_its_shape_under_its_users(table, reconciler):
    user = Chain((rule(1), Rule((InSet(("saddr",), "s"), Verdict("accept"))), rule(2)))
    reconciler.update(TableDelta({"c": user}, {"s": ADDRESSES}, addresses("10.0.0.1")))
    reconciler.apply()
    reconciler.update(TableDelta({}, {"s": PREFIXES}, addresses("10.0.0.1", "10.1.0.0/16")))
    assert reconciler.apply().failures == {}
    assert hold(table) == (
        {"c": user},
        {"s": PREFIXES},
        {"s": {("10.0.0.1",): True, ("10.1.0.0/16",): True}},
    )


def test_a_set_goes_and_comes_back(table, reconciler):
    reconciler.update(TableDelta({}, {"s": ADDRESSES}, addresses("10.0.0.1", "10.0.0.2")))
    reconciler.apply()
    reconciler.update(TableDelta({}, {"s": None}))
    reconciler.update(TableDelta({}, {"s": ADDRESSES}, addresses("10.0.0.2", "10.0.0.3")))
    assert reconciler.apply().failures == {}
    assert table.read_back().elements == {"s": {("10.0.0.2",): True, ("10.0.0.3",): True}}
    reconciler.update(TableDelta({}, {"s": None}))
    assert reconciler.apply().failures == {}
    assert table.read_back().sets == {}


def test_a_wider_prefix_takes_the_place_of_narrow_ones(table, reconciler):
    reconciler.update(TableDelta({}, {"s": PREFIXES}, addresses("10.0.0.0/9", "10.128.0.0/9")))
    reconciler.apply()
    narrow = dict.fromkeys(addresses("10.0.0.0/9", "10.128.0.0/9"))
    reconciler.update(TableDelta({}, {}, {**addresses("10.0.0.0/8"), **narrow}))
    assert reconciler.apply().failures == {}
    assert set(table.read_back().elements["s"]) == {("10.0.0.0/8",)}


def test_much_work_is_cut_and_never_refers_to_what_is_not_there(table, reconciler):
    reconciler.update(
        TableDelta(
            {
                "f": Chain((jump("a"),), FORWARD),
                "a": Chain((jump("b"), Rule((Dispatch(("iifname",), "m"),)))),
                "b": Chain((jump("c"), Rule((InSet(("saddr",), "s"),)))),
                "c": Chain((rule(1),)),
            },
            {"s": ADDRESSES, "m": INTERFACES},
            {("m", ("cali1",)): Verdict("goto", "c"), **addresses("10.0.0.1", "10.0.0.2")},
        )
    )
    for left in range(8, -1, -1):
        outcome = reconciler.apply(at_most=1)
        assert (outcome.applied, outcome.failures, outcome.left) == (1, {}, left)
    reconciler.update(
        TableDelta(
            {"f": None, "a": None, "b": None, "c": None},
            {"s": None, "m": None},
        )
    )
    while reconciler.apply(at_most=1).left:
        pass
    assert hold(table) == ({}, {}, {})


def test_everything_goes_at_once(table, reconciler):
    chains = {"f": Chain((jump("a"),), FORWARD), "a": Chain((jump("b"),)), "b": Chain()}
    use_map = Chain((Rule((Dispatch(("iifname",), "m"),)),))
    sets = {"m": INTERFACES, "s": ADDRESSES}
    reconciler.update(
        TableDelta({**chains, "u": use_map}, sets, {("m", ("cali1",)): Verdict("goto", "b")})
    )
    assert reconciler.apply().failures == {}
    reconciler.update(TableDelta(dict.fromkeys(["b", "a", "f", "u"]), dict.fromkeys(["s", "m"])))
    outcome = reconciler.apply()
    assert (outcome.failures, outcome.left) == ({}, 0)
    assert hold(table) == ({}, {}, {})


def test_values_in_any_spelling_come_to_rest(table, reconciler):
    spelled = Rule((AnyOf("sport", (90, (80, 85), 84)), Is("saddr", "10.0.0.1/32")))
    reconciler.update(TableDelta({"c": Chain((spelled,))}, {"s": Set(("daddr",))}))
    reconciler.update(TableDelta({}, {}, addresses("10.0.0.1/32")))
    assert reconciler.apply().applied == 3
    reconciler.queue_resync()
    assert reconciler.apply().applied == 0


def test_sweep_removes_our_table(table, reconciler):
    reconciler.update(TableDelta({"c": Chain()}))
    reconciler.apply()
    reconciler.sweep()
    assert hold(table) == ({}, {}, {})
