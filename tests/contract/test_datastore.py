"""What every datastore promises, asked of the real etcd and of its twin in memory."""

import itertools
import threading

import pytest

from calico.datastore.client import (
    Compacted,
    Conflict,
    Delete,
    Entry,
    Expect,
    NotFound,
    Put,
    Unavailable,
    Unwritten,
)
from calico.datastore.etcd import EtcdDatastore
from calico.datastore.memory import MemoryDatastore
from etcd_server import shared_etcd, wait_until  # noqa: F401

_numbers = itertools.count(1)


@pytest.fixture
def prefix():
    return f"/test/{next(_numbers)}/"


@pytest.fixture(params=["memory", pytest.param("etcd", marks=pytest.mark.etcd)])
def store(request):
    if request.param == "memory":
        yield MemoryDatastore()
        return
    datastore = EtcdDatastore(request.getfixturevalue("shared_etcd").settings)
    yield datastore
    datastore.close()


def test_reads_what_was_written(store, prefix):
    path = prefix + "a"
    revision = store.commit([Put(path, b'{"a":"\xc3\xa9"}')])
    assert store.get(path) == Entry(path, b'{"a":"\xc3\xa9"}', revision)


def test_a_missing_record_is_not_found(store, prefix):
    with pytest.raises(NotFound, match=prefix):
        store.get(prefix + "a")


def test_lists_in_path_order_at_one_revision(store, prefix):
    for name in ("b", "a", "c/d"):
        store.commit([Put(prefix + name, name.encode())])
    revision = store.commit([Put(prefix.rstrip("/") + "0", b"beyond the prefix")])
    listing = store.list(prefix)
    assert [entry.path for entry in listing.entries] == [prefix + n for n in ("a", "b", "c/d")]
    assert listing.revision == revision
    assert store.list(prefix + "none").entries == []


def test_lists_more_than_a_page(store, prefix):
    paths = [f"{prefix}{number:05}" for number in range(2_100)]
    for start in range(0, len(paths), 128):
        store.commit([Put(path, b"x") for path in paths[start : start + 128]])
    assert [entry.path for entry in store.list(prefix).entries] == paths


def test_a_commit_is_one_revision(store, prefix):
    store.commit([Put(prefix + "old", b"")])
    revision = store.commit(
        [Put(prefix + "a", b"1"), Put(prefix + "b", b"2"), Delete(prefix + "old")]
    )
    assert {(e.path, e.revision) for e in store.list(prefix).entries} == {
        (prefix + "a", revision),
        (prefix + "b", revision),
    }


def test_create_refuses_what_exists(store, prefix):
    path = prefix + "a"
    first = store.commit([Put(path, b"1", expected=0)])
    with pytest.raises(Conflict) as caught:
        store.commit([Put(path, b"2", expected=0)])
    assert (caught.value.path, caught.value.actual) == (path, Entry(path, b"1", first))
    assert store.get(path).value == b"1"


def test_update_refuses_another_revision(store, prefix):
    path = prefix + "a"
    first = store.commit([Put(path, b"1")])
    second = store.commit([Put(path, b"2", expected=first)])
    with pytest.raises(Conflict) as caught:
        store.commit([Put(path, b"3", expected=first)])
    assert caught.value.actual == Entry(path, b"2", second)


def test_update_of_nothing_conflicts_with_nothing(store, prefix):
    with pytest.raises(Conflict) as caught:
        store.commit([Put(prefix + "a", b"1", expected=7)])
    assert caught.value.actual is None


def test_delete_at_a_revision(store, prefix):
    path = prefix + "a"
    revision = store.commit([Put(path, b"1")])
    with pytest.raises(Conflict):
        store.commit([Delete(path, expected=revision - 1)])
    store.commit([Delete(path, expected=revision)])
    with pytest.raises(NotFound):
        store.get(path)


def test_delete_of_nothing_succeeds_and_changes_nothing(store, prefix):
    revision = store.commit([Put(prefix + "a", b"1")])
    assert store.commit([Delete(prefix + "b")]) == revision


def test_expect_guards_a_commit_without_writing(store, prefix):
    a, b = prefix + "a", prefix + "b"
    revision = store.commit([Put(a, b"1")])
    store.commit([Expect(a, revision), Expect(prefix + "none", 0), Put(b, b"1")])
    assert store.get(a) == Entry(a, b"1", revision)
    with pytest.raises(Conflict) as caught:
        store.commit([Expect(b, 0), Put(a, b"2")])
    assert caught.value.path == b
    assert store.get(a).value == b"1"


def test_unwritten_guards_a_range_without_writing(store, prefix):
    a, b, c = (prefix + name for name in "abc")
    store.commit([Put(a, b"1")])
    since = store.list(prefix).revision
    store.commit([Unwritten(prefix, since), Put(prefix[:-1] + "0", b"outside")])
    later = store.commit([Unwritten(prefix, since), Put(b, b"1"), Put(c, b"1")])
    with pytest.raises(Conflict) as caught:
        store.commit([Put(a, b"2"), Unwritten(prefix, since)])
    assert (caught.value.path, caught.value.actual) == (b, Entry(b, b"1", later))
    assert store.get(a).value == b"1"
    store.commit([Unwritten(prefix, later), Put(a, b"3")])
    with pytest.raises(Conflict) as caught:
        store.commit([Unwritten(prefix, later), Expect(c, later)])
    assert caught.value.path == a


