"""Watch a cluster while something is done to it: nothing may slip through, nothing may break.

    with Watch(world, closed=[...], open_=[...]) as watch:   what must never, and always, pass
        ... churn ...
    watch.assert_kept()

Closed: new connections, all the time; one that gets through is a leak. Open: connections made
before, which must stay alive to the end. A thread asks, so that the test can do its worst.
"""

import threading

from calico.core.analysis.matrix import Port, Question
from calico.lab.probe import Ports, Prober

ANSWER_SECONDS = 10.0  # how long a packet of an established connection may take


class Watch:
    def __init__(self, world, closed, open_):
        self._asked = [
            Question(source, destination, version, *port)
            for source, destination, port in closed
            for version in (4, 6)
        ]
        # Found once: while nodes or etcd are away nobody may be asked where pods are.
        origins = world.cluster.origins(outside=True)
        names = {name for source, destination, _ in closed for name in (source, destination)}
        mine = [origin for origin in origins if origin.party.name in names]
        self._prober = Prober(mine, Ports(world.cluster.place.directory / "ports"))
        self._flows = {
            (source, destination, version): world.flow(source, destination, port, version)
            for source, destination, port in open_
            for version in (4, 6)
        }
        self.answer_seconds = ANSWER_SECONDS
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._error = None
        self.leaks = {}
        self.broken = set()
        self.rounds = 0

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._ended.set()
        self._thread.join()
        for flow in self._flows.values():
            flow.close()

    def _watch(self):
        try:
            while not self._ended.is_set():
                self._round()
            self._round()  # once more after all was done
        except BaseException as error:  # noqa: BLE001  # raised again in the test's thread
            self._error = error

    def _round(self):
        for question, passed in self._prober.matrix(self._asked).items():
            if passed:
                self.leaks[question] = self.leaks.get(question, 0) + 1
        for key, flow in self._flows.items():
            if key not in self.broken and not flow.exchange(self.answer_seconds):
                self.broken.add(key)
        self.rounds += 1

    def wait_for_rounds(self, count):
        """Return once this many more rounds have been asked."""
        until, tick = self.rounds + count, threading.Event()
        for _ in range(10_000):
            if self.rounds >= until or not self._thread.is_alive():
                return
            tick.wait(0.02)
        raise AssertionError("the watch does not get on")

    def assert_kept(self):
        if self._error:
            raise self._error
        assert not self.leaks, f"got through: {self.leaks}"
        assert not self.broken, f"established connections broke: {self.broken}"
        assert self.rounds >= 2


TCP_80, TCP_8080, UDP_53, ICMP = Port("tcp", 80), Port("tcp", 8080), Port("udp", 53), Port("icmp")
