"""What a deleted Node leaves in address management, given back.

    datastore/node_removal.delete_node --release_addresses, release_node--> IPAM

Source: shared/spec datastore-etcd 1.2.5.
"""

from collections.abc import Sequence

from calico.datastore.client import Datastore
from calico.ipam.affinities import release_node
from calico.ipam.desk import Desk
from calico.ipam.release import Release, ReleaseAddresses


class NodeAddresses:
    """IPAM's side of a node's removal."""

    def __init__(self, store: Datastore, node: str) -> None:
        self._store = store
        self._node = node

    def release_addresses(self, addresses: Sequence[str]) -> None:
        """Free these addresses; those that are free already do not matter."""
        if addresses:
            releases = tuple(Release(address) for address in addresses)
            Desk(self._store, self._node).serve_one(ReleaseAddresses(releases))

    def release_node(self, node: str) -> None:
        """Give back every block of a node, and forget it."""
        release_node(self._store, node)
