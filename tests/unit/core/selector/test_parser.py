import pytest

from calico.core.selector.ast import All, And, Equals, Has, In, Not, Or, selector_id, with_prefix
from calico.core.selector.parser import DEEPEST, SelectorError, parse_selector


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("", "all()"),
        (" \t", "all()"),
        ("all( )", "all()"),
        ("global()", "global()"),
        ("has( a )", "has(a)"),
        ("a=='b'", 'a == "b"'),
        ('a != "b"', 'a != "b"'),
        ("a == 'say \"b\"'", "a == 'say \"b\"'"),
        ("a in {'c','b','c',}", 'a in {"b", "c"}'),
        ("a in {}", "a in {}"),
        ("a notin{ 'b' }", 'a not in {"b"}'),
        ("a not  in {'b'}", 'a not in {"b"}'),
        ("a startswith 'b'", 'a starts with "b"'),
        ("a ends\twith 'b'", 'a ends with "b"'),
        ("a contains ''", 'a contains ""'),
        ("in in {'x'}", 'in in {"x"}'),
        ("has == 'x'", 'has == "x"'),
        ("a.b/c-d_e == 'x'", 'a.b/c-d_e == "x"'),
        ("has(a) && has(b) || has(c)", "((has(a) && has(b)) || has(c))"),
        ("has(a) && (has(b) || has(c))", "(has(a) && (has(b) || has(c)))"),
        ("has(a) && (has(b) && has(c))", "(has(a) && (has(b) && has(c)))"),
        ("(has(a))", "has(a)"),
        ("!has(a) && has(b)", "(!has(a) && has(b))"),
        ("!(has(a) && has(b))", "!(has(a) && has(b))"),
        ("!!has(a)", "has(a)"),
        ("!!!has(a)", "!has(a)"),
        ("!(!has(a))", "!!has(a)"),
    ],
)
def test_canonical_text(text, canonical):
    assert parse_selector(text).text == canonical


@pytest.mark.parametrize(
    ("text", "column", "says"),
    [
        ("a", 2, "operator was expected after label 'a'"),
        ("a = 'b'", 3, "write =="),
        ("a == b", 6, "quoted value"),
        ("a == ", 6, "quoted value"),
        ("a == 'b", 6, "no closing '"),
        ('a == "b', 6, 'no closing "'),
        ("a == 'b' c", 10, "&& or ||"),
        ("a == 'b' & c", 10, "write &&"),
        ("a == 'b' | c", 10, "write ||"),
        ("a b", 3, "'b' is not an operator"),
        ("a inx {'b'}", 3, "'inx' is not an operator"),
        ("a has(b)", 3, "is not an operator"),
        ("a in 'b'", 6, "'{' was expected"),
        ("a in {'b'", 10, "'}' was expected"),
        ("a in {'b' 'c'}", 11, "'}' was expected"),
        ("a in {,}", 7, "'}' was expected"),
        ("(has(a)", 8, "')' was expected"),
        ("has(a))", 7, "&& or ||"),
        ("()", 2, "a label, has"),
        ("has()", 4, "has() takes one label name"),
        ("has(a b)", 7, "'b' is not an operator"),
        ("all(a)", 4, "all() takes nothing"),
        ("!", 2, "a label, has"),
        ("&& has(a)", 1, "a label, has"),
        ("has(a)\n", 7, "one line"),
        ("é == 'b'", 1, "unexpected character"),
        ("'a' == 'b'", 1, "a label, has"),
        ("a" * 513 + " == 'b'", 1, "longer than 512"),
        ("(" * (DEEPEST + 1), DEEPEST + 1, "levels of parentheses"),
    ],
)
def test_errors_say_where(text, column, says):
    with pytest.raises(SelectorError) as caught:
        parse_selector(text)
    assert caught.value.column == column
    assert says in caught.value.message
    assert str(caught.value).endswith(f"(column {column})")


def test_the_deepest_nesting_is_read():
    text = "(" * DEEPEST + "has(a)" + ")" * DEEPEST
    assert parse_selector(text) == Has("a")


@pytest.mark.parametrize(
    ("text", "labels", "matches"),
    [
        ("all()", {}, True),
        ("global()", {}, True),
        ("has(a)", {"a": ""}, True),
        ("has(a)", {}, False),
        ("a == 'x'", {"a": "x"}, True),
        ("a == ''", {}, False),
        ("a != 'x'", {}, True),
        ("a != 'x'", {"a": "y"}, True),
        ("a != 'x'", {"a": "x"}, False),
        ("a in {'x', 'y'}", {"a": "y"}, True),
        ("a in {'x'}", {}, False),
        ("a in {}", {"a": "x"}, False),
        ("a not in {'x'}", {}, True),
        ("a not in {'x'}", {"a": "x"}, False),
        ("a not in {}", {"a": "x"}, True),
        ("a contains 'b'", {"a": "abc"}, True),
        ("a contains ''", {}, False),
        ("a starts with 'ab'", {"a": "abc"}, True),
        ("a starts with 'bc'", {"a": "abc"}, False),
        ("a ends with 'bc'", {"a": "abc"}, True),
        ("a ends with ''", {}, False),
        ("!has(a)", {}, True),
        ("has(a) && has(b)", {"a": ""}, False),
        ("has(a) || has(b)", {"b": ""}, True),
        ("has(a) || has(b) && has(c)", {"a": ""}, True),
        ("!has(a) || has(b)", {"a": "", "b": ""}, True),
    ],
)
def test_matches(text, labels, matches):
    assert parse_selector(text).matches(labels) is matches


@pytest.mark.parametrize(
    ("text", "identity"),
    [
        ("", "s:5y5I3VdRZfDU01O--xXAPx2yxCQQqMf0M6IWug"),
        ("a == 'b'", "s:flMh0m0X_BowkAK_W3j3MgH8oQOsj3WxGDoXCQ"),
        ("has(a) && b in {'c', 'd'}", "s:FDmekXPk65vHTavx5IxAvJMdKZ3aiq4R7LunWg"),
    ],
)
def test_identities_are_calicos(text, identity):
    assert selector_id(parse_selector(text)) == identity


def test_prefixes_reach_every_label():
    selector = parse_selector("a == 'x' && !(b in {'y'} || has(c)) && all() && d != 'z'")
    assert with_prefix(selector, "pcns.") == And(
        (
            Equals("pcns.a", "x"),
            Not(Or((In("pcns.b", ("y",)), Has("pcns.c")))),
            All(),
            parse_selector("pcns.d != 'z'"),
        )
    )
