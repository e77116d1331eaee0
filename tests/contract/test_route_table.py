"""The route table and its reconciler, on the fake and on a real kernel."""

import json
from contextlib import closing

import pytest

from calico.core.intent.keys import RouteKey
from calico.core.intent.routes import Delete, Replace, Route
from calico.kernel.fake import FakeRouteTable
from calico.kernel.links import Links, Peer
from calico.kernel.routes import INTERFACE_NOT_UP, KernelRouteTable, Ownership
from calico.kernel.run import run
from calico.reconcile.routes import RouteReconciler


class Clock:
    seconds = 100.0

    def __call__(self):
        return self.seconds


class Forgotten(list):
    """The addresses whose connections were forgotten; `seen` are the routes at that time."""

    def __init__(self, world):
        self.world, self.seen = world, None

    def __call__(self, addresses):
        self.extend(addresses)
        self.seen = self.world.all_keys()


class FakeWorld:
    """What tests do to the kernel besides our own writes."""

    def __init__(self, family):
        self.table = FakeRouteTable()
        self.family = family

    def create(self, name):
        self.table.up.add(name)

    def delete(self, name):
        self.table.set_down(name)

    set_down = delete

    def set_up(self, name):
        self.table.up.add(name)

    def write(self, route):
        assert self.table.apply([Replace(route)]) == {}

    def remove(self, route):
        del self.table.routes[route.key]

    def all_keys(self):
        return set(self.table.routes)


class RealWorld:
    def __init__(self, family):
        self.table = KernelRouteTable(family)
        self.family = family
        self.links = Links()

    def close(self):
        self.table.close()
        self.links.close()

    def create(self, name):
        self.links.create_veth(name, Peer(f"p{name}"[:15]), up=True)
        self.links.set_up(f"p{name}"[:15])

    def delete(self, name):
        self.links.delete(name)

    def set_down(self, name):
        self.links.set_up(name, "down")

    def set_up(self, name):
        self.links.set_up(name)

    def write(self, route):
        self._ip("replace", route)

    def remove(self, route):
        self._ip("del", route)

    def _ip(self, verb, route):
        args = [route.destination, "metric", str(route.metric), "proto", str(route.protocol)]
        if route.kind == "blackhole":
            args.insert(0, "blackhole")
        else:
            args += ["dev", route.interface]
            args += ["via", route.gateway, "onlink"] if route.gateway else []
        if route.scope == "link":
            args += ["scope", "link"]
        run(["ip", "-4" if self.family == "ipv4" else "-6", "route", verb, *args])

    def all_keys(self):
        number = "-4" if self.family == "ipv4" else "-6"
        shown = json.loads(run(["ip", number, "-j", "route", "show"]))
        single = "/32" if self.family == "ipv4" else "/128"
        return {
            RouteKey(one["dst"] + ("" if "/" in one["dst"] else single), one.get("metric", 0))
            for one in shown
            if one["dst"] != "fe80::/64"
        }


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.netns)])
def side(request):
    return request.param


@pytest.fixture(params=["ipv4", "ipv6"])
def world(request, side):
    if side == "fake":
        yield FakeWorld(request.param)
        return
    request.getfixturevalue("netns")
    with closing(RealWorld(request.param)) as real:
        yield real


@pytest.fixture
def real(netns):
    with closing(RealWorld("ipv4")) as real:
        yield real


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def forgotten(world):
    return Forgotten(world)


@pytest.fixture
def reconciler(world, clock, forgotten):
    return RouteReconciler(world.table, clock, forgotten)


def address(world, number):
    return f"10.65.0.{number}/32" if world.family == "ipv4" else f"fd00::{number}/128"


def workload(world, number, interface="cali1", metric=1024, protocol=3):
    scope = "link" if world.family == "ipv4" else "universe"
    return Route(address(world, number), interface, scope=scope, metric=metric, protocol=protocol)


