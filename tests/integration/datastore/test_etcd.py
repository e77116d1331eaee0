"""The real etcd where it is unlike memory: it goes away, is full, wants TLS or a password."""

import contextlib
import os
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest
from msgspec.structs import replace

from calico.datastore.client import NotFound, Put, Refused, Unavailable
from calico.datastore.etcd import EtcdDatastore
from etcd_server import EtcdServer, free_port, own_etcd, running_etcd, shared_etcd  # noqa: F401

pytestmark = pytest.mark.etcd


@contextlib.contextmanager
def datastore(settings, deadline_seconds=10.0):
    store = EtcdDatastore(settings, deadline_seconds)
    try:
        yield store
    finally:
        store.close()


def etcdctl(server, *arguments):
    environment = {**os.environ, "ETCDCTL_API": "3"}
    subprocess.run(
        ["etcdctl", "--endpoints", server.url, *arguments],
        env=environment,
        check=True,
        capture_output=True,
        timeout=20,
    )


def test_nobody_there_says_where_and_what_to_check(own_etcd):  # noqa: F811
    own_etcd.kill()
    with datastore(own_etcd.settings, deadline_seconds=0.2) as store:
        for call in (
            lambda: store.get("/a"),
            lambda: store.list("/"),
            lambda: store.commit([Put("/a", b"")]),
            lambda: store.watch("/", 1),
        ):
            with pytest.raises(Unavailable) as caught:
                call()
            text = str(caught.value)
            assert own_etcd.url in text
            assert "onnection refused" in text
            assert "Check that etcd runs there" in text
            assert "ETCD_ENDPOINTS" in text


def test_a_name_that_does_not_exist_says_so(own_etcd):  # noqa: F811
    settings = replace(own_etcd.settings, etcd_endpoints="http://no-such-host.invalid:2379")
    unknown = pytest.raises(Unavailable, match=r"http://no-such-host.invalid:2379: .*")
    with datastore(settings, deadline_seconds=0.5) as store, unknown:
        store.get("/a")


def test_a_call_waits_for_an_etcd_that_is_starting(own_etcd):  # noqa: F811
    own_etcd.kill()
    with datastore(own_etcd.settings) as store:
        starter = threading.Timer(0.3, own_etcd.start, kwargs={"wait": False})
        starter.start()
        revision = store.commit([Put("/a", b"1")])
        starter.join()
        assert store.get("/a").revision == revision


def test_one_client_outlives_many_restarts(own_etcd):  # noqa: F811
    with datastore(own_etcd.settings) as store:
        for number in range(3):
            store.commit([Put("/a", str(number).encode())])
            own_etcd.kill()
            own_etcd.start(wait=False)
            assert store.get("/a").value == str(number).encode()


def test_calls_after_close_say_so(shared_etcd):  # noqa: F811
    with datastore(shared_etcd.settings) as store:
        store.list("/")
    for call in (lambda: store.get("/a"), lambda: store.watch("/", 1)):
        with pytest.raises(Unavailable, match="closed"):
            call()


def test_several_endpoints_one_of_them_well(own_etcd):  # noqa: F811
    dead = f"http://127.0.0.1:{free_port()}"
    settings = replace(own_etcd.settings, etcd_endpoints=f"{dead},{own_etcd.url}")
    with datastore(settings, deadline_seconds=2.0) as store:
        revision = store.commit([Put("/a", b"1")])
        watch = store.watch("/", revision)
        store.commit([Put("/a", b"2")])
        assert watch.next(5).updates["/a"].value == b"2"
        own_etcd.kill()
        with pytest.raises(Unavailable) as caught:
            watch.next(5)
        assert dead in str(caught.value)
        assert own_etcd.url in str(caught.value)


