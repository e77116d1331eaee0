"""Routes from nothing: 10,000 of them, as blocks of other nodes, into a namespace's main table."""

import gc
import os
import time
from collections.abc import Iterator
from contextlib import closing

from tests.bench.table import Row

from calico.core.intent.routes import ROUTE_PROTOCOL_CALICO, Route
from calico.kernel import netns
from calico.kernel.links import Links, Peer
from calico.kernel.routes import KernelRouteTable, Ownership
from calico.kernel.run import run
from calico.reconcile.routes import RouteReconciler

COUNT = 10_000


def rows() -> Iterator[Row]:
    """Let the reconciler write them, and find that nothing is left to do."""
    namespace = netns.create()
    try:
        with netns.inside(namespace), Links() as links:
            links.create_veth("eth0", Peer("far"), up=True)
            links.set_up("far")
            run(["ip", "address", "add", "192.0.2.1/24", "dev", "eth0"])
            with closing(KernelRouteTable("ipv4", Ownership())) as table:
                yield row(RouteReconciler(table, time.monotonic))
    finally:
        os.close(namespace)


def row(reconciler) -> Row:
    """Time it from intent to kernel."""
    routes = [
        Route(
            f"10.{n >> 10}.{n >> 2 & 255}.{(n & 3) << 6}/26",
            "eth0",
            f"192.0.2.{2 + n % 200}",
            protocol=ROUTE_PROTOCOL_CALICO,
        )
        for n in range(COUNT)
    ]
    gc.collect()
    gc.disable()  # as in the loop
    started, cpu = time.monotonic(), time.process_time()
    reconciler.set_links({"eth0": 1})
    reconciler.update({route.key: route for route in routes})
    applied, outcome = 0, None
    while outcome is None or outcome.left:
        outcome = reconciler.apply()
        applied += outcome.applied
        assert not outcome.failures, outcome
    took, cpu = time.monotonic() - started, time.process_time() - cpu
    gc.enable()
    assert applied == COUNT
    told = f"{cpu:.2f} s of CPU, a message for each route, encoded and taken by the kernel"
    return Row(f"{COUNT:,} routes from nothing", "s", (took,), (0.5,), "", told)