def remote(world, number, interface="eth0"):
    gateway = "192.0.2.9" if world.family == "ipv4" else "2001:db8::9"
    metric = 0 if world.family == "ipv4" else 1024
    block = f"10.66.{number}.0/26" if world.family == "ipv4" else f"fd01:{number}::/122"
    return Route(block, interface, gateway, protocol=80, metric=metric, onlink=True)


def blackhole(world, number, protocol=80):
    metric = 0 if world.family == "ipv4" else 1024
    block = f"10.67.{number}.0/26" if world.family == "ipv4" else f"fd02:{number}::/122"
    return Route(block, kind="blackhole", protocol=protocol, metric=metric)


def intend(reconciler, *routes):
    reconciler.update({route.key: route for route in routes})


def settled(reconciler):
    """Whether nothing remains to be done, whatever we believe."""
    reconciler.queue_resync()
    return reconciler.apply().applied == 0


def test_every_form_reads_back_as_it_was_written(world):
    world.create("cali1")
    world.create("eth0")
    routes = [
        workload(world, 1),
        Route(
            **{
                **{f: getattr(workload(world, 2), f) for f in Route.__struct_fields__},
                "mtu_bytes": 1400,
            }
        ),
        remote(world, 1),
        blackhole(world, 1),
    ]
    assert world.table.apply([Replace(route) for route in routes]) == {}
    assert world.table.read_back() == {route.key: route for route in routes}
    assert world.all_keys() == {route.key for route in routes}
    assert world.table.apply([Delete(route) for route in routes]) == {}
    assert world.table.read_back() == {}
    assert world.table.apply([Delete(route) for route in routes]) == {}, "absent is fine"


def test_reads_back_only_what_is_ours(world):
    world.create("cali1")
    world.create("eth0")
    theirs = [
        blackhole(world, 1, protocol=12),
        blackhole(world, 2, protocol=4),
        workload(world, 3, "eth0"),
        workload(world, 4, "cali1", protocol=12),
    ]
    ours = [
        blackhole(world, 5),
        workload(world, 6, "eth0", protocol=80),
        workload(world, 7, "cali1", protocol=4),
        workload(world, 8, "cali1"),
    ]
    for route in (*theirs, *ours):
        world.write(route)
    assert set(world.table.read_back()) == {route.key for route in ours}


def test_sweeps_leftovers_of_a_previous_life(world, reconciler):
    world.create("cali1")
    for route in (blackhole(world, 8), blackhole(world, 9), blackhole(world, 7, protocol=4)):
        world.write(route)
    intend(reconciler, blackhole(world, 9), blackhole(world, 1))
    outcome = reconciler.apply()
    assert (outcome.applied, outcome.failures, outcome.left) == (2, {}, 0)
    assert world.all_keys() == {blackhole(world, n).key for n in (1, 7, 9)}, (
        "ours are right, the others' is left alone"
    )


def test_one_bad_route_does_not_hold_up_the_rest(world, reconciler, side):
    world.create("cali1")
    bad = remote(world, 1, "cali1")
    if side == "fake":
        world.table.refused.add(bad.key)
    else:  # a gateway that is no neighbour
        bad = Route(bad.destination, "cali1", bad.gateway, protocol=80, metric=bad.metric)
    intend(reconciler, bad, workload(world, 1), workload(world, 2))
    outcome = reconciler.apply()
    assert set(outcome.failures) == {bad.key}
    assert outcome.applied == 2
    assert reconciler.apply().failures == outcome.failures, "it stands"
    assert reconciler.apply().applied == 0
    assert world.all_keys() == {workload(world, n).key for n in (1, 2)}
    reconciler.update({bad.key: None})
    assert reconciler.apply().failures == {}


def test_repairs_a_route_that_someone_changed(world, reconciler):
    world.create("cali1")
    world.create("cali2")
    intend(reconciler, workload(world, 1))
    reconciler.apply()
    world.write(workload(world, 1, "cali2"))
    assert reconciler.apply().applied == 0, "drift is looked for at a resync"
    reconciler.queue_resync()
    assert reconciler.apply().applied == 1
    assert world.table.read_back() == {workload(world, 1).key: workload(world, 1)}


