"""Selectors and their texts are two forms of one thing, and say yes to the same labels."""

from hypothesis import given
from hypothesis import strategies as st

from calico.core.selector.ast import (
    All,
    And,
    Contains,
    EndsWith,
    Equals,
    Global,
    Has,
    In,
    Not,
    NotEquals,
    NotIn,
    Or,
    StartsWith,
    selector_id,
)
from calico.core.selector.parser import SelectorError, parse_selector

labels = st.sampled_from(("a", "b", "in", "has", "a.b/c-d_e"))
values = st.sampled_from(("", "x", "xy", 'say "x"', "it's"))
sets = st.sets(values).map(lambda found: tuple(sorted(found)))
tests = (
    st.builds(Has, labels)
    | st.builds(Equals, labels, values)
    | st.builds(NotEquals, labels, values)
    | st.builds(In, labels, sets)
    | st.builds(NotIn, labels, sets)
    | st.builds(Contains, labels, values)
    | st.builds(StartsWith, labels, values)
    | st.builds(EndsWith, labels, values)
    | st.sampled_from((All(), Global()))
)


def groups(operands):
    """No `!` of a `!`: the language cancels doubled signs."""
    several = st.lists(operands, min_size=2, max_size=3).map(tuple)
    positive = operands.filter(lambda operand: not isinstance(operand, Not))
    return st.builds(And, several) | st.builds(Or, several) | st.builds(Not, positive)


selectors = st.recursive(tests, groups, max_leaves=8)
label_maps = st.dictionaries(labels, values)


@given(selectors)
def test_parsing_the_text_gives_the_selector(selector):
    assert parse_selector(selector.text) == selector
    assert selector_id(parse_selector(selector.text)) == selector_id(selector)


PRESENT = {  # what a test says of a label that is there
    Has: lambda test, value: True,
    Equals: lambda test, value: value == test.value,
    NotEquals: lambda test, value: value != test.value,
    In: lambda test, value: value in set(test.values),
    NotIn: lambda test, value: value not in set(test.values),
    Contains: lambda test, value: value.find(test.value) >= 0,
    StartsWith: lambda test, value: value[: len(test.value)] == test.value,
    EndsWith: lambda test, value: value[::-1][: len(test.value)] == test.value[::-1],
}


def evaluate(selector, labels):
    """Say the language's rules once more, as the specification's table does."""
    match selector:
        case All() | Global():
            return True
        case Not():
            return not evaluate(selector.operand, labels)
        case And():
            return min(evaluate(operand, labels) for operand in selector.operands)
        case Or():
            return max(evaluate(operand, labels) for operand in selector.operands)
    if selector.label not in labels:
        return type(selector) in {NotEquals, NotIn}
    return PRESENT[type(selector)](selector, labels[selector.label])


@given(selectors, label_maps)
def test_matches_as_the_table_says(selector, labels):
    assert selector.matches(labels) == evaluate(selector, labels)


@given(st.text(alphabet="ab!&|()='\"{}, \tin"))
def test_any_text_is_read_or_refused_with_a_place(text):
    column = column_of_error(text)
    if column is None:
        selector = parse_selector(text)
        assert parse_selector(selector.text).matches({}) == selector.matches({})
    else:
        assert 1 <= column <= len(text) + 1


def column_of_error(text):
    try:
        parse_selector(text)
    except SelectorError as error:
        return error.column
    return None
