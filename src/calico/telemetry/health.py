"""Is the process alive, and is it ready? Every component reports; the worst of them decides.

    components --report(name, live, ready, detail)--> Health --> GET /liveness, /readiness
                                                                 200 or 503, and the table

A component that has not reported within its timeout is neither, whatever it said last. The table
says who and why, for people.

Source: shared/spec felix 6.3; the words of the table are Calico's.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping

from msgspec import Struct
from msgspec.structs import replace

from calico.core.model.duration import render_duration
from calico.telemetry.serving import Answer, Pages

log = logging.getLogger(__name__)

HEADER = ("COMPONENT", "TIMEOUT", "LIVENESS", "READINESS", "DETAIL")


class Report(Struct, frozen=True):
    """What a component says of itself."""

    live: bool = True
    ready: bool = False
    detail: str = ""


class Component(Struct, frozen=True):
    """One component and its last report. `timeout_seconds` 0: reports never grow old."""

    name: str
    timeout_seconds: float
    reports_live: bool
    reports_ready: bool
    last: Report
    reported_at: float


class Verdict(Struct, frozen=True):
    """Whether something holds for a component, and in which words."""

    good: bool
    words: str


class Health:
    """Collects reports from any thread. `now` gives monotonic seconds."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._components: dict[str, Component] = {}
        self._overrides: Mapping[str, float] = {}

    def register(
        self,
        name: str,
        timeout_seconds: float = 0.0,
        *,
        reports_live: bool = True,
        reports_ready: bool = True,
    ) -> None:
        """Expect reports of a component: live until told otherwise, not ready until it says so."""
        with self._lock:
            self._components[name] = Component(
                name, timeout_seconds, reports_live, reports_ready, Report(), self._now()
            )

    def report(self, name: str, report: Report) -> None:
        """Accept what a registered component says of itself."""
        with self._lock:
            old = self._components[name]
            self._components[name] = replace(old, last=report, reported_at=self._now())
        if (old.last.live, old.last.ready) != (report.live, report.ready):
            facts = {"component": name, "live": report.live, "ready": report.ready}
            log.info("health changed", extra={**facts, "detail": report.detail})

    def set_timeouts(self, overrides: Mapping[str, float]) -> None:
        """Use other timeouts for these components (HealthTimeoutOverrides; 0: none)."""
        with self._lock:
            self._overrides = dict(overrides)

    @property
    def is_live(self) -> bool:
        """Whether every component is alive."""
        return all(self._liveness(component).good for component in self._snapshot())

    @property
    def is_ready(self) -> bool:
        """Whether every component is ready."""
        return all(self._readiness(component).good for component in self._snapshot())

    @property
    def why_not_ready(self) -> str:
        """Name the components that are not ready, each with its reason; empty if all are."""
        verdicts = [(c, self._readiness(c)) for c in self._snapshot()]
        return "; ".join(
            f"{c.name}: {c.last.detail or verdict.words}"
            for c, verdict in verdicts
            if not verdict.good
        )

    def pages(self) -> Pages:
        """Give what a server shows."""
        return {
            "/liveness": lambda: self._answer(good=self.is_live),
            "/readiness": lambda: self._answer(good=self.is_ready),
        }

    def table(self) -> str:
        """Render every component, for people; empty if there are none."""
        rows = [self._row(component) for component in self._snapshot()]
        return _table([HEADER, *rows]) if rows else ""

    def _snapshot(self) -> list[Component]:
        with self._lock:
            return sorted(self._components.values(), key=lambda component: component.name)

    def _answer(self, *, good: bool) -> Answer:
        text = self.table()
        return Answer((200 if text else 204) if good else 503, text)

    def _liveness(self, component: Component) -> Verdict:
        return self._verdict(component, "live", component.reports_live, component.last.live)

    def _readiness(self, component: Component) -> Verdict:
        return self._verdict(component, "ready", component.reports_ready, component.last.ready)

    def _verdict(self, component: Component, what: str, reports: bool, said: bool) -> Verdict:
        if not reports:
            return Verdict(good=True, words="-")
        timeout_seconds = self._timeout_seconds(component)
        if timeout_seconds and self._now() - component.reported_at > timeout_seconds:
            return Verdict(good=False, words="timed out")
        return Verdict(good=said, words=f"reporting {what}" if said else f"reporting non-{what}")

    def _timeout_seconds(self, component: Component) -> float:
        return self._overrides.get(component.name, component.timeout_seconds)

    def _row(self, component: Component) -> tuple[str, ...]:
        seconds = self._timeout_seconds(component)
        override = " (override)" if component.name in self._overrides else ""
        return (
            component.name,
            (render_duration(round(seconds * 1e9)) if seconds else "-") + override,
            self._liveness(component).words,
            self._readiness(component).words,
            component.last.detail,
        )


def _table(rows: list[tuple[str, ...]]) -> str:
    lines = [[cell.replace("\n", "; ") for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in lines) for column in range(len(HEADER))]
    rule = "+" + "+".join("-" * (width + 2) for width in widths) + "+"
    text = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in lines
    ]
    return "\n".join([rule, text[0], rule, *text[1:], rule])