@pytest.mark.slow
def test_a_cluster_loses_the_member_that_we_use(tmp_path):
    servers = []
    peers = {f"m{n}": free_port() for n in range(3)}
    cluster = ",".join(f"{name}=http://127.0.0.1:{port}" for name, port in peers.items())
    with contextlib.ExitStack() as stack:
        for name, port in peers.items():
            (tmp_path / name).mkdir()
            server = EtcdServer(tmp_path / name, "--name", name, "--initial-cluster", cluster)
            server.use_peer_port(port)
            server.start(wait=False)
            stack.callback(server.stop)
            servers.append(server)
        for server in servers:
            server.wait_until_answering()
        urls = ",".join(server.url for server in servers)
        with datastore(replace(servers[0].settings, etcd_endpoints=urls)) as store:
            store.commit([Put("/a", b"1")])
            servers[0].kill()
            assert commit_until_done(store, "/a", b"2") == b"2"
            watch = store.watch("/", store.list("/").revision)
            store.commit([Put("/a", b"3")])
            assert watch.next(5).updates["/a"].value == b"3"
            watch.close()


def commit_until_done(store, path, value):
    """The call under which a member dies, or an election runs, is Unavailable: try again."""
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        with contextlib.suppress(Unavailable):
            store.commit([Put(path, value)])
            return store.get(path).value
    return None


def fill(store):
    for number in range(200):
        store.commit([Put(f"/{number}", b"x" * 100_000)])


def test_a_full_etcd_says_what_to_do():
    with (
        running_etcd("--quota-backend-bytes", str(1_000_000)) as server,
        datastore(server.settings) as store,
    ):
        with pytest.raises(Refused, match=r"database space exceeded.*NOSPACE.*alarm disarm"):
            fill(store)
        assert store.get("/0").value[:1] == b"x", "reading still works"


def test_too_large_a_record_is_refused():
    with (
        running_etcd("--max-request-bytes", "2000") as server,
        datastore(server.settings) as store,
        pytest.raises(Refused, match="too large"),
    ):
        store.commit([Put("/a", b"x" * 5_000)])


def test_user_and_password(own_etcd):  # noqa: F811
    etcdctl(own_etcd, "user", "add", "root:root")
    etcdctl(own_etcd, "user", "add", "felix:hush")
    etcdctl(own_etcd, "role", "add", "reader")
    etcdctl(own_etcd, "role", "grant-permission", "reader", "readwrite", "--prefix", "/calico/")
    etcdctl(own_etcd, "user", "grant-role", "felix", "reader")
    etcdctl(own_etcd, "auth", "enable")

    with datastore(own_etcd.settings) as store, pytest.raises(Refused, match="ETCD_USERNAME"):
        store.get("/calico/a")
    wrong = replace(own_etcd.settings, etcd_username="felix", etcd_password="loud")  # noqa: S106
    with datastore(wrong) as store, pytest.raises(Refused, match="ETCD_PASSWORD"):
        store.get("/calico/a")

    right = replace(wrong, etcd_password="hush")  # noqa: S106
    with datastore(right) as store:
        revision = store.commit([Put("/calico/a", b"1")])
        with pytest.raises(Refused, match="permission denied"):
            store.get("/other")
        watch = store.watch("/calico/", revision - 1)
        assert set(watch.next(5).updates) == {"/calico/a"}
        watch.close()
        own_etcd.kill()  # and with it every token
        own_etcd.start(wait=False)
        assert store.get("/calico/a").value == b"1"


class LosesAnAnswer:
    """A way to etcd that, once told to, lets one request through and loses the answer."""

    def __init__(self, port):
        self._target = port
        self._armed = False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def lose_the_next_answer(self):
        self._armed = True

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._target), timeout=10)
                for pair in ((client, server), (server, client)):
                    threading.Thread(
                        target=self._pass_on, args=(*pair, server), daemon=True
                    ).start()

    def _pass_on(self, source, target, server):
        with contextlib.suppress(OSError), source, target:
            while data := source.recv(65_536):
                # frames of bookkeeping are small, an answer to a commit is not
                if self._armed and source is server and len(data) > 40:
                    self._armed = False
                    break
                target.sendall(data)
            for end in (source, target):
                end.shutdown(socket.SHUT_RDWR)  # wakes the other direction as well

    def close(self):
        self._listener.close()


