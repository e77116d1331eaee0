"""How fast a real etcd answers us: what batching and coalescing buy.

Prints milliseconds, which depend on the machine, and ratios, which should not. Asserts nothing.
Run: python tests/bench/bench_datastore.py
"""

import sys
import threading
import time
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parent.parent))

from calico.core.model.endpoint import WorkloadEndpoint, WorkloadEndpointSpec
from calico.core.model.metadata import Metadata
from calico.core.model.stored import to_record
from calico.datastore.client import Put
from calico.datastore.etcd import EtcdDatastore
from calico.datastore.resources import Resources
from calico.datastore.watcher import Watcher, WatchKey
from etcd_server import running_etcd

PREFIX = "/calico/resources/v3/projectcalico.org/workloadendpoints/"
COUNT = 10_000


def seconds(work):
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def report(what, milliseconds, ratio=""):
    print(f"{what:<58} {milliseconds:10.2f} ms  {ratio}")


def endpoint(number):
    name = f"node--1-k8s-pod--{number:05}-eth0"
    spec = WorkloadEndpointSpec(
        orchestrator="k8s",
        node="node-1",
        pod=f"pod-{number:05}",
        endpoint="eth0",
        container_id=f"{number:064x}",
        ip_networks=(f"10.65.{number >> 8}.{number & 255}/32",),
        profiles=("kns.shop", "ksa.shop.default"),
        interface_name=f"cali{number:011x}",
    )
    metadata = Metadata(
        name=name,
        namespace="shop",
        uid=f"00000000-0000-4000-8000-{number:012x}",
        creation_timestamp="2026-08-01T10:00:02Z",
        labels={"app": f"app-{number % 20}", "projectcalico.org/serviceaccount": "default"},
    )
    return PREFIX + f"shop/{name}", to_record(WorkloadEndpoint(metadata=metadata, spec=spec))


def commits(store):
    def one_by_one():
        for number in range(30):
            store.commit([Put(f"/bench/{number}", b"x" * 300)])

    def together():
        store.commit([Put(f"/bench/{number}", b"x" * 300) for number in range(30)])

    one_by_one()
    singly = median(seconds(one_by_one) for _ in range(10)) * 1_000
    batched = median(seconds(together) for _ in range(10)) * 1_000
    report("30 writes, a commit each", singly)
    report("30 writes, one commit", batched, f"{singly / batched:.1f} times faster")


def lists(store):
    records = [endpoint(number) for number in range(COUNT)]
    for start in range(0, COUNT, 128):
        store.commit([Put(path, value) for path, value in records[start : start + 128]])
    raw = median(seconds(lambda: store.list(PREFIX)) for _ in range(3)) * 1_000
    resources = Resources(store)
    typed = median(seconds(lambda: resources.list("WorkloadEndpoint")) for _ in range(3)) * 1_000
    report(f"list of {COUNT:,} workload endpoints, bytes", raw)
    report("the same, typed", typed, f"{typed / raw:.1f} times the bytes")


def watches(store):
    done = threading.Event()
    counts = {"puts": 0, "records": 0}
    last = [0]

    def put(updates):
        counts["puts"] += 1
        counts["records"] += len(updates) - 1
        (state,) = (v for k, v in updates.items() if isinstance(k, WatchKey))
        if last[0] and state.revision >= last[0]:
            done.set()

    watcher = Watcher(store, "/bench/", put)
    watcher.start()
    revision = store.list("/bench/").revision
    watch = store.watch("/bench/", revision)

    def alone():
        written = store.commit([Put("/bench/echo", b"x")])
        while (batch := watch.next(5)) is None or batch.revision < written:
            pass

    report("write -> our own watch", median(seconds(alone) for _ in range(50)) * 1_000)
    watch.close()

    counts.update(puts=0, records=0)

    def burst():
        for number in range(COUNT // 100):
            last[0] = store.commit([Put(f"/bench/{n}", b"%d" % number) for n in range(100)])
        done.clear()
        store.commit([Put("/bench/end", b"")])
        last[0] = store.list("/bench/").revision
        done.wait(20)

    took = seconds(burst) * 1_000
    report(f"{COUNT:,} events of 100 paths, written and followed", took)
    print(f"{'':58} handed over as {counts['records']:,} records in {counts['puts']} puts")
    watcher.close()


def returns(server, store):
    """How long after etcd answers again a watcher tells of a write, and a kept client answers."""
    heard = threading.Event()
    watcher = Watcher(store, "/back/", lambda updates: "/back/a" in updates and heard.set())
    watcher.start()
    calls, watches = [], []
    for number in range(3):
        server.kill()
        time.sleep(2.0)  # let the backoff grow
        server.start()
        calls.append(seconds(lambda n=number: store.commit([Put("/back/a", b"%d" % n)])))
        watches.append(seconds(lambda: heard.wait(10)))
        heard.clear()
    watcher.close()
    report("etcd answers again -> a write by a kept client", median(calls) * 1_000)
    report("that write -> its watcher", median(watches) * 1_000)


def main():
    with running_etcd() as server:
        store = EtcdDatastore(server.settings)
        commits(store)
        lists(store)
        watches(store)
        returns(server, store)
        store.close()


if __name__ == "__main__":
    main()
