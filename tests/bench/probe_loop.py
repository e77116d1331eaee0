"""The process that probes: datagrams at short intervals, and when their fate changed.

    python -I probe_loop.py SENDER RECEIVER ADDRESS PORT     the first two are open sockets

Prints "<0|1> <monotonic seconds>" whenever the verdict changed; the time is when the first datagram
with the new verdict was sent. A datagram whose fate is not known after LOST_SECONDS was dropped:
between two namespaces it takes microseconds. None is ever answered, so connection tracking takes
every one of them for the first of its flow, and no rule for established flows lets it in.
"""

import contextlib
import socket
import sys
import time

INTERVAL_SECONDS = 0.0002
LOST_SECONDS = 0.1


class Verdict:
    """What happens to datagrams, as far as it is known."""

    def __init__(self):
        self._passes = None
        self._sent = {}  # sequence -> when, of those whose fate is not known
        self._sequence = 0

    def next(self, now):
        self._sequence += 1
        self._sent[self._sequence] = now
        return self._sequence.to_bytes(4)

    def arrived(self, sequence):
        when = self._sent.get(sequence)
        if when is None:
            return
        for known in [other for other in self._sent if other <= sequence]:
            del self._sent[known]  # a queue is first in, first out
        self._is_now(True, when)

    def give_up(self, now):
        while self._sent:
            sequence, when = next(iter(self._sent.items()))
            if now - when < LOST_SECONDS:
                return
            del self._sent[sequence]
            self._is_now(False, when)

    def _is_now(self, passes, when):
        if passes is not self._passes:
            self._passes = passes
            print(int(passes), f"{when:.6f}", flush=True)


def main():
    sender, receiver = (socket.socket(fileno=int(text)) for text in sys.argv[1:3])
    receiver.setblocking(False)
    target = sys.argv[3], int(sys.argv[4])
    verdict = Verdict()
    while True:
        now = time.monotonic()
        sender.sendto(verdict.next(now), target)
        with contextlib.suppress(BlockingIOError):
            while True:
                verdict.arrived(int.from_bytes(receiver.recv(64)))
        verdict.give_up(now)
        time.sleep(INTERVAL_SECONDS)


main()
