"""What in the records of address management serves nobody any more.

    blocks + what lives (container ids, addresses) --> leaks: allocated, but whose owner is gone
    blocks + pools + reservations ------------------> utilization: what is used, reserved, free

A leak is a suspicion, for two reasons: a workload's address is allocated before its endpoint is
seen, and calico-ipam may serve main plugins that write no endpoints. So nothing here releases by
itself; who does must look twice, and must name the sequence number it saw.

Source: shared/spec datastore-etcd 1.9.10, 1.9.13.
"""

from collections.abc import Collection, Iterable, Sequence
from ipaddress import ip_network

from msgspec import Struct

from calico.core.ipam.block import address_of, holder_of, usable
from calico.core.ipam.pools import Pool
from calico.core.ipam.reservations import Network, Reserved
from calico.core.model.block import Attribute, Block

ORPHANS = "orphaned allocation blocks"


class Allocation(Struct, frozen=True):
    """One address in use. `sequence_number` tells it from a later use of the same address."""

    address: str
    block: str
    holder: Attribute
    sequence_number: int


class BlockUse(Struct, frozen=True):
    """How full a block is. Addresses that cool down are in use; reserved ones may be, too."""

    cidr: str
    capacity: int
    in_use: int
    reserved: int
    available: int
    affinity: str | None = None


class PoolUse(Struct, frozen=True):
    """How full a pool is; capacity and reservations are of its whole CIDR."""

    name: str
    cidr: str
    blocks: tuple[BlockUse, ...] = ()
    capacity: int = 0
    in_use: int = 0
    reserved: int = 0
    available: int = 0


def allocations(block: Block) -> list[Allocation]:
    """List the addresses in use, in order; not those that cool down."""
    found = []
    for ordinal in range(len(block.allocations)):
        holder = holder_of(block, ordinal)
        if holder is not None and holder.released_at is None:
            number = (block.allocated_at or {}).get(str(ordinal), 0)
            found.append(Allocation(address_of(block, ordinal), block.cidr, holder, number))
    return found


def leaks(
    blocks: Iterable[Block], node: str, containers: Collection[str], addresses: Collection[str]
) -> list[Allocation]:
    """List a node's workload addresses that no living container or endpoint holds."""
    found = []
    for block in blocks:
        for allocation in allocations(block):
            secondary = allocation.holder.secondary or {}
            if secondary.get("node") != node or "type" in secondary:
                continue  # another node's, or a tunnel's
            container = allocation.holder.handle.rpartition(".")[2]
            if container not in containers and allocation.address not in addresses:
                found.append(allocation)
    return found


def utilization(
    pools: Sequence[Pool], blocks: Iterable[Block], reserved: Reserved, *, with_orphans: bool
) -> list[PoolUse]:
    """Count each pool. `with_orphans` adds a last entry for the IPv4 blocks that are in none."""
    inside: list[list[BlockUse]] = [[] for _ in range(len(pools) + 1)]
    for block in blocks:
        network: Network = ip_network(block.cidr)
        place = _pool_of(network, pools)
        if place is not None:
            inside[place].append(_block_use(block, network, reserved))
        elif network.version == 4:
            inside[-1].append(_block_use(block, network, reserved))
    uses = [_pool_use(pool, inside[i], reserved) for i, pool in enumerate(pools)]
    if with_orphans:
        uses.append(PoolUse(ORPHANS, "0.0.0.0/0", tuple(inside[-1])))
    return uses


def _pool_of(network: Network, pools: Sequence[Pool]) -> int | None:
    for place, pool in enumerate(pools):
        if pool.network.version == network.version and pool.network.overlaps(network):
            return place
    return None


def _block_use(block: Block, network: Network, reserved: Reserved) -> BlockUse:
    capacity = len(block.allocations)
    return BlockUse(
        cidr=block.cidr,
        capacity=capacity,
        in_use=capacity - len(block.unallocated),
        reserved=reserved.count_within(network),
        available=len(usable(block, reserved)),
        affinity=block.affinity,
    )


def _pool_use(pool: Pool, blocks: Sequence[BlockUse], reserved: Reserved) -> PoolUse:
    network = pool.network
    covered = Reserved([*(str(n) for n in reserved.networks), *(b.cidr for b in blocks)])
    outside_blocks = network.num_addresses - covered.count_within(network)
    return PoolUse(
        name=pool.name,
        cidr=pool.cidr,
        blocks=tuple(blocks),
        capacity=network.num_addresses,
        in_use=sum(b.in_use for b in blocks),
        reserved=reserved.count_within(network),
        available=sum(b.available for b in blocks) + outside_blocks,
    )
