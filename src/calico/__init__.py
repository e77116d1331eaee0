"""Calico in Python: layer-3 networking and network policy for containers and virtual machines.

    core       thinks: pure functions and views over values
    datastore, kernel, reconcile, ipam, telemetry   touch the world
    felix, node, cni, calicoctl, lab                run

ARCHITECTURE.md draws the whole; each room's `__init__` says what the room is for.
"""

__version__ = "0.1.0"
