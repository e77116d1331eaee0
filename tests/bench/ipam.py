"""Addresses assigned per second: one client, four on a node, four on four nodes; one real etcd.

python -m tests.bench.ipam ETCD NODE CLIENTS     a process of its own: one node's assigner, and
                                                 threads that ask for one address after another
"""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing

from tests.bench.table import Row

from calico.datastore.etcd import EtcdDatastore
from calico.datastore.settings import Settings
from calico.felix.process import settle
from calico.ipam.assign import Assign
from calico.ipam.assigner import Assigner
from ipam_store import write_config, write_node, write_pool

SECONDS = 2.0


def rows(node) -> Iterator[Row]:
    """Let processes compete for one pool, in blocks of 64 addresses."""
    write_pool(node.store, "ipam", "10.208.0.0/12")
    write_config(node.store, max_blocks_per_host=1_000)
    one, alone_ms = rate(node, {"ipam-a": 1})
    together, shared_ms = rate(node, {"ipam-b": 4})
    apart, _ = rate(node, dict.fromkeys(("ipam-c", "ipam-d", "ipam-e", "ipam-f"), 1))
    yield Row(
        "addresses assigned: one client, 4 on a node, on 4 nodes",
        "/s",
        (one, together, apart),
        (400, 2_000, 2_000),
        "38-47, 71-80, 191-224",
        f"one commit each time, {1000 / one:.1f} ms; CPU of the node {alone_ms:.2f} ms for each, "
        f"{shared_ms:.2f} when four share a commit; all beside etcd on this machine's CPUs",
        more_is_better=True,
    )


def rate(node, clients: Mapping[str, int]) -> tuple[float, float]:
    """Count what these many clients, on these nodes, get in a second; and CPU milliseconds each."""
    with ExitStack() as stack:
        workers = []
        for name, count in clients.items():
            write_node(node.store, name)
            command = [sys.executable, "-m", "tests.bench.ipam", node.etcd.url, name, str(count)]
            pipe = subprocess.PIPE
            worker = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)
            stack.callback(worker.wait, 30)
            stack.callback(worker.kill)
            workers.append(worker)
        for worker in workers:
            assert worker.stdout.readline() == "ready\n"
        for worker in workers:
            worker.stdin.write("go\n")
            worker.stdin.close()
        told = [worker.stdout.readline().split() for worker in workers]
        count = sum(int(count) for count, _ in told)
        cpu_seconds = sum(float(cpu) for _, cpu in told)
        return count / SECONDS, cpu_seconds / count * 1000


def work(url: str, name: str, clients: int) -> None:
    """Be one node: get ready, wait for the word, print the count and the CPU."""
    settle(ends_with_parent=True)  # with an agent's manners
    with closing(EtcdDatastore(Settings("etcdv3", etcd_endpoints=url))) as store:
        assigner = Assigner(store, name)
        assigner.start()
        ask(assigner, f"{name}-first")  # the node's first block is claimed
        print("ready", flush=True)
        sys.stdin.readline()
        counts: list[int] = []
        threads = [
            threading.Thread(target=client, args=(assigner, f"{name}-{number}", counts))
            for number in range(clients)
        ]
        cpu = time.process_time()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        print(sum(counts), time.process_time() - cpu, flush=True)
        assigner.stop()


def client(assigner: Assigner, name: str, counts: list[int]) -> None:
    """Ask for one address after another."""
    count, until = 0, time.monotonic() + SECONDS
    while time.monotonic() < until:
        ask(assigner, f"{name}-{count}")
        count += 1
    counts.append(count)


def ask(assigner: Assigner, handle: str) -> None:
    """Ask for one address, as an ADD does."""
    assigner.ask(Assign(handle=handle, attributes={"node": "n"}, use="Workload", ipv4=1))


if __name__ == "__main__":
    work(sys.argv[1], sys.argv[2], int(sys.argv[3]))
