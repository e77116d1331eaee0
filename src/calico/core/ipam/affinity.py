"""Who owns a block, and how ownership begins and ends.

    owner --claim--> affinity "confirmed" + block that names the owner
          <-yield--- block empty: both deleted;  in use: the block stays, nobody's

The original claims in two steps (affinity pending, block, affinity confirmed), since its writes
change one record each. Ours change several at once, so that we never leave a step half done, but
we meet what others left: `condition` tells which of the steps it is, and all are completed or
cleared the same way whoever began them.

Invariant: a block that names an owner has an affinity record of that owner, in some state; a
confirmed record had its block at the moment it was confirmed.
Source: shared/spec datastore-etcd 1.9.6, 1.9.9.
"""

from collections.abc import Iterable, Mapping
from typing import Literal, TypeAlias

import msgspec

from calico.core.ipam.block import is_empty
from calico.core.ipam.pools import Labels, Pool, containing, selects
from calico.core.ipam.reservations import network_of
from calico.core.model.block import AffinityState, Block

LOAD_BALANCER = "virtual:load-balancer"

Condition: TypeAlias = Literal["good", "unfinished", "stale", "no block"]
Yielding: TypeAlias = Literal["delete block", "keep block", "stale", "in use", "changed"]


def host(node: str) -> str:
    """Name a node as an owner."""
    return f"host:{node}"


def owner_parts(owner: str) -> tuple[str, str]:
    """Split "host:node-a" into kind and name."""
    kind, _, name = owner.partition(":")
    return kind, name


def condition(block: Block | None, state: AffinityState, owner: str) -> Condition:
    """Compare an affinity record of `owner` with its block."""
    if block is None:
        return "no block"
    if block.affinity != owner:
        return "stale"
    return "good" if state in {"", "confirmed"} else "unfinished"


def yielding(
    block: Block, owner: str, *, must_be_empty: bool, sequence_number: int | None = None
) -> Yielding:
    """Tell what giving up a block comes to, and what forbids it.

    With a sequence number the block must not have changed since.
    """
    if sequence_number is not None and block.sequence_number != sequence_number:
        return "changed"
    if block.affinity not in {None, owner}:
        return "stale"
    if is_empty(block):
        return "delete block"
    return "in use" if must_be_empty else "keep block"


def without_owner(block: Block) -> Block:
    """Give the block that belongs to nobody."""
    return msgspec.structs.replace(block, affinity=None, affinity_claim_time=msgspec.UNSET)


def unselected(
    affinities: Iterable[str], pools: Iterable[Pool], node_labels: Labels
) -> tuple[str, ...]:
    """List the owner's blocks that lie in a usable pool which no longer selects the node."""
    enabled = [pool for pool in pools if not pool.unusable]
    gone = []
    for cidr in affinities:
        pool = containing(enabled, network_of(cidr))
        if pool is not None and not selects(pool.node_selector, node_labels):
            gone.append(cidr)
    return tuple(gone)


def affine_within(affinities: Mapping[str, AffinityState], pools: Iterable[Pool]) -> list[str]:
    """List the owner's blocks inside these pools, in the order given."""
    inside = list(pools)
    return [cidr for cidr in affinities if containing(inside, network_of(cidr)) is not None]
