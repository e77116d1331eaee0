"""The status writer, on the twin in memory and beside an etcd that goes away and is full."""

import contextlib

import pytest

from calico.datastore.client import Put
from calico.datastore.etcd import EtcdDatastore
from calico.datastore.memory import MemoryDatastore
from calico.datastore.writer import Status, Writer
from etcd_server import own_etcd, running_etcd, wait_until  # noqa: F401

PATH = "/calico/felix/v2/no-region/host/n1/status"


@contextlib.contextmanager
def writing(datastore, **arguments):
    writer = Writer(datastore, **arguments)
    try:
        yield writer
    finally:
        writer.close()


def test_the_latest_value_wins():
    store = MemoryDatastore()
    before = store.list("").revision
    with writing(store) as writer:
        for number in range(10):
            writer.put({PATH: Status(str(number).encode())})
        writer.start()
        assert writer.flush(5)
    assert store.get(PATH).value == b"9"
    assert store.list("").revision == before + 1, "replaced values are not written"


def test_deletes_and_leases():
    clock = [0.0]
    store = MemoryDatastore(now=lambda: clock[0])
    store.commit([Put("/gone", b"")])
    with writing(store) as writer:
        writer.start()
        writer.put({"/gone": None, "/never": None, PATH: Status(b"up", ttl_seconds=90)})
        assert writer.flush(5)
    assert [entry.path for entry in store.list("").entries] == [PATH]
    clock[0] = 91.0
    assert store.list("").entries == []


def test_more_than_a_commit_holds():
    store = MemoryDatastore()
    with writing(store) as writer:
        writer.put({f"/{number}": Status(b"") for number in range(300)})
        writer.start()
        assert writer.flush(5)
    assert len(store.list("").entries) == 300


def test_what_waits_is_bounded_and_the_oldest_goes():
    store = MemoryDatastore()
    with writing(store, max_pending=2) as writer:
        writer.put({"/a": Status(b""), "/b": Status(b"")})
        writer.put({"/a": Status(b"again"), "/c": Status(b"")})
        writer.start()
        assert writer.flush(5)
    assert [entry.path for entry in store.list("").entries] == ["/a", "/c"]


class Interrupted(MemoryDatastore):
    """Something is reported just while a commit is under way."""

    def commit(self, changes):
        revision = super().commit(changes)
        if self.meanwhile is not None:
            meanwhile, self.meanwhile = self.meanwhile, None
            meanwhile()
        return revision


def test_what_is_put_during_a_write_is_written_next():
    store = Interrupted()
    with writing(store) as writer:
        store.meanwhile = lambda: writer.put({PATH: Status(b"new")})
        writer.put({PATH: Status(b"old")})
        writer.start()
        assert writer.flush(5)
        wait_until(lambda: store.get(PATH).value == b"new", "the later report")


def test_a_writer_that_never_started_closes():
    Writer(MemoryDatastore()).close()


@pytest.mark.etcd
def test_waits_for_an_etcd_that_is_away(own_etcd):  # noqa: F811
    store = EtcdDatastore(own_etcd.settings, deadline_seconds=0.2)
    own_etcd.kill()
    with writing(store) as writer:
        writer.start()
        writer.put({PATH: Status(b"old")})
        wait_until(lambda: writer._failures._counts, "a first failure")
        writer.put({PATH: Status(b"new")})
        own_etcd.start()
        assert writer.flush(15)
    assert store.get(PATH).value == b"new"
    store.close()


@pytest.mark.etcd
def test_one_bad_report_does_not_stop_the_others():
    with running_etcd("--max-request-bytes", "2000") as server:
        store = EtcdDatastore(server.settings)
        with writing(store) as writer:
            writer.put({"/a": Status(b"1"), "/big": Status(b"x" * 5_000), "/c": Status(b"1")})
            writer.start()
            wait_until(lambda: len(store.list("/").entries) == 2, "the good ones")
            writer.put({"/big": Status(b"small")})
            assert writer.flush(10)
        assert store.get("/big").value == b"small"
        store.close()
