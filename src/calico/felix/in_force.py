"""Which endpoints the kernel enforces by now, for the CNI requests that wait for it.

    the loop, after an apply --set_in_force, set_refused, set_gone--> InForce <--wait-- CNI workers

An endpoint is in force at revision R once every rule, set and route that the record of revision R
asked for is in the kernel, together with every policy the loop had been told of before it. All
records come by one watch in the order they were written, so that is every policy written earlier.

Ownership: the loop writes, workers only wait. A wait ends by its own deadline, always.
"""

import threading
from collections.abc import Callable, Iterable, Mapping

from calico.core.intent.keys import EndpointKey


class InForce:
    """The seam between the loop and the CNI service (cni.gate.EndpointGate)."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._revisions: dict[EndpointKey, int] = {}
        self._refused: dict[EndpointKey, str] = {}
        self._started = False  # until the first apply, what the kernel holds is unknown
        self._blocked = "the agent has not yet read the datastore"

    def set_blocked(self, reason: str) -> None:
        """Say why nothing can come into force now; "" when it can. Shown to those who time out."""
        with self._changed:
            self._blocked = reason

    def set_applied(self, in_force: Mapping[EndpointKey, int], gone: Iterable[EndpointKey]) -> None:
        """Publish what one successful apply achieved."""
        with self._changed:
            self._started = True
            self._revisions.update(in_force)
            for key in in_force:
                self._refused.pop(key, None)
            for key in gone:
                self._revisions.pop(key, None)
                self._refused.pop(key, None)
            self._changed.notify_all()

    def set_refused(self, reasons: Mapping[EndpointKey, str]) -> None:
        """Publish what the kernel refused; who waits goes on waiting, for the retry."""
        with self._changed:
            self._refused.update(reasons)

    def wait_until_in_force(
        self, key: EndpointKey, revision: int, wait_seconds: float
    ) -> str | None:
        """Wait for `key` at `revision` or later. None: in force; else the reason why not yet."""

        def is_in_force() -> bool:
            return self._revisions.get(key, -1) >= revision

        return self._wait(key, is_in_force, wait_seconds)

    def wait_until_gone(self, key: EndpointKey, wait_seconds: float) -> str | None:
        """Wait until nothing of `key` is in the kernel. None: gone; else the reason why not."""

        def is_gone() -> bool:
            return self._started and key not in self._revisions

        return self._wait(key, is_gone, wait_seconds)

    def _wait(self, key: EndpointKey, is_so: Callable[[], bool], wait_seconds: float) -> str | None:
        with self._changed:
            if self._changed.wait_for(is_so, wait_seconds):
                return None
            reason = self._refused.get(key) or self._blocked or "the agent is busy"
            return f"not after {wait_seconds:g} s: {reason}"
