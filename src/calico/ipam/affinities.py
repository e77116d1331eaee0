"""Requests about who owns blocks: claim them, give them up, remove a node or a pool.

    Claim(cidr)            --> claimed, and those that others have
    Yield(owner, block)    --> affinity gone; the block too if empty, else it is nobody's
    release_node, release_pool: one Yield after the other; what stands in the way is reported

Addresses are never freed here: those of a block that was given up stay allocated.

Source: shared/spec datastore-etcd 1.9.6, 1.9.9; libcalico-go/lib/ipam/ipam.go ClaimAffinity.
"""

from collections.abc import Sequence
from ipaddress import ip_network
from typing import Literal, TypeAlias

from msgspec import Struct

from calico.core.ipam import walk
from calico.core.ipam.affinity import condition, owner_parts, without_owner, yielding
from calico.core.ipam.assign import Assigned
from calico.core.ipam.block import new_block
from calico.core.ipam.pools import Pool, containing
from calico.core.model.block import Block, BlockAffinity
from calico.core.model.keys import HOST_AFFINITIES_PREFIX, BlockAffinityKey, key_of
from calico.datastore.client import Change, Datastore, Delete
from calico.ipam.desk import Desk
from calico.ipam.errors import IpamError
from calico.ipam.ledger import affinity_path, block_path

Yielded: TypeAlias = Literal["released", "not ours", "in use", "absent", "changed"]


class Claim(Struct, frozen=True):
    """Make this desk's node the owner of every block in a CIDR of a pool, as far as free."""

    cidr: str

    def decide(
        self, desk: Desk
    ) -> tuple[tuple[tuple[str, ...], tuple[str, ...]], Sequence[Change]]:
        """Give (claimed, taken by others). Raises IpamError if no pool holds the CIDR."""
        claimed, taken = [], []
        for cidr in _blocks_of(desk, self.cidr):
            block = desk.settled_block(cidr)
            affinity = desk.ledger.record(affinity_path(desk.owner, cidr))
            state = affinity.state if isinstance(affinity, BlockAffinity) else ""
            match condition(block, state, desk.owner):
                case "stale":
                    taken.append(cidr)
                    continue
                case "no block":
                    block = new_block(cidr, desk.owner, desk.now)
                case "good" | "unfinished":
                    pass
            claimed.append(cidr)
            blocks = {cidr: block} if block is not None else {}
            desk.want(desk.owner, Assigned(blocks=blocks, claims=(cidr,)), "")
        return (tuple(claimed), tuple(taken)), ()


class Yield(Struct, frozen=True):
    """Give up one owner's affinity to one block."""

    owner: str
    cidr: str
    must_be_empty: bool = False
    sequence_number: int | None = None

    def decide(self, desk: Desk) -> tuple[Yielded, Sequence[Change]]:
        """Say what came of it; nothing is changed unless it is "released" or "not ours"."""
        path = affinity_path(self.owner, self.cidr)
        block = desk.settled_block(self.cidr)
        if desk.ledger.record(path) is None or block is None:
            return "absent", ()
        answer = yielding(
            block,
            self.owner,
            must_be_empty=self.must_be_empty,
            sequence_number=self.sequence_number,
        )
        if answer in {"in use", "changed"}:
            return ("in use" if answer == "in use" else "changed"), ()
        desk.ledger.delete(path)
        if answer == "stale":
            return "not ours", ()
        self._let_go(desk, block, is_empty=answer == "delete block")
        return "released", ()

    def _let_go(self, desk: Desk, block: Block, *, is_empty: bool) -> None:
        if is_empty:
            desk.ledger.delete(block_path(self.cidr))
        else:
            desk.ledger.put(block_path(self.cidr), without_owner(block))


def release_node(store: Datastore, node: str) -> tuple[str, ...]:
    """Remove a node from address management; give the blocks it owned.

    Its addresses stay allocated: release them first if they are to be free.
    """
    desk = Desk(store, node)
    owned = [*desk.affinities(desk.owner, 4), *desk.affinities(desk.owner, 6)]
    released = [c for c in owned if desk.serve_one(Yield(desk.owner, c))[0] == "released"]
    for cidr in owned:
        _drop_without_block(desk, cidr)
    store.commit([Delete(HOST_AFFINITIES_PREFIX + node)])
    return tuple(released)


def release_pool(store: Datastore, cidr: str) -> tuple[str, ...]:
    """Give up all nodes' blocks in a pool's CIDR; give those blocks."""
    network = ip_network(cidr)
    released = []
    for entry in store.list(HOST_AFFINITIES_PREFIX).entries:
        key = key_of(entry.path)
        if not isinstance(key, BlockAffinityKey):
            continue
        block = ip_network(key.cidr)
        if block.version == network.version and block.network_address in network:
            desk = Desk(store, key.host)
            if desk.serve_one(Yield(desk.owner, key.cidr))[0] == "released":
                released.append(key.cidr)
    return tuple(released)


def _drop_without_block(desk: Desk, cidr: str) -> None:
    """Delete an affinity whose block is gone; the original leaves those behind."""
    path = affinity_path(desk.owner, cidr)
    desk.ledger.forget(path)
    if desk.settled_block(cidr) is None and desk.ledger.record(path) is not None:
        desk.store.commit([Delete(path)])


def _blocks_of(desk: Desk, cidr: str) -> list[str]:
    network = ip_network(cidr)
    pool: Pool | None = containing((p for p in desk.surroundings.pools if not p.unusable), network)
    if pool is None:
        raise IpamError(f"the requested CIDR ({cidr}) is not within any configured pool")
    if network.prefixlen > pool.block_size:
        raise IpamError(f"the requested CIDR ({cidr}) is smaller than a block (/{pool.block_size})")
    count = walk.count_blocks(network, pool.block_size)
    if count > 40:
        kind, name = owner_parts(desk.owner)
        raise IpamError(f"{count} blocks at once are too many to claim for {kind} {name}")
    return [str(walk.block_at(network, pool.block_size, i)) for i in range(count)]