def test_repairs_what_a_notification_tells_of(world, reconciler):
    world.create("cali1")
    intend(reconciler, workload(world, 1), blackhole(world, 1))
    reconciler.apply()
    world.remove(blackhole(world, 1))
    world.write(blackhole(world, 2))
    reconciler.note(blackhole(world, 1).key, None)
    reconciler.note(blackhole(world, 2).key, blackhole(world, 2))
    reconciler.note(blackhole(world, 3).key, None)
    assert reconciler.apply().applied == 2
    assert world.all_keys() == {workload(world, 1).key, blackhole(world, 1).key}


def test_a_route_waits_for_its_interface(world, reconciler):
    intend(reconciler, workload(world, 1), blackhole(world, 1))
    outcome = reconciler.apply()
    assert (outcome.failures, outcome.left) == ({}, 0)
    assert outcome.held == {workload(world, 1).key: INTERFACE_NOT_UP}
    world.create("cali1")
    assert reconciler.apply().applied == 0, "nobody has told us"
    reconciler.set_links({"cali1": 1})
    outcome = reconciler.apply()
    assert (outcome.applied, outcome.held) == (1, {})
    assert settled(reconciler)


def test_routes_come_back_with_their_interface(world, reconciler):
    world.create("cali1")
    reconciler.set_links({"cali1": 1})
    intend(reconciler, workload(world, 1))
    assert reconciler.apply().applied == 1
    world.set_down("cali1")
    reconciler.set_links({"cali1": 0})
    outcome = reconciler.apply()
    assert (outcome.applied, set(outcome.held)) == (0, {workload(world, 1).key})
    world.set_up("cali1")
    reconciler.set_links({"cali1": 2})
    assert reconciler.apply().applied == 1
    world.delete("cali1")
    world.create("cali1")
    reconciler.set_links({"cali1": 3})
    assert reconciler.apply().applied == 1, "down and up between two turns"
    assert settled(reconciler)


def plain(world, number):
    return address(world, number).partition("/")[0]


def test_an_address_that_moves_loses_its_connections_first(world, reconciler, forgotten, clock):
    world.create("cali1")
    world.create("cali2")
    intend(reconciler, workload(world, 1), workload(world, 2))
    reconciler.apply()
    assert forgotten == []
    intend(reconciler, workload(world, 1, "cali2"))
    reconciler.apply()
    assert forgotten == [plain(world, 1)]
    assert forgotten.seen == {workload(world, 2).key}, "the old route gone, no new one"
    assert world.all_keys() == {workload(world, n).key for n in (1, 2)}
    clock.seconds += 60
    assert settled(reconciler)
    assert len(forgotten) == 1


def test_an_address_that_leaves_loses_its_connections_when_there_is_time(
    world, reconciler, forgotten, clock
):
    world.create("cali1")
    world.create("cali2")
    intend(reconciler, *(workload(world, n) for n in (1, 2, 3)))
    reconciler.apply()
    reconciler.update({workload(world, n).key: None for n in (1, 2)})
    assert reconciler.apply().applied == 2
    assert reconciler.apply().applied == 0
    assert forgotten == [], "not at once"
    intend(reconciler, workload(world, 2, "cali2"))
    reconciler.apply()
    assert forgotten == [plain(world, 2)], "before somebody else gets it"
    clock.seconds += 1
    intend(reconciler, workload(world, 3, "cali2"))
    reconciler.apply()
    assert forgotten == [plain(world, 2), plain(world, 3)], "there was something to do"
    reconciler.apply()
    assert forgotten[2:] == [plain(world, 1)]
    reconciler.apply()
    assert len(forgotten) == 3


