"""Taking addresses from a block and giving them back.

    take          front of `unallocated` --> owner                the sequence number goes along
    release       owner --> cooling down (an attribute with the time alone)
    normalised    cooled down long enough --> back of `unallocated`; unused attributes dropped

Every function gives a new block; `written` gives the one to store. First used is first reused, so
an address rests as long as possible. The first and last address of a block are ordinary ones.

`allocated_at` holds, per ordinal, the block's sequence number at the moment of allocation. Whoever
releases an address can say which allocation it means, and misses a later one.

Invariant: an ordinal is in `unallocated` exactly once if its allocation is None, else never.
Source: shared/spec datastore-etcd 1.9.2, 1.9.8; libcalico-go/lib/ipam/ipam_block.go.
"""

from collections.abc import Collection, Mapping
from ipaddress import ip_address

import msgspec
from msgspec import Struct

from calico.core.ipam.reservations import Reserved, network_of
from calico.core.ipam.times import SECOND, parse_rfc3339, rfc3339
from calico.core.model.block import Attribute, Block

WINDOWS_RESERVED_HANDLE = "windows-reserved-ipam-handle"


class Released(Struct, frozen=True):
    """What a release comes to: the block, and how many addresses each handle gave up."""

    block: Block
    by_handle: Mapping[str, int]
    already_free: tuple[str, ...] = ()


def new_block(cidr: str, owner: str, now: int) -> Block:
    """Make an empty block that belongs to `owner` ("host:<node>").

    Its sequence number starts at the time, so that one deleted and made again has other numbers.
    """
    count = network_of(cidr).num_addresses
    return Block(
        cidr=cidr,
        affinity=owner,
        affinity_claim_time=rfc3339(now),
        allocations=(None,) * count,
        unallocated=tuple(range(count)),
        sequence_number=now,
        allocated_at={},
    )


def written(block: Block) -> Block:
    """Give what to store in place of the block as it was read."""
    return msgspec.structs.replace(block, sequence_number=block.sequence_number + 1)


def attribute(handle: str | None, secondary: Mapping[str, str]) -> Attribute:
    """Describe an owner; empty parts are absent in the record."""
    return Attribute(handle_id=handle, secondary=dict(secondary) or None)


def ordinal_of(block: Block, address: str) -> int | None:
    """Give the address's place in the block, None if it lies outside."""
    network, place = network_of(block.cidr), ip_address(address)
    if place not in network:
        return None
    return int(place) - int(network.network_address)


def address_of(block: Block, ordinal: int) -> str:
    """Give the address at a place of the block."""
    return str(network_of(block.cidr)[ordinal])


def holder_of(block: Block, ordinal: int) -> Attribute | None:
    """Give the attributes of an allocated ordinal, cooling or not."""
    index = block.allocations[ordinal]
    return None if index is None else (block.attributes or ())[index]


def ordinals_of_handle(block: Block, handle: str) -> tuple[int, ...]:
    """List the ordinals that a handle holds."""
    mine = {i for i, a in enumerate(block.attributes or ()) if a.handle == handle and a.handle_id}
    return tuple(o for o, index in enumerate(block.allocations) if index in mine)


def is_empty(block: Block) -> bool:
    """Tell whether nothing but what Windows needs is allocated; cooling addresses count."""
    used = {index for index in block.allocations if index is not None}
    attributes = block.attributes or ()
    return all(attributes[i].handle.lower() == WINDOWS_RESERVED_HANDLE for i in used)


def usable(block: Block, reserved: Reserved) -> tuple[int, ...]:
    """List the free ordinals that may be handed out, in order of use."""
    network = network_of(block.cidr)
    if not block.unallocated or reserved.covering(network):
        return ()
    if not reserved.overlaps(network):
        return block.unallocated
    return tuple(o for o in block.unallocated if not reserved.holds(network[o]))


def take(
    block: Block, count: int, holder: Attribute, reserved: Reserved
) -> tuple[Block, tuple[str, ...]]:
    """Allocate up to `count` addresses from the front; reserved ones stay where they are."""
    ordinals = usable(block, reserved)[:count]
    if not ordinals:
        return block, ()
    network = network_of(block.cidr)
    return _allocate(block, ordinals, holder), tuple(str(network[o]) for o in ordinals)


