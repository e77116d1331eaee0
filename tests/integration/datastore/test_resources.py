"""Several programs write resources of one real etcd at the same time."""

import threading

import pytest

from calico.core.model.cluster import ClusterInformation
from calico.core.model.metadata import Metadata
from calico.core.model.network_set import GlobalNetworkSet, GlobalNetworkSetSpec
from calico.datastore.etcd import EtcdDatastore
from calico.datastore.initialize import KEY, ensure_initialized
from calico.datastore.resource_errors import UpdateConflict
from calico.datastore.resources import Resources
from etcd_server import own_etcd  # noqa: F401

pytestmark = pytest.mark.etcd
PROGRAMS = 4


@pytest.fixture
def programs(own_etcd):  # noqa: F811
    stores = [EtcdDatastore(own_etcd.settings) for _ in range(PROGRAMS)]
    yield [Resources(store) for store in stores]
    for store in stores:
        store.close()


def at_once(programs, work):
    """Run `work(number, resources)` in all programs; return what each raised."""
    barrier = threading.Barrier(len(programs))
    raised = [None] * len(programs)

    def run(number, resources):
        barrier.wait(timeout=10)
        try:
            work(number, resources)
        except Exception as error:  # noqa: BLE001  # the test judges it
            raised[number] = error

    threads = [threading.Thread(target=run, args=item) for item in enumerate(programs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    return raised


def test_all_may_initialise(programs):
    def work(number, resources):
        ensure_initialized(resources, "v3.33.0", f"type-{number}", pause=lambda _: None)

    assert at_once(programs, work) == [None] * PROGRAMS
    found = programs[0].get(KEY)
    assert isinstance(found, ClusterInformation)
    assert set(found.spec.cluster_type.split(",")) == {f"type-{n}" for n in range(PROGRAMS)}
    assert len(found.spec.cluster_guid) == 32
    assert len(programs[0].list("Tier").items) == 3


def test_nobody_overwrites_another_unseen(programs):
    created = programs[0].create(GlobalNetworkSet(metadata=Metadata(name="s1")))

    def add_own_net(number, resources):
        for turn in range(5):
            while True:
                found = resources.get(KEY._replace(kind="GlobalNetworkSet", name="s1"))
                nets = (*found.spec.nets, f"10.{number}.{turn}.0/24")
                spec = GlobalNetworkSetSpec(nets=nets)
                changed = GlobalNetworkSet(metadata=found.metadata, spec=spec)
                try:
                    resources.update(changed)
                except UpdateConflict:
                    continue
                break

    assert at_once(programs, add_own_net) == [None] * PROGRAMS
    found = programs[0].get(KEY._replace(kind="GlobalNetworkSet", name="s1"))
    assert set(found.spec.nets) == {
        f"10.{number}.{turn}.0/24" for number in range(PROGRAMS) for turn in range(5)
    }
    assert found.metadata.uid == created.metadata.uid