def test_a_write_whose_answer_is_lost_is_not_written_twice(own_etcd):  # noqa: F811
    way = LosesAnAnswer(own_etcd.port)
    with (
        contextlib.closing(way),
        datastore(replace(own_etcd.settings, etcd_endpoints=way.url)) as store,
    ):
        store.list("/")
        way.lose_the_next_answer()
        with pytest.raises(Unavailable):
            store.commit([Put("/a", b"1", expected=0)])
        assert store.get("/a").value == b"1", "it had happened: only the caller can judge that"
        way.lose_the_next_answer()
        assert store.get("/a").value == b"1", "what only reads is asked again"


@pytest.mark.slow
def test_the_revision_of_a_batch_is_that_of_its_events(own_etcd):  # noqa: F811
    """A watch that catches up gets a thousand revisions at a time, each headed by the newest."""
    with datastore(own_etcd.settings) as store:
        before = store.list("/").revision
        for number in range(1_200):
            last = store.commit([Put(f"/{number}", b"")])
        watch, reached = store.watch("/", before), before
        while reached < last:
            batch = watch.next(5)
            reached = batch.revision
            assert reached == max(entry.revision for entry in batch.updates.values())
        watch.close()


def openssl(*arguments):
    subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=30)


@pytest.fixture
def certificates(tmp_path):
    """One key and certificate that is its own authority, for server and client alike."""
    key, certificate = str(tmp_path / "key"), str(tmp_path / "certificate")
    openssl(
        *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
        *("-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1"),
        *("-keyout", key, "-out", certificate),
    )
    return key, certificate


@pytest.fixture
def tls_etcd(certificates):
    key, certificate = certificates
    with running_etcd(
        *("--cert-file", certificate, "--key-file", key),
        *("--client-cert-auth", "--trusted-ca-file", certificate),
        https={
            "etcd_key_file": key,
            "etcd_cert_file": certificate,
            "etcd_ca_cert_file": certificate,
        },
    ) as server:
        yield server


def test_tls_with_files_and_inline(tls_etcd, certificates):
    with datastore(tls_etcd.settings) as store:
        store.commit([Put("/a", b"1")])
    texts = {
        "etcd_key": tls_etcd.settings.etcd_key_file,
        "etcd_cert": tls_etcd.settings.etcd_cert_file,
        "etcd_ca_cert": tls_etcd.settings.etcd_ca_cert_file,
    }
    inline = replace(
        tls_etcd.settings,
        **dict.fromkeys(("etcd_key_file", "etcd_cert_file", "etcd_ca_cert_file"), ""),
        **{name: Path(path).read_text() for name, path in texts.items()},
    )
    with datastore(inline) as store:
        assert store.get("/a").value == b"1"


def test_tls_that_fails_names_the_files(tls_etcd, own_etcd):  # noqa: F811
    untrusting = replace(tls_etcd.settings, etcd_ca_cert_file="")
    with datastore(untrusting, deadline_seconds=1.0) as store:
        with pytest.raises(Unavailable, match=r"ETCD_CA_CERT_FILE") as caught:
            store.get("/a")
        assert "CERTIFICATE_VERIFY_FAILED" in str(caught.value)
    plain = replace(tls_etcd.settings, etcd_endpoints=tls_etcd.url.replace("https", "http"))
    with datastore(plain, deadline_seconds=0.5) as store, pytest.raises(Unavailable):
        store.get("/a")


def test_a_missing_record_in_an_empty_store(own_etcd):  # noqa: F811
    with datastore(own_etcd.settings) as store:
        with pytest.raises(NotFound):
            store.get("/calico/a")
        assert store.list("/calico/").revision == 1