def take_address(block: Block, address: str, holder: Attribute) -> Block | None:
    """Allocate one given address; None if it is not free (or cools down, or lies outside)."""
    ordinal = ordinal_of(block, address)
    if ordinal is None or block.allocations[ordinal] is not None:
        return None
    return _allocate(block, (ordinal,), holder)


def release(
    block: Block, ordinals: Collection[int], now: int, cooldown_seconds: int, *, by_address: bool
) -> Released:
    """Free these ordinals, or let them cool down first.

    Those not allocated or already cooling are passed over. A release by address also renews the
    sequence entry, one by handle does not; both as the original does.
    """
    count: dict[str, int] = {}
    freed, already_free = [], []
    for ordinal in sorted(set(ordinals)):
        holder = holder_of(block, ordinal)
        if holder is None or holder.released_at is not None:
            already_free.append(address_of(block, ordinal))
            continue
        freed.append(ordinal)
        if holder.handle:
            count[holder.handle] = count.get(holder.handle, 0) + 1
    if freed:
        block = normalised(_cooling(block, freed, now, by_address), now, cooldown_seconds)
    return Released(block, count, tuple(already_free))


def normalised(block: Block, now: int, cooldown_seconds: int) -> Block:
    """Free what has cooled down, drop unused attributes; the same object if nothing changed."""
    attributes = block.attributes or ()
    cooling = [i for i, a in enumerate(attributes) if a.released_at is not None]
    used = set(block.allocations) - {None}
    if not cooling and len(used) == len(attributes):
        return block
    cold = {i for i in cooling if _is_cold(attributes[i], now, cooldown_seconds)}
    keep = [i for i in range(len(attributes)) if i in used and i not in cold]
    if len(keep) == len(attributes):
        return block
    freed = [o for o, index in enumerate(block.allocations) if index in cold]
    renumbered = {old: new for new, old in enumerate(keep)}
    return msgspec.structs.replace(
        block,
        allocations=tuple(None if i is None else renumbered.get(i) for i in block.allocations),
        unallocated=(*block.unallocated, *freed),
        attributes=tuple(attributes[i] for i in keep),
        allocated_at=_without(block.allocated_at or {}, freed),
    )


def _allocate(block: Block, ordinals: Collection[int], holder: Attribute) -> Block:
    attributes = block.attributes or ()
    if holder in attributes:
        index = attributes.index(holder)
    else:
        index, attributes = len(attributes), (*attributes, holder)
    allocations = list(block.allocations)
    for ordinal in ordinals:
        allocations[ordinal] = index
    taken = set(ordinals)
    stamps = {str(o): block.sequence_number for o in ordinals}
    return msgspec.structs.replace(
        block,
        allocations=tuple(allocations),
        unallocated=tuple(o for o in block.unallocated if o not in taken),
        attributes=attributes,
        allocated_at={**(block.allocated_at or {}), **stamps},
    )


def _cooling(block: Block, ordinals: Collection[int], now: int, by_address: bool) -> Block:
    attributes = (*(block.attributes or ()), Attribute(released_at=rfc3339(now)))
    allocations = list(block.allocations)
    for ordinal in ordinals:
        allocations[ordinal] = len(attributes) - 1
    stamps = {str(o): block.sequence_number for o in ordinals} if by_address else {}
    return msgspec.structs.replace(
        block,
        allocations=tuple(allocations),
        attributes=attributes,
        allocated_at={**(block.allocated_at or {}), **stamps},
    )


def _is_cold(holder: Attribute, now: int, cooldown_seconds: int) -> bool:
    if holder.released_at is None:
        return False
    return parse_rfc3339(holder.released_at) + cooldown_seconds * SECOND <= now


def _without(stamps: Mapping[str, int], ordinals: Collection[int]) -> dict[str, int]:
    gone = {str(o) for o in ordinals}
    return {ordinal: number for ordinal, number in stamps.items() if ordinal not in gone}
