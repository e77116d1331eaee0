import pytest

from calico.core.nftables.changes import (
    AddElements,
    AddSet,
    DeleteChain,
    SetRules,
    Subject,
    edit,
    subject,
)
from calico.core.nftables.vocabulary import Is, Rule, Set


def rules(ports):
    return tuple(Rule((Is("dport", int(port)),)) for port in ports)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("", "", (0, 0, 0)),
        ("123", "123", (3, 3, 3)),
        ("123", "12", (2, 3, 2)),
        ("12", "123", (2, 2, 3)),
        ("123", "13", (1, 2, 1)),
        ("111", "11", (2, 3, 2)),
        ("11", "111", (2, 2, 3)),
        ("123", "193", (1, 2, 2)),
        ("123", "456", (0, 3, 3)),
    ],
)
def test_edit(old, new, expected):
    assert edit(rules(old), rules(new)) == expected


def test_subjects():
    shape = Set(("saddr",))
    assert subject(AddSet("s", shape)) == Subject("set", "s")
    assert subject(DeleteChain("c")) == subject(SetRules("c", (), ())) == Subject("chain", "c")
    one, two = ("10.0.0.1",), ("10.0.0.2",)
    assert subject(AddElements("s", shape, {one: True})) == Subject("element", "s", one)
    assert subject(AddElements("s", shape, {one: True, two: True})) == Subject("set", "s")
