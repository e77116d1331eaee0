"""Lengths of time in the text form of the Go language: "90s", "1m30s", "5m0s".

    "90s" --parse--> Duration(nanoseconds) --text--> "1m30s"

Any form is read, the canonical one is written, so a record that passes through us comes out as
it would from the Go client.

Source: Go's time.ParseDuration and Duration.String.
"""

import re
from functools import total_ordering

NANOSECONDS = {
    "ns": 1,
    "us": 1_000,
    "\u00b5s": 1_000,
    "\u03bcs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
PART = re.compile(r"([0-9]*)(?:\.([0-9]*))?(ns|us|\u00b5s|\u03bcs|ms|s|m|h)")
LIMIT = 1 << 63


@total_ordering
class Duration:
    """A signed length of time, exact to the nanosecond. Immutable by convention."""

    __slots__ = ("nanoseconds",)

    def __init__(self, nanoseconds: int = 0) -> None:
        self.nanoseconds = nanoseconds

    @property
    def seconds(self) -> float:
        """The length in seconds."""
        return self.nanoseconds / 1_000_000_000

    @property
    def text(self) -> str:
        """The canonical form: hours, minutes and seconds, or one smaller unit."""
        return render_duration(self.nanoseconds)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Duration) and self.nanoseconds == other.nanoseconds

    def __lt__(self, other: "Duration") -> bool:
        return self.nanoseconds < other.nanoseconds

    def __hash__(self) -> int:
        return hash(self.nanoseconds)

    def __repr__(self) -> str:
        return f"Duration({self.nanoseconds})"

    def __str__(self) -> str:
        return self.text


def of_seconds(seconds: float) -> Duration:
    """Return the duration of so many seconds."""
    return Duration(round(seconds * 1_000_000_000))


def parse_duration(text: str) -> Duration:
    """Read Go duration text. Raises ValueError."""
    sign, rest = (-1, text[1:]) if text.startswith("-") else (1, text.removeprefix("+"))
    if rest == "0":
        return Duration(0)
    if not rest:
        raise ValueError(f"'{text}' is not a duration; write it like 90s or 1m30s")
    total, position = 0, 0
    while position < len(rest):
        part = PART.match(rest, position)
        if part is None or not (part[1] or part[2]):
            raise ValueError(f"'{text}' is not a duration; write it like 90s or 1m30s")
        unit = NANOSECONDS[part[3]]
        fraction = part[2] or ""
        total += int(part[1] or "0") * unit + int(fraction or "0") * unit // 10 ** len(fraction)
        position = part.end()
    if total >= LIMIT:
        raise ValueError(f"'{text}' is longer than 292 years")
    return Duration(sign * total)


def render_duration(nanoseconds: int) -> str:
    """Write a length of time as Go does."""
    if nanoseconds == 0:
        return "0s"
    sign, rest = ("-", -nanoseconds) if nanoseconds < 0 else ("", nanoseconds)
    for unit in ("ns", "\u00b5s", "ms"):
        size = NANOSECONDS["us" if unit == "\u00b5s" else unit]
        if rest < size * 1000:
            return f"{sign}{decimal(rest, size)}{unit}"
    minutes, rest = divmod(rest, NANOSECONDS["m"])
    hours, minutes = divmod(minutes, 60)
    seconds = f"{decimal(rest, NANOSECONDS['s'])}s"
    if hours:
        return f"{sign}{hours}h{minutes}m{seconds}"
    return f"{sign}{minutes}m{seconds}" if minutes else f"{sign}{seconds}"


def decimal(value: int, unit: int) -> str:
    """Write value / unit exactly, without trailing zeros."""
    whole, rest = divmod(value, unit)
    fraction = f"{rest:0{len(str(unit)) - 1}d}".rstrip("0") if rest else ""
    return f"{whole}.{fraction}" if fraction else str(whole)
