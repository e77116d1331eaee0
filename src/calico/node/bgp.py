"""What BIRD must know, gathered from the records as they pass through the loop.

    Node, BGPConfiguration, IPPool --set_resource--+
    own block affinities ----------set_affinity----+--> flush --> BirdInputs, if they changed

Rendering and applying are not done here: the loop hands the inputs to BIRD's owner
(reconcile/bird.py), a thread of its own, since BIRD may take its time.

Source: shared/spec bgp-confd 5.2, 5.3.
"""

from typing import TypeVar

from calico.core.model.bgp import BGPConfiguration
from calico.core.model.block import BlockAffinity
from calico.core.model.keys import BlockAffinityKey, ResourceKey
from calico.core.model.metadata import Resource
from calico.core.model.node import Node
from calico.core.model.pool import IPPool
from calico.core.render.bird import BirdInputs
from calico.core.render.bird_peers import Cluster

Value = TypeVar("Value")

_DEFAULT, _OF_NODE = "default", "node."


class BgpView:
    """The loop is its only caller."""

    def __init__(self, node_name: str, router_id: str) -> None:
        self._node_name = node_name
        self._router_id = router_id
        self._nodes: dict[str, Node] = {}
        self._pools: dict[str, IPPool] = {}
        self._configurations: dict[str, BGPConfiguration] = {}
        self._blocks: dict[str, bool] = {}
        self._is_dirty = True

    def set_resource(
        self,
        key: ResourceKey,
        value: Resource | None,
        revision: int = 0,  # noqa: ARG002
    ) -> None:
        """Accept a record; kinds that BGP does not depend on cost one comparison."""
        match key.kind:
            case "Node":
                self._put(self._nodes, key.name, value if isinstance(value, Node) else None)
            case "IPPool":
                self._put(self._pools, key.name, value if isinstance(value, IPPool) else None)
            case "BGPConfiguration":
                found = value if isinstance(value, BGPConfiguration) else None
                self._put(self._configurations, key.name, found)

    def set_affinity(self, key: BlockAffinityKey, affinity: BlockAffinity | None) -> None:
        """Accept one of the node's affinities; a pending one is not announced yet."""
        if key.affinity_type != "host" or key.host != self._node_name:
            return
        self._is_dirty = True
        self._blocks.pop(key.cidr, None)
        if affinity is not None and affinity.state != "pending":
            self._blocks[key.cidr] = affinity.state in {"confirmed", ""}

    def flush(self) -> BirdInputs | None:
        """Return the inputs if anything changed since last time."""
        if not self._is_dirty:
            return None
        self._is_dirty = False
        cluster = Cluster(
            own_name=self._node_name,
            nodes=dict(self._nodes),
            configuration=self._configurations.get(_DEFAULT, BGPConfiguration()),
            node_configurations={
                name.removeprefix(_OF_NODE): configuration
                for name, configuration in self._configurations.items()
                if name.startswith(_OF_NODE)
            },
        )
        pools = tuple(self._pools[name] for name in sorted(self._pools))
        return BirdInputs(cluster, pools, dict(self._blocks), self._router_id)

    def _put(self, table: dict[str, Value], name: str, value: Value | None) -> None:
        self._is_dirty = True
        table.pop(name, None)
        if value is not None:
            table[name] = value
