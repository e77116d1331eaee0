"""What sharing commits buys address management: one real etcd, one node's assigner.

Prints addresses per second, which depend on the machine, and ratios, which should not. Asserts
nothing. Run: python tests/bench/bench_ipam.py
"""

import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from calico.datastore.etcd import EtcdDatastore
from calico.ipam.assign import Assign
from calico.ipam.assigner import Assigner
from calico.ipam.desk import Desk
from calico.ipam.release import ReleaseHandle
from etcd_server import running_etcd
from ipam_store import write_config, write_node, write_pool

SECONDS = 1.5
CLIENTS = (1, 4, 16)


def want(handle):
    return Assign(handle=handle, attributes={"node": "a"}, use="Workload", ipv4=1)


def rate(ask, clients, name):
    """Let so many threads ask and release in turn; give the assignments in a second."""
    counts = []
    until = time.monotonic() + SECONDS

    def client(number):
        count = 0
        while time.monotonic() < until:
            handle = f"{name}-{number}-{count}"
            ask(want(handle))
            ask(ReleaseHandle(handle))
            count += 1
        counts.append(count)

    threads = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / SECONDS


def shared(etcd, clients):
    """All clients at one assigner, as in an agent."""
    store = EtcdDatastore(etcd.settings)
    assigner = Assigner(store, "a")
    assigner.start()
    assigner.ask(want(f"first-{clients}"))
    found = rate(assigner.ask, clients, f"shared-{clients}")
    assigner.stop()
    store.close()
    return found


def apart(etcd, clients):
    """A desk each, as processes that know nothing of one another."""
    local = threading.local()
    store = EtcdDatastore(etcd.settings)

    def ask(request):
        if not hasattr(local, "desk"):
            local.desk = Desk(store, "a")
        return local.desk.serve_one(request)

    found = rate(ask, clients, f"apart-{clients}")
    store.close()
    return found


def main():
    sys.setswitchinterval(0.0005)  # as the agent does
    with running_etcd() as etcd:
        store = EtcdDatastore(etcd.settings)
        write_node(store, "a")
        write_pool(store, "p", "10.208.0.0/12")
        write_config(store, max_blocks_per_host=1_000)
        print(f"{'assign and release, by':<28}{'one assigner':>14}{'a desk each':>14}{'ratio':>8}")
        for clients in CLIENTS:
            together, alone = shared(etcd, clients), apart(etcd, clients)
            ratio = together / max(alone, 0.1)
            print(f"{clients:>2} clients{together:>28.0f} /s{alone:>11.0f} /s{ratio:>8.1f}")
        store.close()


if __name__ == "__main__":
    main()
