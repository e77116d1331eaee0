"""Where the threads that listen meet the loop that works.

    watch responses -----+
    kernel messages -----+--> Inbox {key: latest} --take--> the loop, all of it at once
    timers, requests ----+

A key that changes ten times before the loop looks is worked on once. A sender never waits, so no
two threads can wait for each other, and memory is bounded by the number of keys that exist.

Invariant: what `take` returns is every update up to some moment of each sender, never a part.
"""

import threading
from collections.abc import Mapping
from typing import Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


class Inbox(Generic[Key, Value]):
    """The only object that listeners and the loop share."""

    def __init__(self) -> None:
        self._arrived = threading.Condition()
        self._latest: dict[Key, Value] = {}

    def put(self, updates: Mapping[Key, Value]) -> None:
        """Hand over one whole response; called by listener threads."""
        with self._arrived:
            self._latest.update(updates)
            self._arrived.notify()

    def take(self, wait_seconds: float) -> dict[Key, Value]:
        """Return all that has arrived, to keep, waiting for something if need be."""
        with self._arrived:
            if not self._latest:
                self._arrived.wait(wait_seconds)
            taken, self._latest = self._latest, {}
            return taken
