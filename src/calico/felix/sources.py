"""The agent's settings in the datastore: read at start, and watched for a change afterwards.

    FelixConfiguration default, node.<n>, by selector --+
    Node <n>: its labels -------------------------------+--> datastore_sources --> config.merge
    ClusterInformation: is the datastore ready ---------+

`ConfigWatch` hears of the same records in the loop; when they come to other settings than the
agent was started with, it asks for a restart at the end of that turn.

Source: shared/spec felix 6.1, 6.2.
"""

from collections.abc import Mapping, Sequence

from calico.core.model.cluster import ClusterInformation
from calico.core.model.felix_config import FelixConfiguration
from calico.core.model.felix_parameters import parameters
from calico.core.model.keys import ResourceKey
from calico.core.model.metadata import Resource
from calico.core.model.node import Node
from calico.core.selector.parser import SelectorError, parse_selector
from calico.felix.config import Merged, Source, merge
from calico.felix.loop import Restart
from calico.felix.parameters import FelixConfig

GLOBAL = "default"


def datastore_sources(
    configurations: Mapping[str, FelixConfiguration], labels: Mapping[str, str], node_name: str
) -> list[Source]:
    """Order what applies to one node, highest first.

    Of several objects whose selector matches, only the oldest counts; they are not merged.
    """
    chosen: list[FelixConfiguration] = []
    if own := configurations.get(f"node.{node_name}"):
        chosen.append(own)
    matching = sorted(
        (each for each in configurations.values() if _selects(each, labels)),
        key=lambda each: (each.metadata.creation_timestamp, each.metadata.name),
    )
    chosen += matching[:1]
    if shared := configurations.get(GLOBAL):
        chosen.append(shared)
    return [Source(f"FelixConfiguration {c.metadata.name}", parameters(c)) for c in chosen]


def _selects(configuration: FelixConfiguration, labels: Mapping[str, str]) -> bool:
    name, selector = configuration.metadata.name, configuration.spec.node_selector
    if name == GLOBAL or name.startswith("node.") or not selector:
        return False
    try:
        return parse_selector(selector).matches(labels)
    except SelectorError:
        return False


class ConfigWatch:
    """Hears of every record that the settings depend on; see the module."""

    def __init__(self, local: Sequence[Source], node_name: str) -> None:
        self._local = tuple(local)
        self._node_name = node_name
        self._configurations: dict[str, FelixConfiguration] = {}
        self._labels: Mapping[str, str] = {}
        self._is_ready = True
        self._is_dirty = False

    def set_resource(self, key: ResourceKey, value: Resource | None, revision: int = 0) -> None:  # noqa: ARG002  # the signature is every consumer's
        """Accept a record; those that say nothing about settings cost one comparison."""
        if key.kind == "FelixConfiguration":
            self._configurations.pop(key.name, None)
            if isinstance(value, FelixConfiguration):
                self._configurations[key.name] = value
            self._is_dirty = True
        elif key.kind == "Node" and key.name == self._node_name:
            self._labels = value.metadata.labels if isinstance(value, Node) else {}
            self._is_dirty = True
        elif key.kind == "ClusterInformation" and isinstance(value, ClusterInformation):
            self._is_ready = bool(value.spec.datastore_ready)
            self._is_dirty = True

    @property
    def is_ready(self) -> bool:
        """Whether the datastore says that it may be used."""
        return self._is_ready

    def merged(self) -> Merged:
        """Merge all sources as they are now."""
        stored = datastore_sources(self._configurations, self._labels, self._node_name)
        return merge([*self._local, *stored])

    def check(self, running: FelixConfig) -> None:
        """At the end of a turn: raise Restart if the agent runs with other settings."""
        if not self._is_dirty:
            return
        self._is_dirty = False
        if not self._is_ready:
            raise Restart("ClusterInformation says that the datastore is not ready")
        new = self.merged().config
        if new != running:
            changed = [name for name in new.__struct_fields__
                       if getattr(new, name) != getattr(running, name)]  # fmt: skip
            raise Restart(f"settings changed: {', '.join(changed)}")
