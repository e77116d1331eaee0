"""One row of the budget table, and how it is printed.

Row: what, ours, target, the original's figure, and where the time goes if we are late
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

WIDTHS = 56, 22, 16, 20


@dataclass(frozen=True)
class Row:
    """`ours` and `target` are figures of one unit, in the same order; None: no target."""

    what: str
    unit: str
    ours: tuple[float, ...]
    target: tuple[float | None, ...] = ()
    original: str = ""
    goes_to: str = ""  # printed when a target is missed
    more_is_better: bool = False

    @property
    def missed(self) -> bool:
        """Whether any of the figures is beyond its target."""
        pairs = zip(self.ours, self.target, strict=False)
        late = (mine > limit for mine, limit in pairs if limit is not None)
        few = (mine < limit for mine, limit in pairs if limit is not None)
        return any(few) if self.more_is_better else any(late)

    @property
    def verdict(self) -> str:
        """Say in a word how it went."""
        if not any(limit is not None for limit in self.target):
            return ""
        return "MISSED" if self.missed else "met"


def figures(values: Sequence[float | None], unit: str) -> str:
    """Write figures of one unit: "4.7 / 9.1 ms"."""
    if all(value is None for value in values):
        return ""
    known = ("-" if value is None else _figure(value) for value in values)
    return f"{' / '.join(known)} {unit}"


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def heading() -> str:
    """Name the columns."""
    return _columns("", "ours", "target", "the original") + "\n" + "-" * (sum(WIDTHS) + 9)


def line(row: Row) -> str:
    """Write one row; below it, if a target was missed, where the time goes."""
    text = _columns(
        row.what, figures(row.ours, row.unit), figures(row.target, row.unit), row.original
    )
    text = f"{text} {row.verdict}".rstrip()
    return f"{text}\n    goes to: {row.goes_to}" if row.missed and row.goes_to else text


def _columns(*cells: str) -> str:
    return " ".join(cell.ljust(width) for cell, width in zip(cells, WIDTHS, strict=True))


def spread(seconds: Sequence[float]) -> tuple[float, float]:
    """Return the median and the 95th percentile, in milliseconds."""
    ordered = sorted(seconds)
    return median(ordered) * 1000, ordered[int(len(ordered) * 0.95)] * 1000
