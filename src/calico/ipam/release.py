"""Requests that give addresses back.

    ReleaseHandle("k8s-pod-network.4f0c")  --> the addresses it held, or NotAllocated
    ReleaseAddresses([Release(...), ...])  --> which were released, which were free already

The handle's count is a bound that others may have set too high; once a block holds none of its
addresses any more, the handle forgets the block, and goes when it knows none. A block that is
empty then and has no owner goes, too. If a pool no longer selects this node, its empty blocks do.

Source: shared/spec datastore-etcd 1.9.8.
"""

from collections.abc import Sequence
from ipaddress import ip_address, ip_network

from msgspec import Struct

from calico.core.ipam import block as blocks
from calico.core.ipam.affinity import host, unselected
from calico.core.ipam.block import Released, holder_of, is_empty, ordinal_of
from calico.core.model.block import Block, Handle
from calico.datastore.client import Change
from calico.ipam.desk import Desk
from calico.ipam.errors import IpamError, NotAllocated
from calico.ipam.ledger import affinity_path, block_path, blocks_prefix, cidr_of, handle_path
from calico.ipam.surroundings import node_labels, settings


class Release(Struct, frozen=True):
    """One address to free; with `handle` or `sequence_number`, only if those are still its."""

    address: str
    handle: str = ""
    sequence_number: int | None = None


class ReleaseHandle(Struct, frozen=True):
    """Free all that a handle holds."""

    handle: str

    def decide(self, desk: Desk) -> tuple[tuple[str, ...], Sequence[Change]]:
        """Give the freed addresses. Raises NotAllocated if the handle is unknown."""
        handle = self.handle.split("\r", 1)[0]
        record = desk.ledger.record(handle_path(handle))
        if not isinstance(record, Handle):
            raise NotAllocated(f"no addresses are allocated under the handle {handle}")
        freed: list[str] = []
        for cidr in record.block:
            block = desk.settled_block(cidr)
            if block is None:
                continue  # the count was too high
            ordinals = blocks.ordinals_of_handle(block, handle)
            if ordinals:
                freed += [blocks.address_of(block, o) for o in ordinals]
                _want_released(desk, _released(desk, block, ordinals, by_address=False))
        desk.ledger.delete(handle_path(handle))
        return tuple(freed), ()


class ReleaseAddresses(Struct, frozen=True):
    """Free single addresses, whoever holds them."""

    releases: tuple[Release, ...]

    def decide(
        self, desk: Desk
    ) -> tuple[tuple[tuple[str, ...], tuple[str, ...]], Sequence[Change]]:
        """Give (freed, already free). Raises IpamError if an address is not what it was."""
        by_block: dict[str, list[Release]] = {}
        freed: list[str] = []
        already_free: list[str] = []
        for release in {r.address: r for r in self.releases}.values():
            cidr = _block_of(desk, release.address)
            if cidr is None:
                already_free.append(release.address)
            else:
                by_block.setdefault(cidr, []).append(release)
        for cidr, releases in by_block.items():
            free = self._from_block(desk, cidr, releases)
            already_free += free
            freed += [r.address for r in releases if r.address not in free]
        return (tuple(freed), tuple(already_free)), ()

    def _from_block(self, desk: Desk, cidr: str, releases: Sequence[Release]) -> list[str]:
        block = desk.settled_block(cidr)
        if block is None:
            return [r.address for r in releases]
        ordinals = {ordinal_of(block, r.address): r for r in releases}
        for ordinal, release in ordinals.items():
            if ordinal is not None:
                _check_unchanged(block, ordinal, release)
        released = _released(desk, block, [o for o in ordinals if o is not None], by_address=True)
        for handle, count in released.by_handle.items():
            _uncount(desk, handle, cidr, count)
        if len(released.already_free) < len(releases):
            _want_released(desk, released)
        return [str(ip_address(a)) for a in released.already_free]


def _released(desk: Desk, block: Block, ordinals: Sequence[int], *, by_address: bool) -> Released:
    cooldown = settings(desk.ledger).cooldown_seconds
    return blocks.release(block, ordinals, desk.now, cooldown, by_address=by_address)


def _want_released(desk: Desk, released: Released) -> None:
    block = released.block
    path = block_path(block.cidr)
    if not is_empty(block):
        desk.ledger.put(path, block)
        return
    is_unselected = block.affinity == desk.owner and _is_unselected(desk, block.cidr)
    if block.affinity is None or is_unselected:
        desk.ledger.delete(path)
    else:
        desk.ledger.put(path, block)
    if is_unselected:
        affinity = affinity_path(host(desk.node), block.cidr)
        if desk.ledger.record(affinity) is not None:
            desk.ledger.delete(affinity)


def _is_unselected(desk: Desk, cidr: str) -> bool:
    try:
        labels = node_labels(desk.ledger, desk.node)
    except IpamError:
        return False  # a node that is gone: host removal frees its blocks
    return bool(unselected([cidr], desk.surroundings.pools, labels))


def _check_unchanged(block: Block, ordinal: int, release: Release) -> None:
    """Fail if the address is no longer the one that was meant. Raises IpamError."""
    number = (block.allocated_at or {}).get(str(ordinal), 0)
    if release.sequence_number is not None and release.sequence_number != number:
        raise IpamError(
            f"address {release.address} has been allocated anew since: "
            f"sequence number {number}, not {release.sequence_number}"
        )
    holder = holder_of(block, ordinal)
    if holder is None or holder.released_at is not None:
        return
    if release.handle and holder.handle != release.handle.split("\r", 1)[0]:
        raise IpamError(
            f"address {release.address} belongs to the handle {holder.handle!r}, "
            f"not {release.handle!r}"
        )


def _uncount(desk: Desk, handle: str, cidr: str, count: int) -> None:
    """Lower a handle's count. One that does not fit is left alone, as the original does."""
    path = handle_path(handle)
    record = desk.ledger.record(path)
    if not isinstance(record, Handle) or record.block.get(cidr, 0) < count:
        return
    left = {c: n - count if c == cidr else n for c, n in record.block.items()}
    left = {c: n for c, n in left.items() if n}
    if left:
        desk.ledger.put(path, Handle(block=left))
    else:
        desk.ledger.delete(path)


def _block_of(desk: Desk, text: str) -> str | None:
    """Find the block of an address: by its pool, disabled or not, else among all blocks."""
    try:
        address = ip_address(text)
    except ValueError as error:
        raise IpamError(f"{text!r} is not an IP address") from error
    for pool in desk.surroundings.pools:
        if address in pool.network:
            return str(ip_network(f"{address}/{pool.block_size}", strict=False))
    known = map(cidr_of, desk.ledger.read_all(blocks_prefix(address.version)))
    return next((cidr for cidr in known if address in ip_network(cidr)), None)
