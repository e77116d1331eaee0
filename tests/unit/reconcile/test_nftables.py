"""What the contract test cannot ask of a real kernel: that it breaks off, or refuses at will."""

import pytest

from calico.core.nftables.changes import SetRules, Subject
from calico.core.nftables.vocabulary import Chain, Hook, Is, Rule, Set, TableDelta, Verdict
from calico.kernel.fake_nftables import FakeTable
from calico.kernel.netlink import KernelError
from calico.reconcile.nftables import NftablesReconciler
from calico.reconcile.nftables_plan import DROP_RULE, Batch, drop_instead, leaves_first, plan

ADDRESSES = Set(("saddr",))


def rule(port):
    return Rule((Is("dport", port),))


def jump(name):
    return Rule((Verdict("jump", name),))


class BreaksOff(FakeTable):
    """Does what it is asked, then loses the answer."""

    is_broken = False

    def apply(self, changes):
        failures = super().apply(changes)
        if self.is_broken:
            raise KernelError("change nftables", 105)
        return failures


def test_an_attempt_that_breaks_off_leaves_doubt_and_not_a_lie():
    table = BreaksOff()
    reconciler = NftablesReconciler(table)
    reconciler.update(TableDelta({"c": Chain((rule(1),))}))
    reconciler.apply()
    table.is_broken = True
    reconciler.update(TableDelta({"c": Chain((rule(2),)), "d": Chain()}))
    with pytest.raises(KernelError):
        reconciler.apply()
    table.is_broken = False
    reconciler.update(TableDelta({"c": Chain((rule(1),)), "d": None}))
    assert reconciler.apply().failures == {}
    assert table.chains == {"c": Chain((rule(1),))}, "it had become rule 2, unheard"


def test_nothing_is_read_before_the_first_apply_and_only_once():
    table, reads = FakeTable(), []
    table.read_back = lambda: reads.append(1) or FakeTable.read_back(table)
    reconciler = NftablesReconciler(table)
    reconciler.update(TableDelta({"c": Chain()}))
    assert reads == []
    reconciler.apply()
    reconciler.apply()
    assert reads == [1]


def test_a_refused_set_is_reported_once_for_all_its_elements():
    table = FakeTable()
    table.refuse = {Subject("set", "s")}
    reconciler = NftablesReconciler(table)
    elements = {("s", (f"10.0.0.{i}",)): True for i in range(3)}
    reconciler.update(TableDelta({}, {"s": ADDRESSES}, elements))
    outcome = reconciler.apply()
    assert set(outcome.failures) == {Subject("set", "s")}
    assert outcome.left == 0
    table.refuse = set()
    reconciler.queue_resync()
    assert reconciler.apply().failures == {}
    assert len(table.elements["s"]) == 3


def test_a_failure_stays_told_until_it_is_over():
    table = FakeTable()
    table.refuse = {Subject("element", "s", ("10.0.0.1",))}
    reconciler = NftablesReconciler(table)
    reconciler.update(TableDelta({}, {"s": ADDRESSES}, {("s", ("10.0.0.1",)): True}))
    for _ in range(2):
        assert set(reconciler.apply().failures) == table.refuse
    reconciler.update(TableDelta({}, {}, {("s", ("10.0.0.1",)): None}))
    assert reconciler.apply().failures == {}


def test_what_stands_in_for_a_refused_chain():
    chain = Chain((rule(1),))
    assert drop_instead("filter-cali-tw-cali1", chain) == (DROP_RULE,)
    assert drop_instead("raw-cali-PREROUTING", chain) == (DROP_RULE,)
    assert drop_instead("nat-cali-POSTROUTING", chain) is None
    assert drop_instead("filter-FORWARD", Chain((), Hook("filter", "forward", 0))) is None


def test_whoever_knows_better_says_what_stands_in():
    table = FakeTable()
    reconciler = NftablesReconciler(table, instead=lambda name, chain: (rule(9),))
    reconciler.update(TableDelta({"c": Chain((jump("nowhere"),))}))
    reconciler.apply()
    assert table.chains["c"] == Chain((rule(9),))


def test_leaves_come_first():
    chains = {
        "a": Chain((jump("b"), jump("c"))),
        "b": Chain((jump("d"),)),
        "c": Chain((jump("d"), jump("elsewhere"))),
        "d": Chain(),
    }
    order = leaves_first(chains)
    assert sorted(order) == sorted(chains)
    for name in chains:
        for target in {"a": "bc", "b": "d", "c": "d", "d": ""}[name]:
            assert order.index(target) < order.index(name)


def test_only_rules_of_changed_chains_are_planned():
    same, old, new = Chain((rule(1),)), Chain((rule(2),)), Chain((rule(3),))
    changes = plan(Batch({"same": (same, same), "other": (old, new)}))
    assert changes == [SetRules("other", old.rules, new.rules, (DROP_RULE,))]
