"""Fixtures of the CNI tests: a node started with either store, and one not started."""

from cni_host import cni_store, host, memory_host  # noqa: F401
from etcd_server import shared_etcd  # noqa: F401
