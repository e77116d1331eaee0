"""Follow this node's addresses while it runs.

    every AUTODETECT_POLL_INTERVAL --+
    the kernel: an address came or --+--> register, as at start-up --> Node, if it changed
    went (then once it has settled)  |                            `-> health: NodeAddresses
                                     `-- at most one look in half a second

Whatever goes wrong is said and tried again at the next look: the agent goes on enforcing policy,
where the original ends its process. A datastore that does not answer is tried three times and
changes no verdict; a wish that cannot be met, or an address that is kept though it is gone,
makes the node not ready, with the reason and the fix.

Ownership: this thread reads interfaces and writes this node's Node, nothing else.

Source: shared/spec bgp-confd 5.1, "Address monitor".
"""

import logging
import os
import select
import threading
import time
from collections.abc import Callable, Mapping

from calico.core.model.duration import parse_duration
from calico.datastore.client import DatastoreError
from calico.kernel.interfaces import AddressNews
from calico.kernel.netlink import KernelError
from calico.node.addresses import StartupError
from calico.node.startup import Registered
from calico.telemetry.health import Health, Report

log = logging.getLogger(__name__)

COMPONENT = "NodeAddresses"
DEFAULT_POLL_SECONDS = 60.0
SETTLE_SECONDS = 0.5  # an address that is replaced goes and comes
TRIES, RETRY_SECONDS = 3, 1.0
_STOP_SECONDS = 10.0


def poll_seconds(environment: Mapping[str, str]) -> float:
    """Read AUTODETECT_POLL_INTERVAL ("60s"); what is no interval is said, and not used."""
    text = environment.get("AUTODETECT_POLL_INTERVAL", "").strip()
    if not text:
        return DEFAULT_POLL_SECONDS
    try:
        seconds = parse_duration(text).seconds
    except ValueError:
        seconds = 0.0
    if seconds > 0:
        return seconds
    fix = "write an interval like 30s or 5m"
    log.warning("AUTODETECT_POLL_INTERVAL is not used", extra={"value": text, "fix": fix})
    return DEFAULT_POLL_SECONDS


def report_of(registered: Registered) -> Report:
    """Say how the addresses were found; not ready if one is kept that no interface has."""
    told, is_ready = [], True
    for version, decided in registered.how.items():
        if decided.address:
            told.append(f"IPv{version} {decided.address} ({decided.how})")
            found = decided.detection
            is_ready = is_ready and (found is None or found.chosen is not None)
    return Report(ready=is_ready, detail="; ".join(told))


class Redetection:
    """The thread. `register_again` does what start-up does; it is called by this thread alone."""

    def __init__(
        self, register_again: Callable[[], Registered], health: Health, interval_seconds: float
    ) -> None:
        self._register_again = register_again
        self._health = health
        self._interval_seconds = interval_seconds
        self._stopped = threading.Event()
        self._news = AddressNews()  # in the caller's namespace, before anything can be missed
        self._wake = os.eventfd(0)
        self._last = Report(ready=True)
        self._thread = threading.Thread(target=self._run, name="node-addresses", daemon=True)

    def start(self, first: Registered) -> None:
        """Go on from what start-up registered."""
        self._health.register(COMPONENT, reports_live=False)
        self._report(report_of(first))
        self._thread.start()

    def stop(self) -> None:
        """End the thread; a look that waits for the datastore is left to end by itself."""
        self._stopped.set()
        os.eventfd_write(self._wake, 1)
        if self._thread.ident is not None:
            self._thread.join(_STOP_SECONDS)
        if not self._thread.is_alive():
            self._news.close()
            os.close(self._wake)

    def _run(self) -> None:
        while not self._stopped.is_set():
            self._wait(time.monotonic() + self._interval_seconds)
            if not self._stopped.is_set():
                self._look()

    def _wait(self, until: float) -> None:
        """Wait for the next look: for its time, or a moment after the first news."""
        news = self._news.fileno()
        while not self._stopped.is_set() and (left := until - time.monotonic()) > 0:
            ready, _, _ = select.select([news, self._wake], [], [], left)
            if news in ready and self._news.read():
                until = min(until, time.monotonic() + SETTLE_SECONDS)

    def _look(self) -> None:
        for left in reversed(range(TRIES)):
            try:
                registered = self._register_again()
            except (StartupError, KernelError, OSError) as error:
                self._refused(error)
                return
            except DatastoreError as error:
                self._datastore_failed(error)
                if not left or self._stopped.wait(RETRY_SECONDS):
                    return
            else:
                self._report(report_of(registered))
                return

    def _refused(self, error: Exception) -> None:
        log.error("the node's addresses cannot be used", extra={"reason": str(error)})
        self._report(Report(ready=False, detail=str(error)))

    def _datastore_failed(self, error: DatastoreError) -> None:
        log.warning("the node's addresses were not looked at", extra={"reason": str(error)})
        detail = f"{self._last.detail}; could not be looked at again: {error}"
        self._health.report(COMPONENT, Report(ready=self._last.ready, detail=detail))

    def _report(self, report: Report) -> None:
        if self._last.detail and report.detail != self._last.detail:
            facts = {"ready": report.ready, "addresses": report.detail}
            log.info("node addresses changed", extra=facts)
        self._last = report
        self._health.report(COMPONENT, report)
