"""Read what address management holds, without changing anything.

    utilization(store, pools)   how full each pool and each block is
    ips_by_handle(store, id)    the addresses of a handle (given_by_handle: and their blocks)
    holder_of(store, address)   whose an address is
    read_settings, write_settings   the cluster-wide record

Source: shared/spec datastore-etcd 1.9.1, 1.9.13; calicoctl ipam.
"""

import logging
import time
from collections.abc import Collection
from ipaddress import ip_address, ip_network

import msgspec

from calico.core.ipam import block as blocks
from calico.core.ipam import garbage
from calico.core.ipam.assign import Given
from calico.core.ipam.garbage import PoolUse
from calico.core.model.block import (
    DEFAULT_CONFIG,
    Attribute,
    Block,
    IpamConfig,
    decode_block,
    decode_config,
    decode_handle,
    encode,
)
from calico.core.model.keys import BLOCKS_PREFIX, IPAM_CONFIG_PATH
from calico.datastore.client import Datastore, NotFound, Put
from calico.ipam.errors import IpamError, NotAllocated
from calico.ipam.ledger import block_path, blocks_prefix, handle_path
from calico.ipam.surroundings import read_surroundings

log = logging.getLogger(__name__)


def utilization(store: Datastore, pools: Collection[str] = ()) -> list[PoolUse]:
    """Count these pools (names or CIDRs), or all, and then the blocks that are in none."""
    surroundings = read_surroundings(store)
    wanted = [p for p in surroundings.pools if not pools or {p.name, p.cidr} & set(pools)]
    return garbage.utilization(
        wanted, read_blocks(store), surroundings.reserved, with_orphans=not pools
    )


def read_blocks(store: Datastore) -> list[Block]:
    """Read all blocks, as stored; one that is unreadable is left out and logged."""
    found = []
    for entry in store.list(BLOCKS_PREFIX).entries:
        try:
            found.append(decode_block(entry.value))
        except msgspec.MsgspecError as error:
            log.warning("record ignored", extra={"path": entry.path, "reason": str(error)})
    return found


def given_by_handle(store: Datastore, handle: str) -> tuple[Given, ...]:
    """List the addresses of a handle with their blocks. Raises NotAllocated if it is unknown."""
    try:
        record = decode_handle(store.get(handle_path(handle)).value)
    except NotFound as error:
        raise NotAllocated(f"no addresses are allocated under the handle {handle}") from error
    found: list[Given] = []
    for cidr in record.block:
        block = _block(store, cidr)
        if block is not None:
            ordinals = blocks.ordinals_of_handle(block, handle)
            found += [Given(blocks.address_of(block, ordinal), cidr) for ordinal in ordinals]
    return tuple(found)


def ips_by_handle(store: Datastore, handle: str) -> tuple[str, ...]:
    """List the addresses of a handle. Raises NotAllocated if it is unknown."""
    return tuple(given.address for given in given_by_handle(store, handle))


def holder_of(store: Datastore, text: str) -> Attribute:
    """Give the attributes of an address. Raises NotAllocated; also if it cools down."""
    try:
        address = ip_address(text)
    except ValueError as error:
        raise IpamError(f"{text!r} is not an IP address") from error
    block = next((b for b in _candidates(store, text) if address in ip_network(b.cidr)), None)
    ordinal = None if block is None else blocks.ordinal_of(block, text)
    holder = None if block is None or ordinal is None else blocks.holder_of(block, ordinal)
    if holder is None:
        raise NotAllocated(f"{address} is not assigned")
    if holder.released_at is not None:
        raise NotAllocated(f"{address} was released at {holder.released_at} and cools down")
    return holder


def read_settings(store: Datastore) -> IpamConfig:
    """Read the cluster's settings."""
    try:
        return decode_config(store.get(IPAM_CONFIG_PATH).value)
    except NotFound:
        return DEFAULT_CONFIG


def write_settings(store: Datastore, config: IpamConfig) -> None:
    """Write the cluster's settings. Raises IpamError if they contradict each other."""
    if not config.strict_affinity and not config.auto_allocate_blocks:
        raise IpamError(
            "strict_affinity false and auto_allocate_blocks false exclude each other: "
            "without claims nor borrowing no address could be assigned"
        )
    if config.max_blocks_per_host > 0 and not config.strict_affinity:
        raise IpamError("maxBlocksPerHost needs strict_affinity true: set both together")
    store.commit([Put(IPAM_CONFIG_PATH, encode(config))])


def now() -> int:
    """Give the present moment as records count it."""
    return time.time_ns()


def _candidates(store: Datastore, text: str) -> list[Block]:
    """Find the block in the pools; only an address in no pool costs reading all blocks."""
    address = ip_address(text)
    for pool in read_surroundings(store).pools:
        if address in pool.network:
            block = _block(store, str(ip_network(f"{text}/{pool.block_size}", strict=False)))
            return [] if block is None else [block]
    prefix = blocks_prefix(address.version)
    return [b for b in read_blocks(store) if block_path(b.cidr).startswith(prefix)]


def _block(store: Datastore, cidr: str) -> Block | None:
    try:
        return decode_block(store.get(block_path(cidr)).value)
    except NotFound:
        return None
