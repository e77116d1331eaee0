"""What is applied before what in one turn, and why.

    rules -> settings -> tunnels -> neighbours -> routes -> old tunnels
    |        |           |          |             |         `- nothing leads there any more
    |        |           |          |             `- only now do packets reach a workload
    |        |           |          `- before routes: no packet asks for the MAC we know
    |        |           `- before what points at them
    |        `- forwarding and local routes open the way, so what closes it stands first
    `- each table is one transaction: sets, then chains that use them, then the removal of both

One order serves for arrivals and departures. An endpoint that goes loses its rules first, and
what is still routed to it meets the dispatch maps' "unknown interface: drop".

The rules guard the rest: in a turn in which a table could not be programmed at all, nothing that
lets traffic pass is added. A refusal of single rules or routes holds up nothing but its own key.

Invariant: at no point between two steps can a packet pass that the policies forbid.
Source: felix spec 6.4, 6.7, 6.13; felix/dataplane/linux/int_dataplane.go.
"""

import logging
from collections.abc import Callable, Hashable, Sequence
from typing import Protocol

from msgspec import Struct

from calico.kernel.netlink import KernelError
from calico.reconcile.outcome import Outcome

log = logging.getLogger(__name__)


class Reconciler(Protocol):
    """All that the order needs of one."""

    def apply(self) -> Outcome:
        """Close the gap, or a bounded part of it. Raises KernelError if unreadable."""
        ...


class Step(Struct, frozen=True):
    """One reconciler's turn. While a guard fails, the steps after the guards wait."""

    name: str
    apply: Callable[[], Outcome]
    is_guard: bool = False


class StepFailed(Struct, frozen=True):
    """Key of a failure that is of no single thing: the step could not be taken at all."""

    step: str


def in_order(
    rules: Sequence[tuple[str, Reconciler]], others: Sequence[tuple[str, Reconciler]]
) -> tuple[Step, ...]:
    """List the steps: `others` are settings, tunnels, neighbours and so on, in that order."""
    guards = (Step(name, reconciler.apply, is_guard=True) for name, reconciler in rules)
    return (*guards, *(Step(name, reconciler.apply) for name, reconciler in others))


def take(steps: Sequence[Step], owner: Callable[[Hashable], Hashable | None]) -> Outcome:
    """Take every step and add up the outcomes.

    `owner` says whose a key is, so that who waits for an endpoint learns of its routes; what is
    nobody's stays under its own key.
    """
    total = _Sum(owner)
    closed = False
    for step in steps:
        if closed and not step.is_guard:
            total.failures.setdefault(StepFailed(step.name), "waits for the rules")
            continue
        try:
            total.add(step.apply())
        except KernelError as error:
            log.warning("step failed", extra={"step": step.name, "error": str(error)})
            total.failures[StepFailed(step.name)] = str(error)
            closed = closed or step.is_guard
    return Outcome(total.applied, total.failures, total.left, total.held, total.again_seconds)


class _Sum:
    def __init__(self, owner: Callable[[Hashable], Hashable | None]) -> None:
        self._owner = owner
        self.applied, self.left = 0, 0
        self.again_seconds: float | None = None
        self.failures: dict[Hashable, str] = {}
        self.held: dict[Hashable, str] = {}

    def add(self, outcome: Outcome) -> None:
        self.applied += outcome.applied
        self.left += outcome.left
        wishes = [s for s in (self.again_seconds, outcome.again_seconds) if s is not None]
        self.again_seconds = min(wishes, default=None)
        for found, total in ((outcome.failures, self.failures), (outcome.held, self.held)):
            for key, reason in found.items():
                owner = self._owner(key)
                total.setdefault(key if owner is None else owner, reason)
