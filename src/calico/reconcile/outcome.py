"""What a reconciler has achieved by the end of one attempt."""

from collections.abc import Hashable, Mapping
from typing import NamedTuple

from msgspec import Struct


class ClusterWide(NamedTuple):
    """Key of what concerns other nodes: it is reported, and holds up no endpoint of this one."""

    what: Hashable


class Outcome(Struct, frozen=True):
    """Everything is said by intent key, and of all keys, not only those just attempted.

    `failures` stand until the key's intent changes or a resync tries it again. `held` waits for
    something that will be announced (an interface that is not up): not in force, and nothing to
    retry. `left` is how many keys wait for the next turn. `again_seconds`: look again by then,
    although nothing will be announced.
    """

    applied: int
    failures: Mapping[Hashable, str] = {}
    left: int = 0
    held: Mapping[Hashable, str] = {}
    again_seconds: float | None = None
