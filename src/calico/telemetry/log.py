"""Log lines that people can read and programs can search.

    log.info("routes applied", extra={"applied": 12, "failed": 1})
        --> 2026-08-01 10:00:00.125 INFO reconcile.routes: routes applied applied=12 failed=1

A line is an event and its facts. Standard `logging`, one logger per module; only programs call
`configure_logging`. The levels are Felix's words, so LogSeverityScreen means what it always meant.

Source: shared/spec felix 6.2 (LogSeverity*, LogFilePath); house B.8.
"""

import logging
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

TRACE = 5

_LEVELS: Mapping[str, int] = {
    "TRACE": TRACE,
    "DEBUG": logging.DEBUG,
    "INFO": logging.INFO,
    "WARNING": logging.WARNING,
    "WARN": logging.WARNING,
    "ERROR": logging.ERROR,
    "FATAL": logging.CRITICAL,
    "PANIC": logging.CRITICAL,
    "NONE": logging.CRITICAL + 1,
    "": logging.CRITICAL + 1,
}

# What a record has before anybody adds facts to it.
_OWN_ATTRIBUTES = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def level_of(word: str) -> int:
    """Translate a severity as Felix spells it, in any case; NONE and "" are silence.

    Raises ValueError for any other word.
    """
    try:
        return _LEVELS[word.upper()]
    except KeyError as error:
        raise ValueError(f"{word!r} is no log severity: use {', '.join(_LEVELS)}") from error


class Formatter(logging.Formatter):
    """Renders the facts of `extra` after the message, as key=value."""

    def format(self, record: logging.LogRecord) -> str:
        """Give the line; a traceback follows it, if there is one."""
        whole = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(record.created))
        where = record.name.removeprefix("calico.")
        level = "TRACE" if record.levelno == TRACE else record.levelname
        facts = "".join(
            f" {name}={_quoted(value)}"
            for name, value in vars(record).items()
            if name not in _OWN_ATTRIBUTES
        )
        line = f"{whole}.{int(record.msecs):03} {level} {where}: {record.getMessage()}{facts}"
        if record.exc_info:
            line = f"{line}\n{self.formatException(record.exc_info)}"
        return line


def _quoted(value: object) -> str:
    text = f"{value:g}" if isinstance(value, float) else str(value)
    if text and not any(c in ' "=' or not c.isprintable() for c in text):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def configure_logging(
    screen: str = "INFO", file: str = "", file_path: str = "", stream: TextIO | None = None
) -> None:
    """Send what is at least `screen` to `stream` (stdout), at least `file` to `file_path`.

    Severities are Felix's words. Replaces what an earlier call set up. Raises OSError.
    """
    handlers: list[logging.Handler] = [logging.StreamHandler(stream or sys.stdout)]
    handlers[0].setLevel(level_of(screen))
    if file_path and level_of(file) <= logging.CRITICAL:
        Path(file_path).parent.mkdir(parents=True, exist_ok=True)
        handlers.append(logging.FileHandler(file_path))
        handlers[1].setLevel(level_of(file))
    root = logging.getLogger()
    for old in tuple(root.handlers):
        if isinstance(old.formatter, Formatter):
            root.removeHandler(old)
            old.close()
    for handler in handlers:
        handler.setFormatter(Formatter())
        root.addHandler(handler)
    root.setLevel(min(handler.level for handler in handlers))


class Repeats:
    """Which of a row of equal failures deserve a line: the first, then every power of two."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[str, tuple[str, int]] = {}

    def note(self, what: str, reason: str = "") -> int:
        """Count a failure; return how many in a row if that is worth a line, else 0.

        Another `reason` begins a new row.
        """
        with self._lock:
            last, count = self._counts.get(what, ("", 0))
            count = count + 1 if last == reason else 1
            self._counts[what] = (reason, count)
            return count if count & (count - 1) == 0 else 0

    def clear(self, what: str) -> int:
        """Note a success; return how many failures it ended."""
        with self._lock:
            return self._counts.pop(what, ("", 0))[1]
