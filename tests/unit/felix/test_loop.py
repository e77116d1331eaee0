"""The loop with everything around it by hand: a turned clock, a dataplane that remembers."""

import itertools

import pytest
from msgspec import Struct

from calico.core.intent.delta import IntentDelta
from calico.core.intent.endpoints import WorkloadEndpoint
from calico.core.intent.keys import EndpointKey, RouteKey
from calico.datastore.client import Entry
from calico.datastore.watcher import WatchKey, WatchState
from calico.felix.in_force import InForce
from calico.felix.inbox import Inbox
from calico.felix.loop import READ_AT_ONCE, Loop, Parts, Restart, Timer
from calico.felix.records import Records
from calico.felix.turns import Turns
from calico.kernel.links import Link
from calico.kernel.notifications import Distrusted, LinkChanged, LinkState, RouteChanged
from calico.reconcile.outcome import Outcome
from calico.telemetry.health import Health
from calico.telemetry.metrics import Metrics

WEB, DB = (EndpointKey("k8s", f"shop/{name}", "eth0") for name in ("web", "db"))
RANGE = "/range/"


class Graph:
    def __init__(self, clock):
        self.next = IntentDelta()
        self.clock, self.takes_seconds = clock, 0.0

    def flush(self):
        self.clock.now += self.takes_seconds
        delta, self.next = self.next, IntentDelta()
        return delta


class Dataplane:
    def __init__(self):
        self.calls = []
        self.outcome = Outcome(0)

    def feed(self, delta):
        self.calls.append(("feed", len(delta.endpoints)))

    def set_links(self, lives):
        self.calls.append(("links", dict(lives)))

    def note_route(self, key, route):
        self.calls.append(("route", key))

    def note_network(self, arrived):
        pass

    def queue_resync(self, part):
        self.calls.append(("resync", part))

    def apply(self):
        self.calls.append(("apply",))
        return self.outcome

    def resyncs(self):
        return [call[1] for call in self.calls if call[0] == "resync"]


class Clock(Struct):
    now: float = 100.0


class World:
    def __init__(self, end_turn=lambda: None, consumers=()):
        self.clock, self.dataplane = Clock(), Dataplane()
        self.graph = Graph(self.clock)
        self.inbox, self.in_force, self.health = Inbox(), InForce(), Health(self.time)
        turns = Turns(self.health, Metrics(), self.time, 90.0)
        parts = Parts(
            inbox=self.inbox,
            records=Records(consumers),
            graph=self.graph,
            dataplane=self.dataplane,
            in_force=self.in_force,
            turns=turns,
            timers=(Timer("routes", 90.0),),
            now=self.time,
            end_turn=end_turn,
        )
        self.loop = Loop(parts, frozenset({RANGE}))

    def time(self):
        return self.clock.now

    def turn(self, **endpoints):
        keys = {"web": WEB, "db": DB}
        self.graph.next = IntentDelta(
            endpoints={
                keys[name]: None if revision is None else WorkloadEndpoint(name, revision=revision)
                for name, revision in endpoints.items()
            }
        )
        self.loop.turn(0)

    def sync(self, **state):
        self.inbox.put({WatchKey(RANGE): WatchState(RANGE, is_in_sync=True, **state)})
        self.loop.turn(0)

    def state(self, key, revision):
        return self.in_force.wait_until_in_force(key, revision, 0)


def test_nothing_is_touched_before_in_sync():
    world = World()
    world.turn(web=1)
    assert world.dataplane.calls == []
    assert not world.health.is_ready
    assert "still reading" in world.health.why_not_ready
    world.sync()
    assert ("apply",) in world.dataplane.calls
    assert world.health.is_ready


class Seen:
    """A consumer of records that notes each, and what it was last."""

    def __init__(self):
        self.keys, self.last = [], {}

    def set_resource(self, key, value, revision=0):
        self.keys.append(key.name)
        self.last[key.name] = value


def profiles(count):
    value = b'{"kind":"Profile","apiVersion":"projectcalico.org/v3","metadata":{"name":"p"}}'
    paths = (f"/calico/resources/v3/projectcalico.org/profiles/p{n}" for n in range(count))
    return {path: Entry(path, value, 1) for path in paths}


def test_a_whole_datastore_is_read_in_parts_and_programmed_at_the_end():
    seen = Seen()
    world = World(consumers=(seen,))
    in_sync = {WatchKey(RANGE): WatchState(RANGE, is_in_sync=True)}
    world.inbox.put({**profiles(2 * READ_AT_ONCE + 1), **in_sync})
    for turn in (1, 2):
        world.loop.turn(0)
        assert len(seen.keys) == turn * READ_AT_ONCE
        assert not world.loop.is_in_sync
        assert world.dataplane.calls == []
    world.inbox.put({"/calico/resources/v3/projectcalico.org/profiles/p0": None})
    world.loop.turn(0)
    assert len(seen.keys) == 2 * READ_AT_ONCE + 2
    assert ("apply",) in world.dataplane.calls


