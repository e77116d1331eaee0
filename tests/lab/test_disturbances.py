"""Things break, come back, and are changed under way: nothing slips through, nothing is cut.

Afterwards packets do again what policy says, in every cell.
"""

import os
import signal
from pathlib import Path
from time import monotonic

import pytest

from calico.kernel.run import ProgramFailed, run
from calico.lab import etcd
from calico.lab.build import calicoctl
from calico.lab.commands import _new_node
from calico.lab.fabric import entering
from calico.lab.nodes import BIRD_SOCKET
from calico.lab.pods import delete_pod, find_pod, is_answering, pods
from calico.lab.processes import find, kill, start_time, stop, wait_until
from calico.lab.runtime import PluginFailed
from calico.lab.shape import Pod
from calico.lab.topology import LabError

from .documents import allow, deny, from_selector, policy, to_port
from .watch import ICMP, TCP_80, TCP_8080, UDP_53, Watch

pytestmark = [pytest.mark.netns, pytest.mark.etcd, pytest.mark.bird, pytest.mark.slow]

# blue/b answers red on port 80 only; blue/a answers nobody.
GUARD = (
    policy("guard", "blue", selector='app == "db"', order=10,
           ingress=[allow(**to_port(80), source={"namespaceSelector": 'team == "red"'})]),
    policy("shut", "blue", selector='app == "web"', order=10, types=["Ingress"]),
)  # fmt: skip
CLOSED = [
    ("red/a", "blue/b", TCP_8080),
    ("red/a", "blue/b", ICMP),
    ("green/a", "blue/b", TCP_80),
    ("green/a", "blue/b", UDP_53),
    ("red/b", "blue/a", TCP_80),
]
OPEN = [("red/a", "blue/b", 80), ("green/a", "red/b", 8080)]


def churn(world, number):
    """Write and remove policies that never change the answers of CLOSED and OPEN."""
    extra = policy(
        f"churn-{number % 3}", order=100 + number, selector='app in {"db", "api"}',
        ingress=[allow(**from_selector(f'app == "nobody-{number}"'))],
    )  # fmt: skip
    api = policy("api", selector='app == "api"', order=50, ingress=[allow()])
    world.apply(api, extra)
    if number % 2:
        world.remove(extra)


def words_of(pid):
    """Return a process's command line, empty once it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except FileNotFoundError:
        return []


def process(world, node, word):
    """Find a node's process by a word of its command line."""
    for one in find(world.cluster.place, node):
        if word.encode() in words_of(one.pid):
            return one.pid
    return None


def kill_agent(world, node):
    """Kill the agent of a node; wait until another one has taken its place."""
    old = process(world, node, "calico.node.agent")
    assert old is not None
    os.kill(old, signal.SIGKILL)
    assert wait_until(lambda: process(world, node, "calico.node.agent") not in {None, old}, 20)


def guarded(world):
    world.apply(*GUARD)
    got = world.agrees()
    assert got.reached("blue/b", "tcp/80") == {"red/a", "red/b"}
    assert got.reached("blue/a", "tcp/80") == set()


def test_a_policy_changes_under_traffic(world):
    world.apply(policy("all", selector='app == "db"', order=20, ingress=[allow()]))
    world.agrees()
    with world.flow("red/a", "blue/b") as four, world.flow("red/a", "blue/b", 80, 6) as six:
        assert four.greeting == six.greeting == "blue/b"
        world.apply(policy("none", selector='app == "db"', order=10, ingress=[deny()]))
        assert world.agrees().reached("blue/b", "tcp/80") == set()
        assert four.exchange(5), "established connections are not cut"
        assert six.exchange(5)
        world.apply(policy("none", selector='app == "db"', order=30, ingress=[deny()]))
        assert world.agrees("blue/b")
        assert four.exchange(5)


def test_the_watch_sees_leaks_and_cuts(world):
    guarded(world)
    agent = process(world, "node-3", "calico.node.agent")
    with Watch(world, CLOSED, [OPEN[0]]) as watch:
        watch.wait_for_rounds(1)
        os.kill(agent, signal.SIGSTOP)  # so that nobody repairs what we break
        try:
            run((*entering(world.cluster.place, "node-3"), "nft", "flush", "ruleset"))
            watch.wait_for_rounds(2)
            rules = (
                "table ip x { chain c { type filter hook forward priority -300; policy drop; }; }"
            )
            run((*entering(world.cluster.place, "node-3"), "nft", "-f", "-"), rules)
            watch.answer_seconds = 1.0
            watch.wait_for_rounds(1)
            run((*entering(world.cluster.place, "node-3"), "nft", "delete", "table", "ip", "x"))
        finally:
            os.kill(agent, signal.SIGCONT)
    assert {q.destination for q in watch.leaks} == {"blue/b"}
    assert watch.broken == {("red/a", "blue/b", 4)}
    assert world.agrees().reached("blue/b", "tcp/80") == {"red/a", "red/b"}


def test_policies_churn_under_watch(world):
    guarded(world)
    with Watch(world, CLOSED, OPEN) as watch:
        for number in range(40):
            churn(world, number)
        watch.wait_for_rounds(2)
    watch.assert_kept()
    world.agrees()


