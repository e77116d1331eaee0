"""What one attempt of a reconciler achieved."""

from collections.abc import Hashable, Mapping

from msgspec import Struct


class Outcome(Struct, frozen=True):
    """`failures` says why, by intent key; `left` is how many keys wait for the next turn."""

    applied: int
    failures: Mapping[Hashable, str] = {}
    left: int = 0
