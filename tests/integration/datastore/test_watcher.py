"""A watcher beside a real etcd that is killed, restarted and compacted under it."""

import contextlib
import itertools
import threading
import time

import pytest

from calico.datastore.client import Delete, Entry, Put, Unavailable
from calico.datastore.etcd import EtcdDatastore
from calico.datastore.memory import MemoryDatastore
from calico.datastore.watcher import Watcher, WatchKey
from etcd_server import own_etcd, shared_etcd, wait_until  # noqa: F401

pytestmark = pytest.mark.etcd
PREFIX = "/watched/"
_numbers = itertools.count(1)


class Follower:
    """Takes what a watcher puts, as the agent's loop would."""

    def __init__(self, datastore, prefix):
        self._lock = threading.Lock()
        self._prefix = prefix
        self.records = {}
        self.states = []
        self.puts = []
        self.watcher = Watcher(datastore, prefix, self.put)
        self.watcher.start()

    def put(self, updates):
        with self._lock:
            self.puts.append(updates)
            for key, value in updates.items():
                if isinstance(key, WatchKey):
                    assert key == (self._prefix,)
                    self.states.append(value)
                elif value is None:
                    self.records.pop(key, None)
                else:
                    assert isinstance(value, Entry)
                    self.records[key] = value

    @property
    def state(self):
        return self.states[-1]

    def wait_until_at(self, revision):
        wait_until(lambda: self.states and self.state.revision >= revision, f"revision {revision}")


@pytest.fixture(params=["memory", "etcd"])
def store(request):
    if request.param == "memory":
        yield MemoryDatastore()
        return
    datastore = EtcdDatastore(request.getfixturevalue("shared_etcd").settings)
    yield datastore
    datastore.close()


@pytest.fixture
def own_store(own_etcd):  # noqa: F811
    datastore = EtcdDatastore(own_etcd.settings)
    yield datastore
    datastore.close()


@pytest.fixture
def follow():
    with contextlib.ExitStack() as stack:

        def start(datastore, prefix=PREFIX):
            follower = Follower(datastore, prefix)
            stack.callback(follower.watcher.close)
            return follower

        yield start


@pytest.fixture
def prefix():
    return f"/watched/{next(_numbers)}/"


def test_gives_everything_at_once_and_is_in_sync(store, prefix, follow):
    for name in "ab":
        revision = store.commit([Put(prefix + name, b"1")])
    follower = follow(store, prefix)
    follower.wait_until_at(revision)
    assert set(follower.puts[0]) == {prefix + "a", prefix + "b", WatchKey(prefix)}
    assert follower.state.is_in_sync
    assert follower.state.disconnected_since is None


def test_an_empty_range_is_in_sync_too(store, prefix, follow):
    follower = follow(store, prefix)
    wait_until(lambda: follower.states, "a first state")
    assert follower.state.is_in_sync
    assert follower.state.revision > 0


def test_follows_changes_and_deletions(store, prefix, follow):
    first = store.commit([Put(prefix + "a", b"1"), Put(prefix + "b", b"1")])
    follower = follow(store, prefix)
    follower.wait_until_at(first)
    last = store.commit([Put(prefix + "a", b"2"), Delete(prefix + "b"), Put(prefix + "c", b"3")])
    follower.wait_until_at(last)
    assert {path: entry.value for path, entry in follower.records.items()} == {
        prefix + "a": b"2",
        prefix + "c": b"3",
    }


def test_records_of_one_commit_come_in_one_put(store, prefix, follow):
    follower = follow(store, prefix)
    wait_until(lambda: follower.states, "in sync")
    revision = store.commit([Put(f"{prefix}{n}", b"") for n in range(100)])
    follower.wait_until_at(revision)
    with_records = [updates for updates in follower.puts if len(updates) > 1]
    assert [len(updates) for updates in with_records] == [101]


def test_close_is_prompt_and_silent(store, prefix, follow):
    follower = follow(store, prefix)
    wait_until(lambda: follower.states, "in sync")
    follower.watcher.close()
    assert not follower.watcher._thread.is_alive()
    count = len(follower.puts)
    store.commit([Put(prefix + "a", b"1")])
    assert len(follower.puts) == count


@contextlib.contextmanager
def held_back(watcher):
    """Let a watcher look away while its history goes, as one that has no processor would."""
    watcher._stopping.set()
    watcher._thread.join(timeout=15)
    yield
    watcher._stopping.clear()
    watcher._thread = threading.Thread(target=watcher._run, daemon=True)
    watcher._thread.start()


