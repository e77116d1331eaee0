"""Which cells differ between two matrices: before and after a change, or measured and computed.

{question: bool}, {question: bool} --> differences
"""

from collections.abc import Mapping

from msgspec import Struct

from calico.core.analysis.matrix import Question


class Difference(Struct, frozen=True):
    """One cell that is not the same; None where a side has no answer."""

    question: Question
    before: bool | None
    after: bool | None


def differences(
    before: Mapping[Question, bool], after: Mapping[Question, bool]
) -> tuple[Difference, ...]:
    """List the cells that differ, in the order of `before`, then those only `after` has."""
    cells = dict.fromkeys((*before, *after))
    return tuple(
        Difference(cell, before.get(cell), after.get(cell))
        for cell in cells
        if before.get(cell) is not after.get(cell)
    )
