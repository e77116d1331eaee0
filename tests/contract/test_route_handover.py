"""A way to another node is handed over to BIRD, on the fake and on a real kernel.

Our route stays until BIRD's own is in the table, so at no moment is there none.
"""

from contextlib import closing

import pytest

from calico.core.intent.keys import RouteKey
from calico.core.intent.routes import ROUTE_PROTOCOL_BIRD, Replace, Route
from calico.kernel.fake import FakeRouteTable
from calico.kernel.links import Links, Peer
from calico.kernel.routes import KernelRouteTable
from calico.kernel.run import run
from calico.reconcile.routes import YIELD_SECONDS, RouteReconciler


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


class World:
    def __init__(self, table, family):
        self.table, self.family, self.clock = table, family, Clock()
        self.reconciler = self.new_life()

    def new_life(self):
        return RouteReconciler(
            self.table,
            self.clock,
            workload_prefixes=("cali",),
            heirs=self.table.destinations_of_bird,
        )

    def route(self, protocol=80, metric=None, number=1):
        """A block on another node; IPv6 has no metric 0."""
        is_4 = self.family == "ipv4"
        return Route(
            f"10.65.{number}.0/26" if is_4 else f"fd65::{number}:0/122",
            "eth0",
            "192.0.2.7" if is_4 else "2001:db8::7",
            protocol=protocol,
            metric=(0 if is_4 else 1) if metric is None else metric,
            onlink=True,
        )

    def bird_routes(self, number=1):
        self.table.apply([Replace(self.route(ROUTE_PROTOCOL_BIRD, 1024, number))])

    def intend(self, route, reconciler=None):
        (reconciler or self.reconciler).update({route.key: route})

    def forget(self, route):
        self.reconciler.update({route.key: None})

    def apply(self):
        outcome = self.reconciler.apply()
        assert outcome.failures == {}
        return outcome

    @property
    def ours(self):
        return set(self.table.read_back())

    @property
    def of_bird(self):
        return self.table.destinations_of_bird()


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.netns)])
def side(request):
    return request.param


@pytest.fixture(params=["ipv4", "ipv6"])
def world(request, side):
    family = request.param
    if side == "fake":
        table = FakeRouteTable()
        table.up.add("eth0")
        yield World(table, family)
        return
    request.getfixturevalue("netns")
    with closing(Links()) as links, closing(KernelRouteTable(family)) as table:
        links.create_veth("eth0", Peer("peer"), up=True)
        links.set_up("peer")
        if family == "ipv4":
            run(["ip", "address", "add", "192.0.2.1/24", "dev", "eth0"])
        else:
            run(["ip", "address", "add", "2001:db8::1/64", "dev", "eth0", "nodad"])
        yield World(table, family)


def test_ours_stays_until_birds_is_there(world):
    route = world.route()
    world.intend(route)
    world.apply()
    world.forget(route)
    assert world.apply().again_seconds is not None, "nobody will tell us of BIRD's routes"
    world.apply()
    assert world.ours == {route.key}
    world.bird_routes()
    world.apply()
    assert world.ours == set()
    assert world.of_bird == {route.destination}, "only ours is gone"
    assert world.apply().again_seconds is None


def test_it_goes_in_the_end_if_nobody_takes_it(world):
    route = world.route()
    world.intend(route)
    world.apply()
    world.forget(route)
    world.apply()
    world.clock.now += YIELD_SECONDS
    world.apply()
    assert world.ours == set()
    assert world.apply().again_seconds is None


def test_one_that_is_wanted_again_stays(world):
    route = world.route()
    world.intend(route)
    world.apply()
    world.forget(route)
    world.apply()
    world.intend(route)
    world.bird_routes()
    world.apply()
    world.clock.now += YIELD_SECONDS
    assert world.apply().again_seconds is None
    assert world.ours == {route.key}


def test_a_restart_in_between_changes_nothing(world):
    route = world.route()
    world.table.apply([Replace(route)])
    world.reconciler = world.new_life()
    world.apply()
    assert world.ours == {route.key}
    world.bird_routes()
    world.apply()
    assert world.ours == set()


def test_each_is_handed_over_by_itself(world):
    routes = [world.route(number=number) for number in (1, 2)]
    for route in routes:
        world.intend(route)
    world.apply()
    for route in routes:
        world.forget(route)
    world.apply()
    world.bird_routes(number=2)
    world.apply()
    assert world.ours == {routes[0].key}


def test_taking_over_leaves_birds_alone(world):
    world.bird_routes()
    route = world.route()
    world.intend(route)
    world.apply()
    assert world.ours == {route.key}
    assert world.of_bird == {route.destination}


def test_blackholes_and_addresses_are_not_handed_over(world):
    is_4 = world.family == "ipv4"
    metric = 0 if is_4 else 1
    block = Route(
        "10.65.9.0/26" if is_4 else "fd65::9:0/122", kind="blackhole", protocol=80, metric=metric
    )
    world.intend(block)
    world.apply()
    world.forget(block)
    assert world.apply().again_seconds is None
    assert RouteKey(block.destination, metric) not in world.ours
