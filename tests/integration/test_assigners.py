"""Assigners of several nodes, and of several processes of one node, at a real etcd."""

import threading

import pytest

from calico.core.model.keys import HANDLES_PREFIX
from calico.datastore.client import Put, Unavailable
from calico.datastore.etcd import EtcdDatastore
from calico.ipam import usage
from calico.ipam.assign import Assign
from calico.ipam.assigner import Assigner
from calico.ipam.errors import NoFreeAddress
from calico.ipam.release import ReleaseHandle
from cni_host import wipe
from etcd_server import own_etcd, shared_etcd  # noqa: F401
from ipam_store import write_node, write_pool

pytestmark = pytest.mark.etcd


@pytest.fixture
def make_store(shared_etcd):  # noqa: F811  # the fixture of that name
    opened = []

    def make():
        opened.append(EtcdDatastore(shared_etcd.settings))
        return opened[-1]

    wipe(make())
    yield make
    wipe(opened[0])
    for store in opened:
        store.close()


def want(handle, count=1):
    return Assign(handle=handle, attributes={}, use="Workload", ipv4=count)


def at_once(jobs):
    """Run all jobs at the same moment; give their results or exceptions."""
    barrier = threading.Barrier(len(jobs))
    results = [None] * len(jobs)

    def run(i, job):
        barrier.wait(10)
        try:
            results[i] = job()
        except Exception as error:  # noqa: BLE001  # the test looks at it
            results[i] = error

    threads = [threading.Thread(target=run, args=(i, job)) for i, job in enumerate(jobs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return results


def test_four_assigners_of_two_nodes_share_a_small_pool(make_store):
    store = make_store()
    write_pool(store, "p", "10.0.0.0/26", 29)
    for node in ("a", "b"):
        write_node(store, node)
    assigners = [Assigner(make_store(), node) for node in ("a", "a", "b", "b")]
    for assigner in assigners:
        assigner.start()
    jobs = [
        lambda a=assigner, n=f"h{i}-{j}": a.ask(want(n))[0].ipv4[0].address
        for i, assigner in enumerate(assigners)
        for j in range(18)
    ]
    results = at_once(jobs)
    given = [r for r in results if isinstance(r, str)]
    refused = [r for r in results if not isinstance(r, str)]
    assert len(given) == 64, refused[:3]
    assert len(set(given)) == 64
    assert all(isinstance(r, NoFreeAddress) for r in refused)
    (pool, _) = usage.utilization(store)
    assert (pool.in_use, pool.available) == (64, 0)

    handles = [e.path.removeprefix(HANDLES_PREFIX) for e in store.list(HANDLES_PREFIX).entries]
    jobs = [
        lambda a=assigners[i % 4], n=name: a.ask(ReleaseHandle(n)) for i, name in enumerate(handles)
    ]
    assert not [r for r in at_once(jobs) if isinstance(r, Exception)]
    (pool, _) = usage.utilization(store)
    assert (pool.in_use, pool.available) == (0, 64)
    for assigner in assigners:
        assigner.stop()


def test_a_burst_shares_commits(make_store):
    store = make_store()
    write_pool(store, "p", "10.0.0.0/24")
    write_node(store, "a")
    assigner = Assigner(store, "a")
    assigner.start()
    assigner.ask(want("first"))
    before = store.list("/").revision
    results = at_once([lambda n=f"h{i}": assigner.ask(want(n)) for i in range(24)])
    assert not [r for r in results if isinstance(r, Exception)]
    revisions = {revision for _, revision in results}
    assert store.list("/").revision - before == len(revisions), "no commit but those"
    assert len(revisions) < 12
    assigner.stop()
    with pytest.raises(Unavailable, match="stopped"):
        assigner.ask(want("late"))


def test_a_datastore_that_is_away_is_told_and_survived(own_etcd):  # noqa: F811
    store = EtcdDatastore(own_etcd.settings, deadline_seconds=2.0)
    write_pool(store, "p", "10.0.0.0/24")
    write_node(store, "a")
    assigner = Assigner(store, "a")
    assigner.start()
    first, _ = assigner.ask(want("h1"))
    own_etcd.kill()
    with pytest.raises(Unavailable):
        assigner.ask(want("h2"))
    own_etcd.start()
    second, _ = assigner.ask(want("h3"))
    assert first.ipv4[0].address != second.ipv4[0].address
    assigner.stop()
    store.close()


def test_a_bug_ends_the_assigner_and_nobody_waits_in_vain(make_store):
    class Broken:
        def decide(self, desk):
            raise AssertionError("a bug")

    store = make_store()
    store.commit([Put("/calico/x", b"x")])
    assigner = Assigner(store, "a")
    assigner.start()
    hook, threading.excepthook = threading.excepthook, lambda _: None
    try:
        with pytest.raises(Unavailable, match="failed"):
            assigner.ask(Broken(), 5)
        with pytest.raises(Unavailable):
            assigner.ask(want("h"), 5)
    finally:
        threading.excepthook = hook
