"""What the loop tells the world about its turns: health, metrics, one log line per turn.

    loop --alive, applied, watch_changed--> Turns --> Health (why not ready), Metrics, log

Two components answer /readiness for the loop, by Felix's names, and one more of ours: the
datastore, which says since when it cannot be reached while the agent goes on enforcing what it
has.

Source: shared/spec felix 6.3, monitoring 8.2.
"""

import logging
from collections.abc import Callable, Mapping

from calico.core.intent.delta import IntentDelta
from calico.datastore.watcher import WatchState
from calico.reconcile.outcome import Outcome
from calico.telemetry.health import Health, Report
from calico.telemetry.log import Repeats
from calico.telemetry.metrics import Metrics

log = logging.getLogger(__name__)

CALCULATION, DATAPLANE, DATASTORE = "CalculationGraph", "InternalDataplaneMainLoop", "Datastore"
CALCULATION_TIMEOUT_SECONDS = 30.0
RESYNC_STATES = {"wait": 1, "reading": 2, "in-sync": 3}


class Turns:
    """One per loop, and used by it alone."""

    def __init__(
        self,
        health: Health,
        metrics: Metrics,
        now: Callable[[], float],
        watchdog_seconds: float,
    ) -> None:
        self._health = health
        self._metrics = metrics
        self._now = now
        self._failures = Repeats()
        self._states: dict[str, WatchState] = {}
        self._refused: Mapping[object, str] = {}
        self._started = now()
        self._thought_seconds = 0.0
        health.register(CALCULATION, CALCULATION_TIMEOUT_SECONDS)
        health.register(DATAPLANE, max(watchdog_seconds, 20.0))
        health.register(DATASTORE, reports_live=False)
        metrics.set("felix_resync_state", RESYNC_STATES["wait"])

    def alive(self, is_in_sync: bool, has_applied: bool) -> None:
        """Report at the end of every turn."""
        reading = "" if is_in_sync else "still reading the datastore"
        self._health.report(CALCULATION, Report(ready=is_in_sync, detail=reading))
        detail = "" if has_applied else "nothing is programmed before the datastore is in sync"
        if self._refused:
            first = next(iter(self._refused.items()))
            detail = f"{len(self._refused)} refused by the kernel, e.g. {first[0]}: {first[1]}"
        self._health.report(DATAPLANE, Report(ready=has_applied, detail=detail))
        self._health.report(DATASTORE, self._datastore_report())

    def reading(self, left: int) -> None:
        """Say how far the reading of a whole datastore has come."""
        log.info("reading the datastore", extra={"records_left": left})

    def put_off(self, seconds: float) -> None:
        """Say that the rest of a turn is left to the next, after so long a thought."""
        log.info("thought for long", extra={"milliseconds": round(seconds * 1000, 2)})

    def thought(self, delta: IntentDelta, seconds: float) -> None:
        """Count what the core gave out."""
        self._thought_seconds = seconds
        changes = sum(
            len(part)
            for part in (delta.ip_sets, delta.members, delta.policies, delta.profiles,
                         delta.endpoints, delta.pools)
        )  # fmt: skip
        if changes:
            self._metrics.count("felix_calc_graph_output_events", changes)
            self._metrics.observe("felix_calc_graph_update_time_seconds", seconds)
            self._metrics.observe("felix_int_dataplane_msg_batch_size", changes)

    def applied(self, outcome: Outcome, seconds: float) -> None:
        """Log and count one apply, if it did something."""
        self._refused = outcome.failures
        if not outcome.applied and not outcome.failures:
            return
        facts = {
            "applied": outcome.applied,
            "left": outcome.left,
            "milliseconds": round(seconds * 1000, 2),
            "thought_milliseconds": round(self._thought_seconds * 1000, 2),
        }
        log.info("turn", extra=facts)
        self._metrics.observe("felix_int_dataplane_apply_time_seconds", seconds)
        if outcome.failures:
            self._metrics.count("felix_int_dataplane_failures")
        for key, reason in outcome.failures.items():
            if times := self._failures.note(str(key), reason):
                log.warning(
                    "refused by the kernel, will retry",
                    extra={"what": str(key), "reason": reason, "times": times},
                )

    def repaired(self, part: str, count: int) -> None:
        """Log what was put right that somebody else had changed."""
        log.warning("repaired a foreign change", extra={"part": part, "changes": count})
        self._metrics.count("calico_foreign_changes_repaired", count, part=part)

    def first_applied(self) -> None:
        """Note that the kernel holds the intent for the first time in this life."""
        seconds = self._now() - self._started
        log.info("in force", extra={"seconds_since_start": round(seconds, 3)})
        self._metrics.set("felix_int_dataplane_initial_resync_time_seconds", seconds)

    def watch_changed(self, state: WatchState) -> None:
        """Note how far a range has been followed, and whether it can be."""
        known = self._states.get(state.prefix)
        self._states[state.prefix] = state
        if known is None or not known.is_in_sync:
            self._metrics.count("felix_resyncs_started")
        in_sync = all(each.is_in_sync for each in self._states.values())
        self._metrics.set("felix_resync_state", RESYNC_STATES["in-sync" if in_sync else "reading"])

    def _datastore_report(self) -> Report:
        lost = [s for s in self._states.values() if s.disconnected_since is not None]
        if not lost:
            return Report(ready=bool(self._states), detail="" if self._states else "not read yet")
        longest = min(lost, key=lambda state: state.disconnected_since or 0.0)
        seconds = self._now() - (longest.disconnected_since or 0.0)
        detail = f"unreachable for {seconds:.0f} s ({longest.reason}); enforcing what was last read"
        return Report(ready=False, detail=detail)
