"""Where the time of an ADD and a DEL goes: the plugin's process, the agent, the datastore.

A real plugin process, a real service in a fresh namespace, no rules (the gate is always open): what
the loop adds is measured by `python -m tests.bench`. Prints milliseconds, which depend on the
machine, and ratios, which should not. Asserts nothing. Run as root: python tests/bench/bench_cni.py
"""

import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parent.parent))

from calico.cni.install import base_python
from calico.datastore.etcd import EtcdDatastore
from calico.datastore.memory import MemoryDatastore
from calico.kernel import netns
from cni_host import CniHost, containers, wipe
from etcd_server import running_etcd

ROUNDS = 25
PARTS = ("interpreter alone", "plugin alone (VERSION)", "ADD", "DEL", "four ADDs at once")


def milliseconds(work):
    started = time.perf_counter()
    work()
    return (time.perf_counter() - started) * 1000


def measure(host):
    """Give the median milliseconds of each part."""
    took = {part: [] for part in PARTS}
    bare = [base_python(), "-ISE", "-c", "pass"]
    for number in range(ROUNDS):
        with containers(f"pod-{number}") as (pod,):
            took[PARTS[0]].append(milliseconds(lambda: subprocess.run(bare, check=True)))
            took[PARTS[1]].append(milliseconds(lambda p=pod: host.run("VERSION", p)))
            took[PARTS[2]].append(milliseconds(lambda p=pod: host.run("ADD", p)))
            took[PARTS[3]].append(milliseconds(lambda p=pod: host.run("DEL", p)))
    for number in range(ROUNDS // 5):
        with containers(*(f"four-{number}-{i}" for i in range(4))) as pods:
            took[PARTS[4]].append(milliseconds(lambda p=pods: at_once(host, p)))
            for pod in pods:
                host.run("DEL", pod)
    return {part: median(values) for part, values in took.items()}


def at_once(host, pods):
    started = [host.spawn("ADD", pod) for pod in pods]
    for child, config in started:
        child.stdin.write(config)
        child.stdin.close()
    for child, _ in started:
        child.wait(30)
        child.stdout.close()
        child.stderr.close()


def node(stack, store):
    """Make a node in a namespace of its own, started."""
    namespace = netns.create()
    stack.callback(os.close, namespace)
    directory = stack.enter_context(tempfile.TemporaryDirectory())
    stack.enter_context(netns.inside(namespace))
    host = CniHost(store, directory)
    host.write_pool("p", "10.65.0.0/16")
    host.start()
    stack.callback(host.stop)
    return host


def main():
    sys.setswitchinterval(0.0005)  # as the agent does
    with running_etcd() as etcd:
        store = EtcdDatastore(etcd.settings)
        wipe(store)
        found = {}
        for name, each in (("etcd", store), ("memory", MemoryDatastore())):
            with ExitStack() as stack:
                found[name] = measure(node(stack, each))
        store.close()
    base = found["etcd"][PARTS[0]]
    print(f"{'':<26}{'etcd':>10}{'memory':>12}{'etcd / bare interpreter':>26}")
    for part in PARTS:
        etcd_ms, memory_ms = found["etcd"][part], found["memory"][part]
        print(f"{part:<26}{etcd_ms:>7.1f} ms{memory_ms:>9.1f} ms{etcd_ms / base:>26.1f}")


if __name__ == "__main__":
    main()
