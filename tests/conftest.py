"""Fixtures that every room's tests share."""

from etcd_server import own_etcd, shared_etcd  # noqa: F401
from netns import make_namespace, netns  # noqa: F401
