"""A private etcd for tests: own directory, own ports, ended by its process id.

    etcd = EtcdServer(directory); etcd.start(); ... etcd.kill(); etcd.start(); ... etcd.stop()

The same object starts again on the same port with the same data, so a test can take the
datastore away and give it back.
"""

import contextlib
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from calico.datastore.client import NotFound
from calico.datastore.etcd import EtcdDatastore
from calico.datastore.settings import Settings

START_SECONDS = 20.0


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class EtcdServer:
    def __init__(self, directory, *arguments, https=None):
        self._directory = Path(directory)
        self._arguments = arguments
        self._process = None
        self.port = free_port()
        self.peer_port = free_port()
        self.url = f"{'http' if https is None else 'https'}://127.0.0.1:{self.port}"
        self.settings = Settings("etcdv3", etcd_endpoints=self.url, **(https or {}))

    def use_peer_port(self, port):
        self.peer_port = port

    def start(self, wait=True):
        peer = f"http://127.0.0.1:{self.peer_port}"
        log = (self._directory / "etcd.log").open("ab")
        self._process = subprocess.Popen(
            [
                *("etcd", "--name", "test", "--data-dir", str(self._directory / "data")),
                *("--listen-client-urls", self.url, "--advertise-client-urls", self.url),
                *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer),
                *("--initial-cluster", f"test={peer}", "--unsafe-no-fsync"),
                *("--heartbeat-interval", "50", "--election-timeout", "250"),
                *("--logger", "zap", "--log-level", "warn", *self._arguments),
            ],
            stdout=log,
            stderr=log,
        )
        log.close()
        if wait:
            self.wait_until_answering()

    def wait_until_answering(self):
        """Ask by the protocol itself: the port opens before there is a leader."""
        datastore = EtcdDatastore(self.settings, deadline_seconds=START_SECONDS)
        try:
            with contextlib.suppress(NotFound):
                datastore.get("/")
        finally:
            datastore.close()

    def kill(self):
        """End it as a power cut would."""
        self._process.kill()
        self._process.wait(timeout=10)

    def forget_everything(self):
        """Begin with an empty store at the next start, as after a failed restore."""
        shutil.rmtree(self._directory / "data")

    def stop(self):
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait(timeout=10)


def wait_until(condition, what, seconds=15.0):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.01)
    raise AssertionError(f"not within {seconds:g} s: {what}")


@contextlib.contextmanager
def running_etcd(*arguments, https=None):
    if shutil.which("etcd") is None:
        pytest.skip("etcd is not installed")
    with tempfile.TemporaryDirectory(prefix="calico-test-etcd-") as directory:
        server = EtcdServer(directory, *arguments, https=https)
        server.start()
        try:
            yield server
        finally:
            server.stop()


@pytest.fixture(scope="session")
def shared_etcd():
    """One etcd for all tests that leave no mess: use a prefix of your own."""
    with running_etcd() as server:
        yield server


@pytest.fixture
def own_etcd():
    """An etcd for this test alone, which may kill it."""
    with running_etcd() as server:
        yield server
