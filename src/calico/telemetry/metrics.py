"""What the agent counts, under the names that Felix's users already watch.

    metrics.count("felix_int_dataplane_failures")        --+
    metrics.set("felix_resync_state", 3)                   +--> {name: {labels: value}} --> /metrics
    metrics.observe("felix_calc_graph_update_time_...", s) -+

known_metrics.py says which names exist, with their type and labels: any other name raises. A
metric appears when it is first given a value: nothing is exported that nobody fills.

The process metrics are prometheus-client's. Ours are written here, because that library adds
"_total" to the name of every counter and has no quantiles in its summaries: Calico's dashboards
would stay empty.

Source: shared/spec monitoring 8.1 to 8.3.
"""

import math
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import TypeAlias

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest

from calico.telemetry.known_metrics import KNOWN, Known
from calico.telemetry.serving import Answer, Pages

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
QUANTILES = (0.5, 0.9, 0.99)
WINDOW_SECONDS = 600.0
INTERVALS = 5  # of which the window is made: the oldest goes as a whole
MOST_SAMPLES = 500

Labels: TypeAlias = tuple[str, ...]  # the values, in the order of Known.labels
Line: TypeAlias = tuple[str, Mapping[str, str], float]  # suffix, labels, value


class Interval:
    """A fair sample of what was observed in a part of the window."""

    def __init__(self, begun: float) -> None:
        self.begun = begun
        self.values: list[float] = []
        self._seen = 0

    def add(self, value: float) -> None:
        """Take one more; beyond MOST_SAMPLES, each is kept with the same chance."""
        self._seen += 1
        if len(self.values) < MOST_SAMPLES:
            self.values.append(value)
        elif (place := random.randrange(self._seen)) < MOST_SAMPLES:  # noqa: S311  # statistics
            self.values[place] = value


class Observations:
    """One summary: a count and a sum for ever, quantiles of the last ten minutes."""

    def __init__(self) -> None:
        self.count = 0
        self.sum = 0.0
        self._intervals: deque[Interval] = deque()

    def add(self, now: float, value: float) -> None:
        """Take one more."""
        self.count += 1
        self.sum += value
        if not self._intervals or now - self._intervals[-1].begun >= WINDOW_SECONDS / INTERVALS:
            self._intervals.append(Interval(now))
        self._intervals[-1].add(value)
        self._forget(now)

    def quantiles(self, now: float) -> Mapping[float, float]:
        """Return {fraction: the value that this fraction stays below}; NaN if nothing is new."""
        self._forget(now)
        values = sorted(value for interval in self._intervals for value in interval.values)
        last = len(values) - 1
        return {q: values[round(q * last)] if values else math.nan for q in QUANTILES}

    def _forget(self, now: float) -> None:
        while self._intervals and now - self._intervals[0].begun >= WINDOW_SECONDS:
            self._intervals.popleft()


class Metrics:
    """All metrics of one process; any thread may write. `now` gives monotonic seconds."""

    def __init__(
        self, process_metrics: bool = True, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._numbers: dict[str, dict[Labels, float]] = {}
        self._summaries: dict[str, dict[Labels, Observations]] = {}
        self._process = CollectorRegistry()
        if process_metrics:
            ProcessCollector(registry=self._process)

    def count(self, name: str, by: float = 1.0, **labels: str) -> None:
        """Add to a counter."""
        known, key = _known(name, labels, "counter")
        with self._lock:
            numbers = self._numbers.setdefault(known.name, {})
            numbers[key] = numbers.get(key, 0.0) + by

    def set(self, name: str, value: float, **labels: str) -> None:
        """Set a gauge."""
        known, key = _known(name, labels, "gauge")
        with self._lock:
            self._numbers.setdefault(known.name, {})[key] = float(value)

    def observe(self, name: str, value: float, **labels: str) -> None:
        """Add one observation to a summary."""
        known, key = _known(name, labels, "summary")
        with self._lock:
            found = self._summaries.setdefault(known.name, {})
            found.setdefault(key, Observations()).add(self._now(), float(value))

    def exposition(self) -> str:
        """Render everything in Prometheus' text format."""
        with self._lock:
            ours = "".join(self._lines())
        return ours + generate_latest(self._process).decode()

    def pages(self) -> Pages:
        """Give what a server shows."""
        return {"/metrics": lambda: Answer(200, self.exposition(), CONTENT_TYPE)}

    def _lines(self) -> Iterator[str]:
        for name in sorted(self._numbers.keys() | self._summaries.keys()):
            known = KNOWN[name]
            yield f"# HELP {name} {known.help}\n# TYPE {name} {known.kind}\n"
            for suffix, labels, value in self._samples(known):
                text = ",".join(f'{key}="{_escaped(labels[key])}"' for key in sorted(labels))
                braces = f"{{{text}}}" if text else ""
                yield f"{name}{suffix}{braces} {_number(value)}\n"

    def _samples(self, known: Known) -> Iterator[Line]:
        for key, number in sorted(self._numbers.get(known.name, {}).items()):
            yield "", dict(zip(known.labels, key, strict=True)), number
        now = self._now()
        for key, found in sorted(self._summaries.get(known.name, {}).items()):
            labels = dict(zip(known.labels, key, strict=True))
            for fraction, value in found.quantiles(now).items():
                yield "", {**labels, "quantile": f"{fraction:g}"}, value
            yield "_sum", labels, found.sum
            yield "_count", labels, float(found.count)


def _known(name: str, labels: Mapping[str, str], kind: str) -> tuple[Known, Labels]:
    known = KNOWN[name]
    if known.kind != kind or set(labels) != set(known.labels):
        raise AssertionError(f"{name} is a {known.kind} with labels {known.labels}")
    return known, tuple(labels[label] for label in known.labels)


def _number(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    return str(int(value)) if value.is_integer() else repr(value)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
