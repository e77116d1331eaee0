"""Turn datastore entries into typed values, and hand them to everyone who consumes them.

    {path: Entry or None} --decode, check--> consumer.set_resource(key, resource or None, revision)
                                        |--> set_affinity(key, affinity or None), where wanted
                                        |--> set_block(key, block or None), where wanted
                                        `--> problems: {path: why it is as if absent}

A record that cannot be read, or breaks the rules of its kind, counts as absent: it is reported by
path, field and reason, and everything else goes on.

Source: shared/spec felix 6.4, "every update is validated".
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeAlias

from msgspec import DecodeError

from calico.core.model.block import Block, BlockAffinity, decode_affinity, decode_block
from calico.core.model.checks import check_stored
from calico.core.model.codec import decode
from calico.core.model.keys import BlockAffinityKey, BlockKey, ResourceKey, key_of
from calico.core.model.metadata import Resource
from calico.core.model.problem import InvalidResource
from calico.datastore.client import Entry

log = logging.getLogger(__name__)


class Consumer(Protocol):
    """Whoever follows resources; core.calc.graph.Graph is the main one."""

    def set_resource(self, key: ResourceKey, value: Resource | None, revision: int = 0) -> None:
        """Accept a new version; None: it does not exist."""
        ...


SetAffinity: TypeAlias = Callable[[BlockAffinityKey, BlockAffinity | None], None]
SetBlock: TypeAlias = Callable[[BlockKey, Block | None], None]


def no_affinities(key: BlockAffinityKey, affinity: BlockAffinity | None) -> None:
    """For an agent that is not interested."""


def no_blocks(key: BlockKey, block: Block | None) -> None:
    """For one that is not interested in blocks."""


class Records:
    """The loop's only way from bytes to values."""

    def __init__(
        self,
        consumers: Sequence[Consumer],
        set_affinity: SetAffinity = no_affinities,
        set_block: SetBlock = no_blocks,
    ) -> None:
        self._consumers = tuple(consumers)
        self._set_block = set_block
        self._set_affinity = set_affinity
        self.problems: dict[str, str] = {}

    def feed(self, updates: Mapping[str, Entry | None]) -> None:
        """Hand over what changed; other records are left alone."""
        for path, entry in updates.items():
            key = key_of(path)
            if isinstance(key, ResourceKey):
                self._feed_resource(path, key, entry)
            elif isinstance(key, BlockAffinityKey):
                self._feed_affinity(path, key, entry)
            elif isinstance(key, BlockKey):
                self._feed_block(path, key, entry)

    def _feed_resource(self, path: str, key: ResourceKey, entry: Entry | None) -> None:
        value = None if entry is None else self._decoded(key, entry)
        if entry is None or value is not None:
            self.problems.pop(path, None)
        revision = 0 if entry is None else entry.revision
        for consumer in self._consumers:
            consumer.set_resource(key, value, revision)

    def _feed_affinity(self, path: str, key: BlockAffinityKey, entry: Entry | None) -> None:
        try:
            value = None if entry is None else decode_affinity(entry.value)
        except DecodeError as error:
            self._report(path, f"no block affinity: {error}")
            value = None
        else:
            self.problems.pop(path, None)
        self._set_affinity(key, value)

    def _feed_block(self, path: str, key: BlockKey, entry: Entry | None) -> None:
        try:
            value = None if entry is None else decode_block(entry.value)
        except DecodeError as error:
            self._report(path, f"no block: {error}")
            value = None
        else:
            self.problems.pop(path, None)
        self._set_block(key, None if value is None or value.deleted else value)

    def _decoded(self, key: ResourceKey, entry: Entry) -> Resource | None:
        try:
            resource = decode(key.kind, entry.value)
        except InvalidResource as error:
            self._report(entry.path, str(error))
            return None
        found = check_stored(resource)
        if found:
            self._report(entry.path, "; ".join(str(problem) for problem in found))
            return None
        return resource

    def _report(self, path: str, reason: str) -> None:
        if self.problems.get(path) != reason:
            log.warning("record ignored", extra={"path": path, "reason": reason})
        self.problems[path] = reason
