"""Any story of intent, drift, refusals and interfaces that come and go ends as intended.

The kernel of these stories is the fake one, held to the real one by tests/contract.
"""

from hypothesis import given
from hypothesis import strategies as st

from calico.core.intent.interfaces import NeighbourKey
from calico.core.intent.keys import RouteKey
from calico.core.intent.routes import Delete, Replace, Route
from calico.kernel.fake import FakeNeighbourTable, FakeRouteTable
from calico.kernel.routes import Ownership
from calico.reconcile.neighbours import NeighbourReconciler
from calico.reconcile.route_plan import changes_hands, is_of_one_address, plan
from calico.reconcile.routes import RouteReconciler

INTERFACES = ["cali1", "cali2", "eth0"]
interfaces = st.sampled_from(INTERFACES)
destinations = st.sampled_from(["10.0.0.1/32", "10.1.0.0/26"])
metrics = st.sampled_from([0, 1024])
routes = st.builds(
    Route,
    destinations,
    interface=interfaces,
    gateway=st.sampled_from(["", "192.0.2.1"]),
    protocol=st.sampled_from([3, 80]),
    metric=metrics,
).filter(Ownership().owns) | st.builds(
    Route, destinations, kind=st.just("blackhole"), protocol=st.just(80), metric=metrics
)
protocols = st.sampled_from([2, 3, 4, 12, 80])
foreign = st.builds(Route, destinations, interface=interfaces, protocol=protocols, metric=metrics)
keys = st.builds(RouteKey, destinations, metrics)

steps = st.one_of(
    st.tuples(st.just("intend"), routes),
    st.tuples(st.just("intend"), routes),
    st.tuples(st.just("drop"), keys),
    st.tuples(st.just("write"), foreign),
    st.tuples(st.just("remove"), keys),
    st.tuples(st.just("refuse"), keys),
    st.tuples(st.just("up"), interfaces),
    st.tuples(st.just("down"), interfaces),
    st.tuples(st.just("flap"), interfaces),
    st.tuples(st.just("resync"), st.none()),
    st.tuples(st.just("wait"), st.sampled_from([1, 10])),
)
turns = st.tuples(st.lists(steps, min_size=1, max_size=3), st.integers(1, 4))


class WatchedTable(FakeRouteTable):
    """A table that knows whose connections are still there when an address gets a route."""

    def __init__(self, intended):
        super().__init__()
        self.intended = intended
        self.holders, self.clean = {}, set()

    def apply(self, changes):
        failures = super().apply(changes)
        for change in changes:
            route = change.route
            if (
                isinstance(change, Replace)
                and is_of_one_address(route)
                and route.key not in failures
            ):
                former = self.holders.get(route.destination)
                if former is not None and changes_hands(former, route):
                    assert route.destination in self.clean or self.stays(former)
                self.holders[route.destination] = route
                self.clean.discard(route.destination)
        return failures

    def stays(self, former):
        """Whether the former holder keeps the address, by a route of another metric."""
        return any(
            route.destination == former.destination and not changes_hands(former, route)
            for route in self.intended.values()
        )

    def forget(self, addresses):
        self.clean.update(f"{address}/32" for address in addresses)


class Story:
    def __init__(self):
        self.intended = {}
        self.table = WatchedTable(self.intended)
        self.seconds = 0.0
        self.reconciler = RouteReconciler(self.table, lambda: self.seconds, self.table.forget)
        self.lives = 0
        for interface in INTERFACES:
            self.up(interface)

    def intend(self, route):
        self.intended[route.key] = route
        self.reconciler.update({route.key: route})

    def drop(self, key):
        self.intended.pop(key, None)
        self.reconciler.update({key: None})

    def write(self, route):
        if route.interface in self.table.up:
            self.table.routes[route.key] = route
            owned = Ownership().owns(route)
            self.reconciler.note(route.key, route if owned else None)

    def remove(self, key):
        if self.table.routes.pop(key, None):
            self.reconciler.note(key, None)

    def refuse(self, key):
        self.table.refused = {key}

    def up(self, interface):
        if interface not in self.table.up:
            self.table.up.add(interface)
            self.lives += 1
            self.reconciler.set_links({interface: self.lives})

    def down(self, interface):
        self.table.set_down(interface)
        self.reconciler.set_links({interface: 0})

    def flap(self, interface):
        """Down and up so quickly that only the last word arrives."""
        self.table.set_down(interface)
        self.up(interface)

    def resync(self, _):
        self.reconciler.queue_resync()

    def wait(self, seconds):
        self.seconds += seconds

    def apply(self, at_most):
        before = len(self.table.written)
        outcome = self.reconciler.apply(at_most)
        assert len(self.table.written) - before <= 4 * at_most
        assert not set(outcome.failures) & set(outcome.held)

    def expected(self):
        return {
            key: route
            for key, route in self.intended.items()
            if not route.interface or route.interface in self.table.up
        }

    def ours(self):
        return {k: r for k, r in self.table.routes.items() if Ownership().owns(r)}


