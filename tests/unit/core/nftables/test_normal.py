import pytest

from calico.core.nftables.normal import normal_element, normal_rule, normal_set, normal_values
from calico.core.nftables.vocabulary import (
    AnyOf,
    CtState,
    Is,
    Limit,
    Log,
    Rule,
    Set,
    SetMark,
    Verdict,
)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((80,), (80,)),
        ((443, 80, 443), (80, 443)),
        ((80, 81), (80, 81)),
        ((81, (80, 80)), ((80, 81),)),
        (((1, 5), (3, 9), 10, 12), ((1, 10), 12)),
        (((7, 7),), (7,)),
        ((0, (65535, 65535)), (0, 65535)),
        (("b", "a", "b"), ("a", "b")),
        (("10.0.0.2", "10.0.0.1/32"), ("10.0.0.1", "10.0.0.2")),
        (("10.0.0.128/25", "10.0.0.0/25"), ("10.0.0.0/24",)),
        (("10.0.0.0/8", "10.1.0.0/16", "11.0.0.1"), ("10.0.0.0/8", "11.0.0.1")),
        (("fd00::/16", "fd00::1/128"), ("fd00::/16",)),
        (("fd00::1/128",), ("fd00::1",)),
    ],
)
def test_values(values, expected):
    assert normal_values(values) == expected


@pytest.mark.parametrize(
    ("spelled", "expected"),
    [
        (Is("saddr", "10.0.0.1/32", negated=True), Is("saddr", "10.0.0.1", negated=True)),
        (Is("daddr", "fd00::1/128"), Is("daddr", "fd00::1")),
        (Is("mark", 5, mask=0xFFFFFFFF), Is("mark", 5)),
        (Is("mark", 5, mask=0xFF), Is("mark", 5, mask=0xFF)),
        (Is("ct_status_dnat", 1, negated=True), Is("ct_status_dnat", 0)),
        (Is("ct_status_dnat", 0, negated=True), Is("ct_status_dnat", 1)),
        (AnyOf("dport", (80, 80), negated=True), Is("dport", 80, negated=True)),
        (AnyOf("dport", ((80, 81), 82)), AnyOf("dport", ((80, 82),))),
        (SetMark(0xF0, 0xFF), SetMark(0xF0, 0xF0)),
        (Limit(1, burst=0), Limit(1, burst=5)),
        (Log("a", 3, group=1), Log("a", group=1)),
        (Log("x" * 200), Log("x" * 127)),
        (Verdict("drop"), Verdict("drop")),
    ],
)
def test_expressions(spelled, expected):
    assert normal_rule(Rule((spelled,))) == Rule((expected,))


def test_a_rule_in_normal_form_is_returned_itself():
    rule = Rule((AnyOf("dport", (80, 443)), CtState(frozenset({"new"})), Log("a")), "why")
    assert normal_rule(rule) is rule


def test_a_comment_is_cut_between_characters():
    assert normal_rule(Rule((), "ü" * 100)) == Rule((), "ü" * 63)


@pytest.mark.parametrize(
    "broken",
    [AnyOf("dport", ("http", (1, 2))), AnyOf("saddr", ("10.0.0.1/33",)), AnyOf("dport", ())],
)
def test_what_cannot_be_read_is_left_for_the_encoder_to_refuse(broken):
    assert normal_rule(Rule((broken,))) == Rule((broken,))


def test_elements_and_sets():
    assert normal_element(("10.0.0.1/32", 6, 80)) == ("10.0.0.1", 6, 80)
    assert normal_element(("10.0.0.0/8",)) == ("10.0.0.0/8",)
    element = ("cali1",)
    assert normal_element(element) is element
    assert normal_set(Set(("daddr", "l4proto", "dport"))) == Set(("saddr", "l4proto", "sport"))
    assert normal_set(Set(("oifname",), verdicts=True)) == Set(("iifname",), verdicts=True)
    shape = Set(("saddr",), intervals=True)
    assert normal_set(shape) is shape
