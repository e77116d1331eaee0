"""What is wrong with a resource, as a value that says how to put it right.

    check(resource) --> (Problem, ...)        decode(kind, raw) --> raises InvalidResource

Source: the error texts are those of libcalico-go/lib/errors/errors.go (policy-semantics 3.9).
"""

from collections.abc import Sequence

import msgspec
from msgspec import Struct


class Problem(Struct, frozen=True):
    """One field that is wrong: its path ("spec.ingress[0].protocol"), its value, and why."""

    field: str
    value: str
    reason: str

    @property
    def text(self) -> str:
        """The problem in one line."""
        return f"{self.field} = '{self.value}' ({self.reason})" if self.field else self.reason

    def __str__(self) -> str:
        return self.text


class InvalidResource(Exception):
    """A record or document that is not a valid resource."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__(error_text(problems))
        self.problems = tuple(problems)


def error_text(problems: Sequence[Problem]) -> str:
    """Word problems as Calico does: one in a line, several in a list."""
    if len(problems) == 1:
        return f"error with field {problems[0].text}" if problems[0].field else problems[0].text
    lines = (f"-  {problem.text}" for problem in problems)
    return "\n".join(("error with the following fields:", *lines))


def shown(value: object) -> str:
    """Show a value in a complaint: text as it is, nothing as nothing, the rest as JSON."""
    if value is None or isinstance(value, str):
        return value or ""
    return msgspec.json.encode(value, enc_hook=str).decode()