def test_no_event_is_lost_over_a_restart(own_etcd, own_store, follow):  # noqa: F811
    before = own_store.commit([Put(PREFIX + "stays", b"1"), Put(PREFIX + "goes", b"1")])
    follower = follow(own_store)
    follower.wait_until_at(before)

    own_etcd.kill()
    wait_until(lambda: follower.state.disconnected_since is not None, "the loss is told")
    assert follower.state.is_in_sync, "in sync once, in sync always"
    assert own_etcd.url in follower.state.reason
    lost_at = follower.state.disconnected_since
    assert lost_at <= time.monotonic()

    own_etcd.start()
    writer = EtcdDatastore(own_etcd.settings)
    after = writer.commit([Delete(PREFIX + "goes"), Put(PREFIX + "new", b"1")])
    writer.close()
    follower.wait_until_at(after)
    assert follower.state.disconnected_since is None
    assert set(follower.records) == {PREFIX + "stays", PREFIX + "new"}
    again = [u for u in follower.puts[1:] if PREFIX + "stays" in u]
    assert again == [], "what did not change is not put again"


def test_a_compaction_meanwhile_is_made_good_by_a_listing(own_etcd, own_store, follow):  # noqa: F811
    before = own_store.commit([Put(f"{PREFIX}{name}", b"1") for name in ("stays", "goes", "turns")])
    follower = follow(own_store)
    follower.wait_until_at(before)
    own_etcd.kill()
    wait_until(lambda: follower.state.disconnected_since is not None, "the loss is told")

    with held_back(follower.watcher):
        own_etcd.start()
        own_store.commit([Delete(PREFIX + "goes"), Put(PREFIX + "turns", b"2")])
        after = own_store.commit([Put(PREFIX + "new", b"1")])
        own_store.compact(after)

    follower.wait_until_at(after)
    wait_until(lambda: follower.state.disconnected_since is None, "connected again")
    assert {path: entry.value for path, entry in follower.records.items()} == {
        PREFIX + "stays": b"1",
        PREFIX + "turns": b"2",
        PREFIX + "new": b"1",
    }
    difference = next(u for u in follower.puts if PREFIX + "new" in u)
    assert set(difference) == {
        *(PREFIX + name for name in ("goes", "turns", "new")),
        WatchKey(PREFIX),
    }


@pytest.mark.slow
def test_killed_again_and_again_under_load(own_etcd, own_store, follow):  # noqa: F811
    follower = follow(own_store)
    writer = EtcdDatastore(own_etcd.settings)
    stop = threading.Event()

    def write():
        for number in itertools.count():
            if stop.is_set():
                return
            path = f"{PREFIX}{number % 50}"
            change = Delete(path) if number % 7 == 0 else Put(path, str(number).encode())
            with contextlib.suppress(Unavailable):
                writer.commit([change])

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for _ in range(3):
            reached = follower.state.revision if follower.states else 0
            wait_until(
                lambda r=reached: follower.states and follower.state.revision > r + 20, "load"
            )
            own_etcd.kill()
            own_etcd.start()
    finally:
        stop.set()
        thread.join(timeout=30)
    final = writer.commit([Put(PREFIX + "last", b"")])
    follower.wait_until_at(final)
    assert follower.records == {entry.path: entry for entry in writer.list(PREFIX).entries}
    writer.close()


def test_a_restored_etcd_is_read_anew(own_etcd, own_store, follow):  # noqa: F811
    """Its revisions began again: the same number may now mean another record."""
    first = own_store.commit([Put(PREFIX + "a", b"old"), Put(PREFIX + "b", b"old")])
    for number in range(20):
        before = own_store.commit([Put("/elsewhere", str(number).encode())])
    follower = follow(own_store)
    follower.wait_until_at(before)
    own_etcd.kill()
    own_etcd.forget_everything()
    with held_back(follower.watcher):
        own_etcd.start()
        writer = EtcdDatastore(own_etcd.settings)
        assert writer.commit([Put(PREFIX + "a", b"new")]) == first
        writer.close()
    wait_until(lambda: set(follower.records) == {PREFIX + "a"}, "the new history")
    assert follower.records[PREFIX + "a"].value == b"new"


def test_without_etcd_it_says_so_and_starts_later(own_etcd, own_store, follow):  # noqa: F811
    own_etcd.kill()
    impatient = EtcdDatastore(own_etcd.settings, deadline_seconds=0.3)
    follower = follow(impatient)
    wait_until(lambda: follower.states, "a first state")
    assert not follower.state.is_in_sync
    assert follower.state.disconnected_since is not None
    own_etcd.start()
    wait_until(lambda: follower.state.is_in_sync, "in sync at last")
    wait_until(lambda: follower.state.disconnected_since is None, "connected")
    impatient.close()
