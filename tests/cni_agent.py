"""An agent's CNI side as a process of its own, to be killed.

    cni_agent.py <etcd URL> <node> <socket> <outer namespace> <inner namespace>    (descriptors)

It reaches etcd from the outer network namespace and serves in the inner one. Its gate never opens
for endpoints (the loop "hangs"), so an ADD is caught in the middle.
"""

import sys
import threading
from pathlib import Path

from calico.cni.request import Agent
from calico.cni.service import CniService
from calico.datastore.etcd import EtcdDatastore
from calico.datastore.settings import Settings
from calico.felix.in_force import InForce
from calico.ipam.assigner import Assigner
from calico.kernel import netns


def main():
    url, node, path, outer, inner = sys.argv[1:]
    with netns.inside(int(outer)):  # gRPC's threads stay where they are made
        store = EtcdDatastore(Settings(datastore_type="etcdv3", etcd_endpoints=url))
        store.list("/")
    assigner = Assigner(store, node)
    assigner.start()
    gate = InForce()
    gate.set_blocked("the loop hangs")
    agent = Agent(node=node, store=store, assigner=assigner, gate=gate, wait_seconds=60)
    with netns.inside(int(inner)):
        CniService(agent, Path(path)).start()
    print("ready", flush=True)
    threading.Event().wait(120)


if __name__ == "__main__":
    main()