def test_an_interface_that_takes_its_address_along(world, reconciler, forgotten, clock):
    world.create("cali1")
    world.create("cali2")
    world.create("cali3")
    intend(reconciler, *(workload(world, n, f"cali{n}") for n in (1, 2, 3)))
    reconciler.set_links({"cali1": 1, "cali2": 2, "cali3": 3})
    reconciler.apply()
    for name in ("cali1", "cali2", "cali3"):
        world.delete(name)
    reconciler.set_links({"cali1": 0, "cali2": 0, "cali3": 0})
    assert len(reconciler.apply().held) == 3
    world.create("cali3")
    world.create("cali4")
    reconciler.queue_resync()
    reconciler.update({workload(world, 1).key: None})
    reconciler.set_links({"cali3": 4, "cali4": 5})
    intend(reconciler, workload(world, 2, "cali4"))
    reconciler.apply()
    assert forgotten == [plain(world, 2)], "it is another workload's by now"
    clock.seconds += 60
    reconciler.apply()
    assert forgotten == [plain(world, 2), plain(world, 1)], "but 3 only fell and rose"


def test_an_address_that_moved_while_we_were_away(world, reconciler, forgotten):
    world.create("cali1")
    world.create("cali2")
    world.write(workload(world, 1, "cali2"))
    intend(reconciler, workload(world, 1, "cali1"))
    reconciler.apply()
    assert forgotten == [plain(world, 1)]
    assert settled(reconciler)


def test_an_address_in_two_places_keeps_its_connections(world, reconciler, forgotten, clock):
    world.create("cali1")
    world.create("cali2")
    intend(reconciler, workload(world, 1, "cali1"))
    reconciler.apply()
    intend(reconciler, workload(world, 1, "cali2", metric=2000))
    reconciler.apply()
    clock.seconds += 60
    reconciler.apply()
    assert forgotten == []


def test_blocks_and_remote_routes_have_no_connections(world, reconciler, forgotten, clock):
    world.create("eth0")
    world.create("eth1")
    intend(reconciler, remote(world, 1), blackhole(world, 1))
    reconciler.apply()
    intend(reconciler, remote(world, 1, "eth1"))
    reconciler.update({blackhole(world, 1).key: None})
    assert reconciler.apply().failures == {}
    assert settled(reconciler)
    clock.seconds += 60
    reconciler.apply()
    assert forgotten == []


def test_an_address_leaves_though_its_new_interface_is_not_up(world, reconciler, forgotten):
    world.create("cali1")
    intend(reconciler, workload(world, 1))
    reconciler.apply()
    world.create("cali2")  # so that the kernel would take the route
    intend(reconciler, workload(world, 1, "cali2"))
    reconciler.set_links({"cali2": 0})
    outcome = reconciler.apply()
    assert set(outcome.held) == {workload(world, 1).key}
    assert world.all_keys() == set(), "the old workload gets nothing any more"
    assert forgotten == []
    reconciler.set_links({"cali2": 1})
    assert reconciler.apply().applied == 1
    assert forgotten == [plain(world, 1)]


def test_the_route_of_the_original_plugin_is_replaced_by_ours(world, reconciler, forgotten, clock):
    if world.family == "ipv6":
        pytest.skip("IPv6 makes metric 1024 of 0, so that route is ours at once")
    world.create("cali1")
    world.write(workload(world, 1, metric=0))
    intend(reconciler, workload(world, 1))
    assert reconciler.apply().failures == {}
    assert world.all_keys() == {workload(world, 1).key}
    assert settled(reconciler)
    clock.seconds += 60
    reconciler.apply()
    assert forgotten == [], "the address has not moved"


def test_a_deletion_under_metric_0_never_costs_another_route(world, reconciler):
    world.create("cali1")
    intend(reconciler, workload(world, 1))
    reconciler.apply()
    gone_again = workload(world, 1, metric=0)
    reconciler.note(gone_again.key, gone_again)
    reconciler.apply()
    assert world.all_keys() == {workload(world, 1).key}
    assert settled(reconciler)