def test_what_changes_while_it_is_read_is_read_once_as_it_is_then():
    seen = Seen()
    world = World(consumers=(seen,))
    world.inbox.put(profiles(READ_AT_ONCE + 1))
    world.loop.turn(0)
    (last,) = set(profiles(READ_AT_ONCE + 1)) - set(profiles(READ_AT_ONCE))
    world.inbox.put({last: None})
    world.loop.turn(0)
    assert seen.keys.count(f"p{READ_AT_ONCE}") == 1
    assert seen.last[f"p{READ_AT_ONCE}"] is None


def test_a_long_thought_leaves_the_rest_to_the_next_turns_twice_at_most():
    world = World()
    world.sync()
    world.graph.takes_seconds = 5.0
    world.dataplane.calls.clear()
    world.turn(web=7)
    assert world.dataplane.calls == []
    world.turn(db=8)
    assert world.dataplane.calls == []
    world.turn()
    assert world.dataplane.calls.count(("apply",)) == 1
    assert [call for call in world.dataplane.calls if call[0] == "feed"][:2] == [("feed", 1)] * 2
    assert world.state(WEB, 7) is None
    assert world.state(DB, 8) is None


def test_nobody_waits_for_what_a_long_thought_left():
    world = World()
    world.sync()
    world.graph.takes_seconds = 5.0
    world.turn(web=7)
    world.graph.takes_seconds = 0.0
    assert world.loop._wait_seconds() == 0.0
    world.turn()
    assert world.state(WEB, 7) is None


def test_in_force_only_after_an_apply_that_worked():
    world = World()
    world.sync()
    world.dataplane.outcome = Outcome(1, {WEB: "chain too long"})
    world.turn(web=7, db=8)
    assert "chain too long" in world.state(WEB, 7)
    assert world.state(DB, 8) is None, "one bad endpoint never holds up the others"
    world.dataplane.outcome = Outcome(1)
    world.loop.turn(0)
    assert world.state(WEB, 7) is None
    assert world.state(WEB, 8) is not None


def test_a_shared_failure_holds_back_everybody():
    world = World()
    world.sync()
    world.dataplane.outcome = Outcome(0, {RouteKey("10.0.0.1/32"): "refused"})
    world.turn(web=7)
    assert "refused" in world.state(WEB, 7)


def test_what_is_held_back_is_not_in_force():
    world = World()
    world.sync()
    world.dataplane.outcome = Outcome(0, held={WEB: "interface is not up"})
    world.turn(web=7)
    assert "not up" in world.state(WEB, 7)


def test_work_that_is_left_delays_the_word():
    world = World()
    world.sync()
    world.dataplane.outcome = Outcome(4000, left=10)
    world.turn(web=7)
    assert world.state(WEB, 7) is not None
    world.dataplane.outcome = Outcome(10)
    world.loop.turn(0)
    assert world.state(WEB, 7) is None


def test_gone_after_the_apply():
    world = World()
    world.sync()
    world.turn(web=7)
    assert world.in_force.wait_until_gone(WEB, 0) is not None
    world.turn(web=None)
    assert world.in_force.wait_until_gone(WEB, 0) is None


def test_failures_are_looked_at_again_with_backoff():
    world = World()
    world.sync()
    world.dataplane.outcome = Outcome(0, {WEB: "refused"})
    retries = []
    for _ in range(400):
        before = len(world.dataplane.resyncs())
        world.loop.turn(0)
        if len(world.dataplane.resyncs()) > before:
            retries.append(world.clock.now)
        world.clock.now += 0.05
    pauses = [b - a for a, b in itertools.pairwise(retries)]
    assert len(retries) >= 6
    assert pauses == sorted(pauses)
    assert pauses[-1] > 4 * pauses[0]


def test_timers_distrust():
    world = World()
    world.sync()
    assert world.dataplane.resyncs() == []
    world.clock.now += 91
    world.loop.turn(0)
    assert world.dataplane.resyncs() == ["routes"]


def test_passes_on_what_the_kernel_says():
    world = World()
    world.sync()
    link = LinkState(Link(5, "cali1", is_up=True), life=3)
    key = RouteKey("10.0.0.1/32", 1024)
    world.inbox.put(
        {
            LinkChanged("cali1"): link,
            LinkChanged("cali2"): None,
            Distrusted("nftables"): True,
            RouteChanged(key): None,
        }
    )
    world.loop.turn(0)
    assert ("links", {"cali1": 3, "cali2": 0}) in world.dataplane.calls
    assert ("resync", "nftables") in world.dataplane.calls
    assert ("route", key) in world.dataplane.calls


def test_a_lost_datastore_is_told_and_takes_nothing_back():
    world = World()
    world.sync()
    world.clock.now += 30
    world.sync(disconnected_since=110.0, reason="no answer from http://192.0.2.1:2379")
    assert not world.health.is_ready
    assert "unreachable for 20 s" in world.health.why_not_ready
    assert "http://192.0.2.1:2379" in world.health.why_not_ready
    assert world.health.is_live
    world.turn(web=7)
    assert world.state(WEB, 7) is None, "goes on programming what it knows"


def test_a_restart_is_asked_for_at_the_end_of_a_turn():
    def end_turn():
        raise Restart("settings changed: log_prefix")

    world = World(end_turn)
    with pytest.raises(Restart, match="log_prefix"):
        world.sync()
