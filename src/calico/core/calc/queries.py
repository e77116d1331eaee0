"""Selectors as questions to the postings, and what a selector cannot match without.

    query(app == "db" && !has(old), postings) = holding(app, db) & ~having(old)     bits
    needs(app == "db" && !has(old))           = {(app, db)}                         candidates.py

Invariant: bit g of a query is set exactly if the selector matches the labels of group g; a
selector with needs matches no labels that hold none of them. Property tests hold both.
"""

from functools import reduce
from operator import and_, or_
from typing import assert_never

from calico.core.calc.candidates import Needs, Weigh
from calico.core.calc.postings import Postings
from calico.core.selector.ast import (
    All,
    And,
    Contains,
    EndsWith,
    Equals,
    Global,
    Has,
    In,
    LabelTest,
    Not,
    NotEquals,
    NotIn,
    Or,
    Selector,
    StartsWith,
)


def query(selector: Selector, postings: Postings) -> int:
    """Return the groups that a selector matches, as bits."""
    match selector:
        case All() | Global():
            return postings.everything
        case Not():
            return postings.everything & ~query(selector.operand, postings)
        case And():
            return reduce(and_, (query(operand, postings) for operand in selector.operands))
        case Or():
            return reduce(or_, (query(operand, postings) for operand in selector.operands))
        case _:
            return _query_label(selector, postings)


def _query_label(test: LabelTest, postings: Postings) -> int:
    match test:
        case Has():
            return postings.having(test.label)
        case Equals():
            return postings.holding(test.label, test.value)
        case NotEquals():
            return postings.everything & ~postings.holding(test.label, test.value)
        case In():
            return _holding_any(test, postings)
        case NotIn():
            return postings.everything & ~_holding_any(test, postings)
        case Contains() | StartsWith() | EndsWith():
            return _holding_part(test, postings)
        case _:
            assert_never(test)


def _holding_any(test: In | NotIn, postings: Postings) -> int:
    return reduce(or_, (postings.holding(test.label, value) for value in test.values), 0)


def _holding_part(test: Contains | StartsWith | EndsWith, postings: Postings) -> int:
    found = 0
    for value, bits in postings.values(test.label):
        if test.matches({test.label: value}):
            found |= bits
    return found


def needs(selector: Selector, weigh: Weigh) -> Needs:
    """Return what labels must hold one of for the selector to match; None if that is unknown."""
    match selector:
        case Equals():
            return frozenset({(selector.label, selector.value)})
        case In():
            return frozenset((selector.label, value) for value in selector.values)
        case Has() | Contains() | StartsWith() | EndsWith():
            return frozenset({(selector.label, None)})
        case And():
            return min((needs(operand, weigh) for operand in selector.operands), key=weigh)
        case Or():
            return _needs_of_any(selector, weigh)
        case _:
            return None


def _needs_of_any(selector: Or, weigh: Weigh) -> Needs:
    every: set[tuple[str, str | None]] = set()
    for operand in selector.operands:
        needed = needs(operand, weigh)
        if needed is None:
            return None
        every |= needed
    return frozenset(every)
