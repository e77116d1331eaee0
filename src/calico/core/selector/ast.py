"""Selectors as values: what they match, and the one text they are written as.

    Selector = All | Global | Has | Equals | NotEquals | In | NotIn | Contains | StartsWith
             | EndsWith | Not(Selector) | And(Selectors) | Or(Selectors)

Two selectors are the same selector when their texts are: the text, hashed, is the identity of
the IP set that holds what they match, and must come out as Calico's.

Source: libcalico-go/lib/selector/parser/ast.go, lib/hash/unique_id.go; policy-semantics 3.1.3,
3.1.4.
"""

from base64 import urlsafe_b64encode
from collections.abc import Mapping
from hashlib import sha224
from typing import TypeAlias, assert_never

from msgspec import Struct
from msgspec.structs import replace

Labels: TypeAlias = Mapping[str, str]


class All(Struct, frozen=True, tag=True):
    """Matches everything."""

    def matches(self, labels: Labels) -> bool:  # noqa: ARG002  (all nodes answer alike)
        """Tell whether labels match."""
        return True

    @property
    def text(self) -> str:
        """The canonical text."""
        return "all()"


class Global(Struct, frozen=True, tag=True):
    """Matches everything; rules rewrite it before it is evaluated."""

    def matches(self, labels: Labels) -> bool:  # noqa: ARG002  (all nodes answer alike)
        """Tell whether labels match."""
        return True

    @property
    def text(self) -> str:
        """The canonical text."""
        return "global()"


class Has(Struct, frozen=True, tag=True):
    """The label is present, even if empty."""

    label: str

    def matches(self, labels: Labels) -> bool:
        """Tell whether labels match."""
        return self.label in labels

    @property
    def text(self) -> str:
        """The canonical text."""
        return f"has({self.label})"


class Equals(Struct, frozen=True, tag=True):
    """The label is present and has this value."""

    label: str
    value: str

    def matches(self, labels: Labels) -> bool:
        """Tell whether labels match."""
        return labels.get(self.label) == self.value

    @property
    def text(self) -> str:
        """The canonical text."""
        return f"{self.label} == {quoted(self.value)}"


class NotEquals(Struct, frozen=True, tag=True):
    """The label is absent or has another value."""

    label: str
    value: str

    def matches(self, labels: Labels) -> bool:
        """Tell whether labels match."""
        return labels.get(self.label) != self.value

    @property
    def text(self) -> str:
        """The canonical text."""
        return f"{self.label} != {quoted(self.value)}"


class In(Struct, frozen=True, tag=True):
    """The label is present and has one of these values (sorted, none twice)."""

    label: str
    values: tuple[str, ...]

    def matches(self, labels: Labels) -> bool:
        """Tell whether labels match."""
        return labels.get(self.label) in self.values

    @property
    def text(self) -> str:
        """The canonical text."""
        return f"{self.label} in {{{', '.join(map(quoted, self.values))}}}"


class NotIn(Struct, frozen=True, tag=True):
    """The label is absent or has none of these values (sorted, none twice)."""

    label: str
    values: tuple[str, ...]

    def matches(self, labels: Labels) -> bool:
        """Tell whether labels match."""
        return labels.get(self.label) not in self.values

    @property
    def text(self) -> str:
        """The canonical text."""
        return f"{self.label} not in {{{', '.join(map(quoted, self.values))}}}"


class Contains(Struct, frozen=True, tag=True):
    """The label is present and holds this text somewhere."""

    label: str
    value: str

    def matches(self, labels: Labels) -> bool:
        """Tell whether labels match."""
        value = labels.get(self.label)
        return value is not None and self.value in value

    @property
    def text(self) -> str:
        """The canonical text."""
        return f"{self.label} contains {quoted(self.value)}"


class StartsWith(Struct, frozen=True, tag=True):
    """The label is present and begins with this text."""

    label: str
    value: str

    def matches(self, labels: Labels) -> bool:
        """Tell whether labels match."""
        value = labels.get(self.label)
        return value is not None and value.startswith(self.value)

    @property
    def text(self) -> str:
        """The canonical text."""
        return f"{self.label} starts with {quoted(self.value)}"


class EndsWith(Struct, frozen=True, tag=True):
    """The label is present and ends with this text."""

    label: str
    value: str

    def matches(self, labels: Labels) -> bool:
        """Tell whether labels match."""
        value = labels.get(self.label)
        return value is not None and value.endswith(self.value)

    @property
    def text(self) -> str:
        """The canonical text."""
        return f"{self.label} ends with {quoted(self.value)}"


class Not(Struct, frozen=True, tag=True):
    """The operand does not match."""

    operand: "Selector"

    def matches(self, labels: Labels) -> bool:
        """Tell whether labels match."""
        return not self.operand.matches(labels)

    @property
    def text(self) -> str:
        """The canonical text."""
        return f"!{self.operand.text}"


class And(Struct, frozen=True, tag=True):
    """All operands match; there are at least two."""

    operands: tuple["Selector", ...]

    def matches(self, labels: Labels) -> bool:
        """Tell whether labels match."""
        return all(operand.matches(labels) for operand in self.operands)

    @property
    def text(self) -> str:
        """The canonical text."""
        return f"({' && '.join(operand.text for operand in self.operands)})"


class Or(Struct, frozen=True, tag=True):
    """At least one operand matches; there are at least two."""

    operands: tuple["Selector", ...]

    def matches(self, labels: Labels) -> bool:
        """Tell whether labels match."""
        return any(operand.matches(labels) for operand in self.operands)

    @property
    def text(self) -> str:
        """The canonical text."""
        return f"({' || '.join(operand.text for operand in self.operands)})"


LabelTest: TypeAlias = (
    Has | Equals | NotEquals | In | NotIn | Contains | StartsWith | EndsWith
)  # a question about one label
Selector: TypeAlias = All | Global | LabelTest | Not | And | Or


def quoted(value: str) -> str:
    """Quote a value; the language has no escapes, so the quote is what the value lacks."""
    return f"'{value}'" if '"' in value else f'"{value}"'


def with_prefix(selector: Selector, prefix: str) -> Selector:
    """Return the selector with every label name prefixed ("pcns.", "pcsa.")."""
    match selector:
        case All() | Global():
            return selector
        case Not():
            return Not(with_prefix(selector.operand, prefix))
        case And():
            return And(tuple(with_prefix(operand, prefix) for operand in selector.operands))
        case Or():
            return Or(tuple(with_prefix(operand, prefix) for operand in selector.operands))
        case (
            Has() | Equals() | NotEquals() | In() | NotIn() | Contains() | StartsWith() | EndsWith()
        ):
            return replace(selector, label=prefix + selector.label)
        case _:
            assert_never(selector)


def selector_id(selector: Selector) -> str:
    """Return the identity of the selector, which is also the id of its IP set."""
    return unique_id("s", selector.text)


def unique_id(prefix: str, text: str) -> str:
    """Return Calico's hash of a text: "<prefix>:" and 38 characters."""
    digest = sha224(f"{prefix}:{text}".encode()).digest()
    return f"{prefix}:{urlsafe_b64encode(digest).rstrip(b'=').decode()}"
