"""What is intended, and where the kernel may hold something else.

    put(key, value) ----> intended {key: value}
                     `--> due      {key: what the kernel is believed to hold there}
    compare(actual) ----> due, anew
    settle / refuse <---- what became of it

A key that is not due is believed to be in the kernel as intended; so the belief costs no second
copy, and looking for work costs what changed, never the size of the table.

Invariant: the kernel's belief about a key is due[key], else refused[key], else intended[key].
"""

from collections.abc import Iterable, Mapping
from typing import Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


class Difference(Generic[Key, Value]):
    """One kind of object of one table."""

    __slots__ = ("due", "intended", "refused")

    def __init__(self) -> None:
        self.intended: dict[Key, Value] = {}
        self.due: dict[Key, Value | None] = {}  # None: the kernel has no such thing
        self.refused: dict[Key, Value | None] = {}  # left alone until intended anew

    def put(self, key: Key, value: Value | None) -> None:
        """Accept new intent; None means "no such thing"."""
        old = self.intended.get(key)
        if key in self.refused:
            self.due[key] = self.refused.pop(key)
        elif key not in self.due and old != value:
            self.due[key] = old
        if value is None:
            self.intended.pop(key, None)
        else:
            self.intended[key] = value

    def clear(self) -> None:
        """Intend nothing any more."""
        self.due = {**self.intended, **self.refused, **self.due}
        self.intended, self.refused = {}, {}

    def compare(self, actual: Mapping[Key, Value]) -> int:
        """Take what was read back as the truth; return how many surprises there were."""
        suspected = {**self.refused, **self.due}
        self.refused = {}
        intended = self.intended
        self.due = {key: value for key, value in actual.items() if intended.get(key) != value}
        self.due.update((key, None) for key in intended if key not in actual)
        return sum(1 for key in self.due if key not in suspected)

    def held(self, key: Key) -> Value | None:
        """Tell what the kernel is believed to hold."""
        for belief in (self.due, self.refused):
            if key in belief:
                return belief[key]
        return self.intended.get(key)

    def pairs(
        self, at_most: int, *, wanted: bool | None = None
    ) -> dict[Key, tuple[Value | None, Value | None]]:
        """List due keys with what is held and what is wanted, where these differ.

        `wanted` chooses those that shall exist or those that shall not.
        """
        found: dict[Key, tuple[Value | None, Value | None]] = {}
        equal: list[Key] = []
        for key, held in self.due.items():
            if len(found) >= at_most:
                break
            want = self.intended.get(key)
            if held == want:
                equal.append(key)
            elif wanted is None or wanted is (want is not None):
                found[key] = (held, want)
        self.settle(equal)
        return found

    def settle(self, keys: Iterable[Key]) -> None:
        """Believe that these are now as intended."""
        for key in keys:
            self.due.pop(key, None)
        if not self.due:
            self.due = {}  # an emptied dictionary is still walked through at its old size

    def refuse(self, key: Key, holds: Value | None) -> None:
        """Leave this alone until it is intended anew; the kernel holds this instead."""
        self.due.pop(key, None)
        self.refused[key] = holds
