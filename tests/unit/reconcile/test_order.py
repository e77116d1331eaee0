from calico.kernel.netlink import KernelError
from calico.reconcile.order import StepFailed, in_order, take
from calico.reconcile.outcome import Outcome


class Recorded:
    """A reconciler that remembers when it was called and answers what it is told."""

    def __init__(self, name, outcome=None):
        self.name, self.outcome, self.calls = name, outcome or Outcome(1), None

    def apply(self):
        self.calls.append(self.name)
        if isinstance(self.outcome, KernelError):
            raise self.outcome
        return self.outcome


def nobody(key):
    return None


def taken(rules, others, owner=nobody):
    calls = []
    for one in (*rules, *others):
        one.calls = calls
    named = [[(one.name, one) for one in group] for group in (rules, others)]
    return take(in_order(*named), owner), calls


BROKEN = KernelError("load rules", 12)


def test_rules_first():
    outcome, calls = taken(
        [Recorded("ip"), Recorded("ip6")],
        [Recorded("settings"), Recorded("routes", Outcome(5, left=2))],
    )
    assert calls == ["ip", "ip6", "settings", "routes"]
    assert outcome == Outcome(8, left=2)


def test_nothing_opens_while_a_guard_fails():
    outcome, calls = taken([Recorded("ip", BROKEN), Recorded("ip6")], [Recorded("routes")])
    assert calls == ["ip", "ip6"]
    assert set(outcome.failures) == {StepFailed("ip"), StepFailed("routes")}


def test_what_comes_later_holds_up_nothing():
    outcome, calls = taken([Recorded("ip")], [Recorded("settings", BROKEN), Recorded("routes")])
    assert calls == ["ip", "settings", "routes"]
    assert set(outcome.failures) == {StepFailed("settings")}


def test_failures_are_told_to_who_waits():
    routes = Recorded("routes", Outcome(0, {"r1": "no", "r9": "never"}, held={"r2": "later"}))
    owners = {"r1": "pod1", "r2": "pod2"}
    outcome, _ = taken([Recorded("ip", Outcome(0, {"r1": "first"}))], [routes], owners.get)
    assert outcome.failures == {"pod1": "first", "r9": "never"}
    assert outcome.held == {"pod2": "later"}