def test_a_deleted_pods_address_is_nobodys(world):
    world.apply(policy("friends", selector='app == "db"',
                       ingress=[allow(**from_selector('app == "friend"'))]))  # fmt: skip
    old = world.add_pod("node-2", "red/friend", {"app": "friend"})
    assert world.agrees().reached("blue/b") == {"red/friend"}
    world.apply(policy("friends", selector='app == "db"',
                       ingress=[allow(**from_selector('app == "friend"')), allow(**to_port(80))],
                       order=1))  # fmt: skip
    world.delete_pod("red/friend")
    assert "red/friend" not in {q.source for q in world.agrees().measured}
    new = world.add_pod("node-2", "red/stranger", {"app": "stranger"}, wishes=old.addresses)
    assert set(new.addresses) == set(old.addresses), "the same addresses, another pod"
    got = world.agrees()
    assert "red/stranger" not in got.reached("blue/b")
    assert "red/stranger" in got.reached("blue/b", "tcp/80")


def test_pods_churn_under_watch(world):
    guarded(world)
    with Watch(world, CLOSED, OPEN) as watch:
        for number in range(4):
            name = f"red/passing-{number}"
            world.add_pod(world.nodes[number % 3], name, {"app": "web"})
            world.delete_pod(name)
    watch.assert_kept()
    world.agrees()


def test_an_agent_is_killed_under_churn(world):
    guarded(world)
    with Watch(world, CLOSED, OPEN) as watch:
        for number in range(3):
            churn(world, number)
            kill_agent(world, "node-3")
            churn(world, number + 10)
            kill_agent(world, "node-1")
        watch.wait_for_rounds(2)
    watch.assert_kept()
    world.agrees()


def test_policies_written_while_an_agent_is_away_are_kept(world):
    world.apply(policy("open", selector='app == "db"', order=20, ingress=[allow()]))
    world.agrees()
    agent = process(world, "node-3", "calico.node.agent")
    os.kill(agent, signal.SIGSTOP)
    try:
        world.apply(policy("shut", selector='app == "db"', order=10, ingress=[deny()]))
    finally:
        os.kill(agent, signal.SIGKILL)
    assert world.agrees().reached("blue/b") == set()


@pytest.mark.parametrize("seconds", [20])
def test_etcd_is_away_under_churn(world, seconds):
    guarded(world)
    place, config = world.cluster.place, world.cluster.description.config
    with Watch(world, CLOSED, OPEN) as watch:
        churn(world, 1)
        stop(place, etcd.ROLE)
        away = monotonic()
        # CNI needs the datastore: it must say so.
        with pytest.raises(PluginFailed, match="CNI ADD of red/late"):
            world.cluster.add_pod(Pod("red", "late", "node-2"))
        kill_agent(world, "node-3")
        wait_until(lambda: monotonic() - away > seconds, seconds + 1)
        etcd.start_etcd(place, config)
        etcd.wait_until_ready(world.cluster.store)
        churn(world, 2)
        watch.wait_for_rounds(2)
    watch.assert_kept()
    if "red/late" in pods(place):  # half-made: DEL needs the datastore too
        delete_pod(place, find_pod(place, "red/late"))
    world.agrees()


def test_a_node_is_killed_and_started_again(world):
    guarded(world)
    closed = [one for one in CLOSED if "blue/b" not in one]
    with Watch(world, closed, [OPEN[1]]) as watch:
        assert world.cluster.kill_node("node-3") > 3
        assert list(find(world.cluster.place, "node-3")) == []
        got = world.agrees()
        assert {q.source for q in got.measured} == {"red/a", "red/b", "blue/a", "green/a"}
        with pytest.raises(LabError, match="start-node node-3"):
            entering(world.cluster.place, "node-3")
        world.cluster.start_node("node-3")
        watch.wait_for_rounds(1)
    watch.assert_kept()
    got = world.agrees()
    assert got.reached("blue/b", "tcp/80") == {"red/a", "red/b"}
    assert is_answering(world.cluster.place, world.pod("blue/b"))


def test_bird_keeps_the_routes_when_the_agent_goes(world):
    def routes():
        return run(
            (*entering(world.cluster.place, "node-1"), "ip", "route", "show", "proto", "bird")
        )

    assert wait_until(lambda: bool(routes()), 10)
    before = routes()
    bird = process(world, "node-1", BIRD_SOCKET)
    kill_agent(world, "node-1")
    assert routes() == before
    assert process(world, "node-1", BIRD_SOCKET) == bird, "the same BIRD"
    world.agrees()


def test_a_node_is_added(world):
    guarded(world)
    before = world.cluster.topology
    station = _new_node(world.cluster, "node-4", None)
    world.cluster.add_node(station)
    try:
        world.add_pod("node-4", "red/far", {"app": "web"})
        got = world.agrees()
        assert got.reached("blue/b", "tcp/80") == {"red/a", "red/b", "red/far"}
        assert got.reached("red/far") == {"red/a", "red/b", "blue/a", "blue/b", "green/a"}
        world.delete_pod("red/far")
    finally:
        kill(world.cluster.place, "node-4")
        world.cluster._describe(before)
        calicoctl(world.cluster, "delete", "node", "node-4")


def test_somebody_flushes_the_rules(world):
    guarded(world)
    inside = entering(world.cluster.place, "node-3")
    agent = process(world, "node-3", "calico.node.agent")
    started = start_time(agent)
    try:
        run((*inside, "nft", "flush", "ruleset"))
    except ProgramFailed as error:
        pytest.fail(str(error))
    got = world.agrees()
    assert got.reached("blue/b", "tcp/80") == {"red/a", "red/b"}
    assert start_time(agent) == started, "repaired, not restarted"