def test_unwritten_holds_for_an_empty_range_and_does_not_see_deletions(store, prefix):
    a = prefix + "a"
    since = store.commit([Put(a, b"1")])
    store.commit([Unwritten(prefix + "none/", 0), Delete(a)])
    store.commit([Unwritten(prefix, since), Expect(a, 0), Put(prefix + "b", b"1")])


def test_all_or_nothing_and_the_first_conflict_is_named(store, prefix):
    a, b, c = (prefix + name for name in "abc")
    store.commit([Put(b, b"1"), Put(c, b"1")])
    with pytest.raises(Conflict) as caught:
        store.commit([Put(a, b"1", expected=0), Put(c, b"2", expected=0), Put(b, b"2", expected=0)])
    assert caught.value.path == c
    with pytest.raises(NotFound):
        store.get(a)


def test_impossible_commits_are_our_own_fault(store, prefix):
    with pytest.raises(AssertionError):
        store.commit([])
    with pytest.raises(AssertionError):
        store.commit([Put(prefix + "a", b"1"), Delete(prefix + "a")])
    with pytest.raises(AssertionError):
        store.commit([Put(f"{prefix}{number}", b"") for number in range(129)])


def test_128_changes_fit(store, prefix):
    store.commit([Put(f"{prefix}{number}", b"", expected=0) for number in range(128)])
    assert len(store.list(prefix).entries) == 128


def test_watch_tells_what_happened_after_a_revision(store, prefix):
    a, b = prefix + "a", prefix + "b"
    before = store.commit([Put(a, b"1")])
    second = store.commit([Put(b, b"1")])
    watch = store.watch(prefix, before)
    assert watch.next(5).updates == {b: Entry(b, b"1", second)}
    third = store.commit([Put(a, b"2"), Delete(b)])
    batch = watch.next(5)
    assert batch.updates == {a: Entry(a, b"2", third), b: None}
    assert batch.revision == third
    watch.close()


def test_watch_ignores_other_prefixes(store, prefix):
    watch = store.watch(prefix + "a", store.list(prefix).revision)
    store.commit([Put(prefix + "b", b"")])
    revision = store.commit([Put(prefix + "ab", b"")])
    assert watch.next(5).updates == {prefix + "ab": Entry(prefix + "ab", b"", revision)}
    watch.close()


def test_watch_gives_none_when_nothing_comes(store, prefix):
    watch = store.watch(prefix, store.list(prefix).revision)
    assert watch.next(0.01) is None
    watch.close()


def test_what_is_not_fetched_is_merged(store, prefix):
    path = prefix + "a"
    watch = store.watch(prefix, store.list(prefix).revision)
    for number in range(50):
        revision = store.commit([Put(path, str(number).encode())])
    seen = []
    while not seen or seen[-1].revision < revision:
        seen.append(watch.next(5))
    assert seen[-1].updates == {path: Entry(path, b"49", revision)}
    watch.close()


def test_watch_from_compacted_history_says_so(store, prefix):
    old = store.commit([Put(prefix + "a", b"1")])
    for number in range(3):
        new = store.commit([Put(prefix + "a", str(number).encode())])
    store.compact(new)
    with pytest.raises(Compacted):
        store.watch(prefix, old).next(5)
    assert store.watch(prefix, new).next(0.01) is None, "newer history is still there"


def test_compaction_does_not_disturb_a_running_watch(store, prefix):
    watch = store.watch(prefix, store.list(prefix).revision)
    assert watch.next(0.01) is None
    for number in range(3):
        revision = store.commit([Put("/test/elsewhere", str(number).encode())])
    store.compact(revision)
    revision = store.commit([Put(prefix + "a", b"1")])
    assert watch.next(5).updates == {prefix + "a": Entry(prefix + "a", b"1", revision)}
    watch.close()


def test_watch_from_the_future_means_another_history(store, prefix):
    with pytest.raises(Compacted):
        store.watch(prefix, store.list(prefix).revision + 1_000).next(5)


def test_close_from_another_thread_wakes_the_waiting(store, prefix):
    watch = store.watch(prefix, store.list(prefix).revision)
    ended = []

    def wait():
        with pytest.raises(Unavailable):
            watch.next(30)
        ended.append(True)

    thread = threading.Thread(target=wait)
    thread.start()
    watch.close()
    watch.close()
    thread.join(timeout=10)
    assert ended == [True]


def test_a_record_with_a_lease_says_so(store, prefix):
    store.commit([Put(prefix + "a", b"1", ttl_seconds=60)])
    assert store.get(prefix + "a").lease != 0
    store.commit([Put(prefix + "a", b"2")])
    assert store.get(prefix + "a").lease == 0, "a write without a lease takes it off"


@pytest.mark.slow
def test_a_record_goes_when_its_lease_ends(store, prefix):
    revision = store.commit([Put(prefix + "a", b"1", ttl_seconds=1), Put(prefix + "b", b"")])
    watch = store.watch(prefix, revision)
    wait_until(lambda: len(store.list(prefix).entries) == 1, "the record goes by itself")
    assert watch.next(5).updates == {prefix + "a": None}
    watch.close()


def test_several_threads_share_one_client(store, prefix):
    def write(number):
        for turn in range(20):
            store.commit([Put(f"{prefix}{number}/{turn}", b"", expected=0)])

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert len(store.list(prefix).entries) == 80