@given(st.lists(turns, max_size=12), st.booleans())
def test_every_story_ends_as_intended(story, resyncs):
    world = Story()
    for told, at_most in story:
        for step, value in told:
            getattr(world, step)(value)
        world.apply(at_most)
    world.table.refused = set()
    world.wait(10)
    if resyncs or any(step == "refuse" for told, _ in story for step, _ in told):
        world.resync(None)
    for _ in range(20):
        if not world.reconciler.apply(3).left:
            break
    outcome = world.reconciler.apply(100)
    assert world.ours() == world.expected()
    assert set(outcome.held) == set(world.intended) - set(world.expected())
    assert outcome.failures == {}
    before = len(world.table.written)
    assert world.reconciler.apply(100).applied == 0
    assert len(world.table.written) == before, "a second apply attempts nothing"


moves = st.tuples(
    st.sampled_from(["intend", "drop", "flap", "down", "up", "resync"]),
    st.sampled_from(["cali1", "cali2"]),
)


@given(st.lists(moves, max_size=20))
def test_nobody_inherits_connections(story):
    """The table of the story watches; see WatchedTable."""
    world = Story()
    for step, interface in story:
        route = Route("10.0.0.1/32", interface, scope="link", metric=1024)
        value = {"intend": route, "drop": route.key, "resync": None}.get(step, interface)
        getattr(world, step)(value)
        world.apply(4)
    world.drop(RouteKey("10.0.0.1/32", 1024))
    world.apply(4)
    world.wait(10)
    world.apply(4)
    reconciler = world.reconciler
    for kept in (reconciler._holders, reconciler._departed, reconciler._by_interface):
        assert kept == {}, "nothing is remembered of what is gone"


tables = st.dictionaries(keys, routes, max_size=6).map(
    lambda found: {route.key: route for route in found.values()}
)


@given(tables, tables)
def test_the_plan_leads_from_one_to_the_other(intended, actual):
    planned = plan(intended, actual, [*intended, *actual])
    reached = dict(actual)
    for change in (*planned.deletions, *planned.replacements):
        match change:
            case Delete(route):
                assert reached.pop(route.key) == route
            case Replace(route):
                assert reached.get(route.key) != route
                reached[route.key] = route
    assert reached == intended
    assert not any(plan(intended, intended, intended))


class NeighbourStory:
    def __init__(self):
        self.table = FakeNeighbourTable()
        self.reconciler = NeighbourReconciler(self.table)
        self.intended = {}
        self.lives = 0

    def set(self, key, mac):
        self.intended[key] = mac
        self.reconciler.update({key: mac})

    def drop(self, key, mac):
        self.intended.pop(key, None)
        self.reconciler.update({key: None})

    def drift(self, key, mac):
        if key.interface in self.table.up:
            self.table.entries[key] = mac

    def up(self, key, mac):
        if key.interface not in self.table.up:
            self.lives += 1
            self.table.up.add(key.interface)
            self.reconciler.set_links({key.interface: self.lives})

    def down(self, key, mac):
        self.table.set_down(key.interface)
        self.reconciler.set_links({key.interface: 0})

    def flap(self, key, mac):
        self.table.set_down(key.interface)
        self.up(key, mac)

    def refuse(self, key, mac):
        self.table.refused = {key}

    def apply(self, key, mac):
        self.reconciler.apply()


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["set", "drop", "drift", "up", "down", "flap", "refuse", "apply"]),
            st.builds(
                NeighbourKey,
                st.sampled_from(["cali1", "cali2"]),
                st.sampled_from(["10.0.0.1", "10.0.0.2"]),
            ),
            st.sampled_from(["02:00:00:00:00:01", "02:00:00:00:00:02"]),
        ),
        max_size=25,
    )
)
def test_neighbours_end_as_intended(story):
    world = NeighbourStory()
    for step, key, mac in story:
        getattr(world, step)(key, mac)
    world.table.refused = set()
    if any(step in {"drift", "refuse"} for step, _, _ in story):
        world.reconciler.queue_resync()
    outcome = world.reconciler.apply()
    expected = {k: mac for k, mac in world.intended.items() if k.interface in world.table.up}
    assert world.table.entries == expected
    assert set(outcome.held) == set(world.intended) - set(expected)
    assert outcome.failures == {}
    assert world.reconciler.apply().applied == 0
