"""Parse selector text: `parse_selector("app == 'web' && !has(x)")`.

    selector := nothing | or
    or       := and ("||" and)*
    and      := operand ("&&" operand)*
    operand  := "!"* ( "(" or ")" | all() | global() | has(L) | L == S | L in {S, ...} | ... )

Invariant: parsing the text of a selector gives that selector, if it holds no `!` of a `!` (the
language cancels doubled signs; so does Calico's).
Source: libcalico-go/lib/selector/parser/parser.go; policy-semantics 3.1.2.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache

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
    Selector,
    StartsWith,
)
from calico.core.selector.tokens import SelectorError, Token, tokenize

__all__ = ["SelectorError", "parse_selector"]

DEEPEST = 100  # levels of parentheses; Python's stack is finite

VALUE_TESTS: Mapping[str, Callable[[str, str], Selector]] = {
    "==": Equals,
    "!=": NotEquals,
    "contains": Contains,
    "starts with": StartsWith,
    "ends with": EndsWith,
}
SET_TESTS: Mapping[str, Callable[[str, tuple[str, ...]], Selector]] = {"in": In, "not in": NotIn}


@lru_cache(maxsize=8192)  # the same texts come back with every policy, check and update
def parse_selector(text: str) -> Selector:
    """Return the selector that a text stands for; blank text is all(). Raises SelectorError."""
    parser = Parser(tokenize(text))
    if parser.peek.kind == "end":
        return All()
    selector = parser.any_of(0)
    end = parser.peek
    if end.kind != "end":
        raise SelectorError(f"{shown(end)} where && or || or the end was expected", end.column)
    return selector


def shown(token: Token) -> str:
    """Name a token in a complaint."""
    if token.kind == "end":
        return "the end"
    if token.kind in {"label", "string"}:
        return f"{token.kind} '{token.value}'"
    return f"'{token.kind}'"


class Parser:
    """Where we are in the tokens of one selector; recursive descent, a method per rule."""

    def __init__(self, tokens: list[Token]) -> None:
        self._tokens = tokens
        self._position = 0

    @property
    def peek(self) -> Token:
        """The next token; the last one is always "end"."""
        return self._tokens[self._position]

    def take(self) -> Token:
        """Return the next token and step over it."""
        token = self._tokens[self._position]
        if token.kind != "end":
            self._position += 1
        return token

    def take_if(self, kind: str) -> bool:
        """Step over the next token if it is of this kind."""
        found = self.peek.kind == kind
        if found:
            self.take()
        return found

    def any_of(self, depth: int) -> Selector:
        """Parse operands of "||"."""
        operands = [self.all_of(depth)]
        while self.take_if("||"):
            operands.append(self.all_of(depth))
        return operands[0] if len(operands) == 1 else Or(tuple(operands))

    def all_of(self, depth: int) -> Selector:
        """Parse operands of "&&"."""
        operands = [self.operand(depth)]
        while self.take_if("&&"):
            operands.append(self.operand(depth))
        return operands[0] if len(operands) == 1 else And(tuple(operands))

    def operand(self, depth: int) -> Selector:
        """Parse one operand with its signs."""
        negated = False
        while self.take_if("!"):
            negated = not negated
        selector = self.primary(depth)
        return Not(selector) if negated else selector

    def primary(self, depth: int) -> Selector:
        """Parse one operand without signs."""
        token = self.take()
        match token.kind:
            case "all":
                return All()
            case "global":
                return Global()
            case "has":
                return Has(token.value)
            case "(":
                return self.group(token, depth)
            case "label":
                return self.test(token)
            case _:
                raise SelectorError(
                    f"{shown(token)} where a label, has(), all() or '(' was expected", token.column
                )

    def group(self, opening: Token, depth: int) -> Selector:
        """Parse what follows "(", and ")"."""
        if depth == DEEPEST:
            raise SelectorError(f"more than {DEEPEST} levels of parentheses", opening.column)
        selector = self.any_of(depth + 1)
        if not self.take_if(")"):
            raise SelectorError(f"{shown(self.peek)} where ')' was expected", self.peek.column)
        return selector

    def test(self, label: Token) -> Selector:
        """Parse the operator and the value or set that follow a label."""
        operator = self.take()
        if operator.kind in VALUE_TESTS:
            return VALUE_TESTS[operator.kind](label.value, self.string())
        if operator.kind in SET_TESTS:
            return SET_TESTS[operator.kind](label.value, self.string_set())
        if operator.kind == "(" and label.value in {"has", "all", "global"}:
            wanted = "one label name" if label.value == "has" else "nothing"
            raise SelectorError(f"{label.value}() takes {wanted}", operator.column)
        raise SelectorError(
            f"{shown(operator)} where an operator was expected after label '{label.value}'",
            operator.column,
        )

    def string(self) -> str:
        """Parse a quoted string."""
        token = self.take()
        if token.kind != "string":
            raise SelectorError(f"{shown(token)} where a quoted value was expected", token.column)
        return token.value

    def string_set(self) -> tuple[str, ...]:
        """Parse a set of quoted strings; a trailing comma is legal."""
        opening = self.take()
        if opening.kind != "{":
            raise SelectorError(f"{shown(opening)} where '{{' was expected", opening.column)
        values: set[str] = set()
        while self.peek.kind == "string":
            values.add(self.take().value)
            if not self.take_if(","):
                break
        if not self.take_if("}"):
            raise SelectorError(f"{shown(self.peek)} where '}}' was expected", self.peek.column)
        return tuple(sorted(values))
