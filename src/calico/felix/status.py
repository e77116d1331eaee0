"""Report that this agent is alive, under Felix's keys.

    every ReportingIntervalSecs: status (goes by itself after ReportingTTLSecs)
                                 last_reported_status (stays)       --> datastore/writer

Source: shared/spec datastore-etcd 1.7, felix 6.12.
"""

from collections.abc import Mapping

import msgspec

from calico.datastore.writer import Status

REGION = "no-region"
FIRST_REPORT_SECONDS = 10.0


class Report(msgspec.Struct, frozen=True):
    """What Felix writes: UTC time in whole seconds, uptime in seconds."""

    time: str
    uptime: float
    first_update: bool


class StatusReporter:
    """Says when a report is due, and what it is. The loop asks after every turn."""

    def __init__(self, node_name: str, interval_seconds: float, ttl_seconds: float) -> None:
        self._prefix = f"/calico/felix/v2/{REGION}/host/{node_name}"
        self._interval_seconds = interval_seconds
        self._ttl_seconds = int(ttl_seconds)
        self._due = FIRST_REPORT_SECONDS
        self._is_first = True

    def due(self, uptime_seconds: float, utc: str) -> Mapping[str, Status | None]:
        """Return the records to write now; empty while none is due, or reports are off."""
        if not self._interval_seconds or uptime_seconds < self._due:
            return {}
        self._due = uptime_seconds + self._interval_seconds
        value = msgspec.json.encode(Report(utc, round(uptime_seconds, 3), self._is_first))
        self._is_first = False
        return {
            f"{self._prefix}/status": Status(value, self._ttl_seconds),
            f"{self._prefix}/last_reported_status": Status(value),
        }
