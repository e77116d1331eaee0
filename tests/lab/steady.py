"""Datagrams at a steady pace, every one of which must be answered.

    with Steady(origin, destination, version) as steady:
        ... change something ...
    assert steady.lost == []

TCP would send again and hide a loss; this counts.
"""

import os
import socket
import threading
from contextlib import suppress
from time import monotonic

from calico.kernel import netns

PACE_SECONDS = 0.004
LAST_SECONDS = 2.0  # how long an answer may take


class Steady:
    def __init__(self, origin, destination, version=4, port=53):
        address = destination.address(version)
        family = socket.AF_INET if version == 4 else socket.AF_INET6
        descriptor = netns.open_path(origin.namespace)
        try:
            with netns.inside(descriptor):
                self._socket = socket.socket(family, socket.SOCK_DGRAM)
        finally:
            os.close(descriptor)
        self._socket.connect((address, port))
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=each) for each in (self._send, self._receive)]
        self.sent, self._answered = 0, set()
        self.times = {}

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._ended.set()
        for thread in self._threads:
            thread.join()
        self._socket.close()

    @property
    def lost(self):
        return [number for number in range(self.sent) if number not in self._answered]

    def gap(self):
        """Say when, after the start, what was lost was sent; for whoever reads a failure."""
        lost = self.lost
        if not lost:
            return "none lost"
        first, last = (self.times[n] - self.times[0] for n in (lost[0], lost[-1]))
        return f"{len(lost)} of {self.sent} lost, sent between {first:.3f} and {last:.3f} s"

    def wait_for(self, count):
        """Return once so many more were sent."""
        until, tick = self.sent + count, threading.Event()
        for _ in range(10_000):
            if self.sent >= until:
                return
            tick.wait(PACE_SECONDS)
        raise AssertionError("nothing is sent")

    def _send(self):
        while not self._ended.wait(PACE_SECONDS):
            self.times[self.sent] = monotonic()
            with suppress(OSError):  # no route, or an earlier refusal: it counts as lost
                self._socket.send(b"%d" % self.sent)
            self.sent += 1

    def _receive(self):
        self._socket.settimeout(0.05)
        until = None
        while until is None or (monotonic() < until and self.lost):
            if self._ended.is_set() and until is None:
                until = monotonic() + LAST_SECONDS
            try:
                self._answered.add(int(self._socket.recv(2048).rpartition(b" ")[2]))
            except OSError:
                continue