def test_a_new_interface_is_given_time(world, reconciler, clock):
    world.create("cali1")
    world.create("eth0")
    reconciler.set_links({"cali1": 1, "eth0": 1})
    world.write(workload(world, 1))
    world.write(remote(world, 1))
    assert reconciler.apply().applied == 1, "what is not a workload's goes at once"
    assert world.all_keys() == {workload(world, 1).key}
    clock.seconds += 9
    assert reconciler.apply().applied == 0
    clock.seconds += 1
    assert reconciler.apply().applied == 1
    assert world.all_keys() == set()


def test_the_time_given_ends_when_we_hear_of_the_interface(world, reconciler, clock):
    world.create("cali1")
    reconciler.set_links({"cali1": 1})
    world.write(workload(world, 1))
    assert reconciler.apply().applied == 0
    intend(reconciler, workload(world, 2))
    assert reconciler.apply().applied == 2
    assert world.all_keys() == {workload(world, 2).key}


def test_a_big_change_is_cut_into_turns(world, reconciler):
    intend(reconciler, *(blackhole(world, n) for n in range(1, 11)))
    outcome = reconciler.apply(at_most=4)
    assert (outcome.applied, outcome.left) == (4, 6)
    assert reconciler.apply(at_most=4).left == 2
    assert reconciler.apply(at_most=4).left == 0
    assert settled(reconciler)


def test_the_form_of_a_route_can_change(world, reconciler):
    world.create("eth0")
    via = remote(world, 1)
    device = Route(via.destination, "eth0", protocol=80, metric=via.metric)
    hole = Route(via.destination, kind="blackhole", protocol=80, metric=via.metric)
    for route in (via, device, hole, via, hole, device, via):
        intend(reconciler, route)
        assert reconciler.apply().failures == {}
        assert world.table.read_back() == {via.key: route}


def test_ipv6_is_told_in_the_words_of_the_kernel(world, reconciler):
    if world.family == "ipv4":
        pytest.skip("IPv4 knows metric 0 and scopes")
    world.create("cali1")
    intend(reconciler, Route("fd00::1/128", "cali1", scope="link"))
    assert reconciler.apply().applied == 1
    assert settled(reconciler)
    reconciler.update({RouteKey("fd00::1/128"): None})
    assert reconciler.apply().applied == 1, "at once: we know it is ours"
    assert world.all_keys() == set()


@pytest.mark.netns
def test_routes_in_forms_that_we_never_make_are_swept(real):
    real.create("eth0")
    ip = ["ip", "route", "add"]
    run([*ip, "unreachable", "10.1.0.0/24", "proto", "80"])
    hops = ["nexthop", "via", "192.0.2.1", "dev", "eth0", "onlink"]
    run([*ip, "10.2.0.0/24", "proto", "80", *hops, *hops[:2], "192.0.2.2", *hops[3:]])
    reconciler = RouteReconciler(real.table, Clock())
    assert reconciler.apply().applied == 2
    assert real.all_keys() == set()


@pytest.mark.netns
def test_another_table_is_another_world(netns):
    route = Route("10.67.0.0/26", kind="blackhole", protocol=80)
    with (
        closing(KernelRouteTable("ipv4")) as main,
        closing(KernelRouteTable("ipv4", table=1_000)) as other,
    ):
        assert other.read_back() == {}
        assert other.apply([Delete(route)]) == {}
        assert other.apply([Replace(route)]) == {}
        assert (main.read_back(), other.read_back()) == ({}, {route.key: route})


@pytest.mark.netns
def test_only_our_protocols_are_asked_for_when_others_are_left_alone(real):
    real.create("cali1")
    real.write(workload(real, 1, protocol=4))
    real.write(workload(real, 2))
    real.write(blackhole(real, 1))
    with closing(KernelRouteTable("ipv4", Ownership(removes_external=False))) as careful:
        assert set(careful.read_back()) == {workload(real, 2).key, blackhole(real, 1).key}
