from calico.core.nftables.vocabulary import Chain, Counter, Rule, Set, TableDelta, Verdict
from calico.core.render.tables import Ledger, settle

A, B = Chain((Rule((Counter(),)),)), Chain()
MAP = Set(("iifname",), verdicts=True)
GOTO, DROP = Verdict("goto", "x"), Verdict("drop")


def test_nothing_new():
    assert Ledger().flush() is None


def test_what_is_so_already_is_no_news():
    ledger = Ledger()
    for _ in range(2):
        ledger.put_chain("a", A)
        ledger.put_set("m", MAP)
        ledger.put_entry("m", ("cali1",), GOTO)
        delta = ledger.flush()
        ledger.put_chain("b", None)
        ledger.put_set("n", None)
        ledger.put_entry("m", ("cali2",), None)
    assert delta is None


def test_changes():
    ledger = Ledger()
    ledger.put_chain("a", A)
    ledger.put_entry("m", ("cali1",), GOTO)
    assert ledger.flush() == TableDelta({"a": A}, {}, {("m", ("cali1",)): GOTO})
    ledger.put_chain("a", B)
    ledger.put_entry("m", ("cali1",), DROP)
    assert ledger.flush() == TableDelta({"a": B}, {}, {("m", ("cali1",)): DROP})
    ledger.put_chain("a", None)
    ledger.put_entry("m", ("cali1",), None)
    assert ledger.flush() == TableDelta({"a": None}, {}, {("m", ("cali1",)): None})


def test_there_and_back_is_no_news():
    ledger = Ledger()
    ledger.put_chain("a", A)
    ledger.flush()
    ledger.put_chain("a", B)
    ledger.put_chain("a", A)
    assert ledger.flush() is None


def test_a_set_takes_its_members_with_it():
    ledger = Ledger()
    ledger.put_set("s", MAP)
    ledger.put_member("s", ("10.0.0.1",), True)
    ledger.put_set("s", None)
    assert ledger.flush() is None


def test_settle():
    held = {"a": 1, "b": 2}
    assert settle(held, {"c": 3, "b": None, "a": 1, "d": None}) == {"b": None, "c": 3}
    assert held == {"a": 1, "c": 3}
