import pytest

from calico.core.net.lpm import PrefixTable


@pytest.fixture
def table():
    table = PrefixTable()
    for prefix in ("0.0.0.0/0", "10.0.0.0/8", "10.1.0.0/16", "10.1.2.3/32", "fd00::/8"):
        table.set(prefix, prefix)
    return table


@pytest.mark.parametrize(
    ("asked", "longest"),
    [
        ("10.1.2.3", "10.1.2.3/32"),
        ("10.1.2.4", "10.1.0.0/16"),
        ("10.1.0.0/16", "10.1.0.0/16"),
        ("10.0.0.0/12", "10.0.0.0/8"),
        ("11.0.0.1", "0.0.0.0/0"),
        ("fd12::1", "fd00::/8"),
        ("fe00::1", None),
    ],
)
def test_longest(table, asked, longest):
    found = table.longest(asked)
    assert found == (None if longest is None else (longest, longest))


def test_containing_is_longest_first(table):
    assert [prefix for prefix, _ in table.containing("10.1.2.3")] == [
        "10.1.2.3/32",
        "10.1.0.0/16",
        "10.0.0.0/8",
        "0.0.0.0/0",
    ]


def test_replace_and_remove(table):
    table.set("10.1.0.0/16", "other")
    assert table.longest("10.1.9.9") == ("10.1.0.0/16", "other")
    table.set("10.1.0.0/16", None)
    table.set("10.1.0.0/16", None)
    assert table.longest("10.1.9.9") == ("10.0.0.0/8", "10.0.0.0/8")
    assert table.get("10.1.0.0/16") is None
    assert table.get("10.0.0.0/8") == "10.0.0.0/8"
