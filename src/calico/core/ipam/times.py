"""Moments, as nanoseconds since 1970, and the two texts in which records hold them."""

from datetime import UTC, datetime

SECOND = 1_000_000_000


def rfc3339(moment: int) -> str:
    """Render whole seconds, "2026-08-01T10:00:00Z"."""
    return datetime.fromtimestamp(moment // SECOND, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_rfc3339(text: str) -> int:
    """Read a time of a record; a text that is none counts as long ago."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return 0
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.timestamp()) * SECOND + moment.microsecond * 1000


def go_time(moment: int) -> str:
    """Render as Go prints a time, "2026-08-01 10:00:01.5 +0000 UTC" (attribute `timestamp`)."""
    seconds, nanoseconds = divmod(moment, SECOND)
    fraction = f".{nanoseconds:09d}".rstrip("0") if nanoseconds else ""
    stamp = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")
    return f"{stamp}{fraction} +0000 UTC"
