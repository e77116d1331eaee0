"""What the lab should do: the datastore's resources, thought through as every node does.

etcd --all records at one revision--> resources --core/calc--> intent of each node
                                                                `--> core/analysis: Expected
"""

from collections.abc import Iterable, Sequence

from msgspec import Struct

from calico.core.analysis.matrix import Expected, Party
from calico.core.analysis.verdict import Action
from calico.core.calc.intended import Resources, intended
from calico.core.calc.settings import CalcSettings
from calico.core.model.checks import check_stored
from calico.core.model.codec import decode
from calico.core.model.felix_config import FelixConfiguration
from calico.core.model.keys import RESOURCES_PREFIX, ResourceKey, key_of
from calico.core.model.metadata import Resource
from calico.core.model.problem import InvalidResource
from calico.datastore.client import Datastore


class Snapshot(Struct, frozen=True):
    """Every resource at one revision; what is no valid resource is absent, as it is for a node."""

    resources: Resources
    revision: int


def read_snapshot(store: Datastore) -> Snapshot:
    """Read all resources. Raises Unavailable."""
    listing = store.list(RESOURCES_PREFIX)
    resources: dict[ResourceKey, Resource] = {}
    for entry in listing.entries:
        key = key_of(entry.path)
        if isinstance(key, ResourceKey):
            try:
                resource = decode(key.kind, entry.value)
            except InvalidResource:
                continue
            if not check_stored(resource):
                resources[key] = resource
    return Snapshot(resources, listing.revision)


def expected(
    snapshot: Snapshot,
    nodes: Iterable[str],
    parties: Sequence[Party],
    settings: CalcSettings | None = None,
) -> Expected:
    """Make the thinking side of `Reachability` for these parties."""
    known, names = settings or CalcSettings(), tuple(nodes)
    return Expected(
        parties,
        {node: intended(snapshot.resources, node, known) for node in names},
        {node: to_own_node(snapshot.resources, node) for node in names},
    )


def to_own_node(resources: Resources, node: str) -> Action:
    """Read what a node does with what its own workloads send to it."""
    for name in (f"node.{node}", "default"):
        found = resources.get(ResourceKey("FelixConfiguration", "", name))
        if isinstance(found, FelixConfiguration) and found.spec.default_endpoint_to_host_action:
            dropped = found.spec.default_endpoint_to_host_action.lower() == "drop"
            return "Deny" if dropped else "Allow"
    return "Deny"
