"""Decide which addresses a request gets.

    own blocks, in order ---> usable block not yet claimed ---> an empty one of others, a minute old
                                                           `--> borrow, unless affinity is strict

The owner's own blocks come first. If they are used up, it claims a further one, the first in its
walk through the pools that nobody has; the number of blocks is limited. If all are taken it takes
over an empty one, and at last takes single addresses out of others' blocks.

`assign` answers None if it must know every block first: the caller reads them and asks again.

Source: shared/spec datastore-etcd 1.9.5 steps 5 to 10.
"""

from collections.abc import Iterator, Mapping
from ipaddress import ip_network
from typing import Literal, NamedTuple

from msgspec import Struct

from calico.core.ipam import block as blocks
from calico.core.ipam import walk
from calico.core.ipam.affinity import affine_within, condition, owner_parts
from calico.core.ipam.pools import Choice, Pool, containing
from calico.core.ipam.reservations import Network, Reserved, network_of
from calico.core.ipam.times import SECOND, parse_rfc3339
from calico.core.model.block import AffinityState, Attribute, Block, IpamConfig

DEFAULT_BLOCK_LIMIT = 20
RECLAIM_AGE = 60 * SECOND  # a younger empty block may be about to be used by who claimed it


class Given(NamedTuple):
    """One address, and the CIDR of the block it came from."""

    address: str
    block: str


class Want(Struct, frozen=True):
    """How many addresses, for whom. `max_blocks` limits the owner's blocks further, if not 0."""

    version: Literal[4, 6]
    count: int
    holder: Attribute
    max_blocks: int = 0


class View(Struct, frozen=True):
    """What is known when a request is decided.

    `blocks` holds every block of the owner (one that is missing does not exist), and if
    `is_complete` every block of the version; all normalised. `affinities` are in key order.
    """

    owner: str
    config: IpamConfig
    choice: Choice
    reserved: Reserved
    affinities: Mapping[str, AffinityState]
    blocks: Mapping[str, Block]
    is_complete: bool
    now: int


class Assigned(Struct, frozen=True):
    """The decision: addresses, and the records that have to change for them.

    `claims`: blocks whose affinity becomes confirmed. `stale`: affinity records of the owner to
    delete. `evicted`: {block: former owner} whose affinity record goes. `why_short` says why there
    are fewer addresses than wanted.
    """

    addresses: tuple[Given, ...] = ()
    blocks: Mapping[str, Block] = {}
    claims: tuple[str, ...] = ()
    stale: tuple[str, ...] = ()
    evicted: Mapping[str, str] = {}
    why_short: tuple[str, ...] = ()


def assign(want: Want, view: View) -> Assigned | None:
    """Decide one request of one version; None: the view must be complete first."""
    draft = _Draft(want, view)
    draft.take_from_own()
    if draft.missing and not view.is_complete:
        return None
    while draft.missing:
        barrier = draft.why_no_claim()
        if barrier:
            draft.reasons.append(barrier)
            return draft.result()
        if not draft.claim_one():
            break
    if draft.missing:
        draft.borrow()
    return draft.result()


def block_limit(config: IpamConfig, asked: int) -> int:
    """Give the largest number of blocks that the owner may have."""
    limits = [limit for limit in (config.max_blocks_per_host, asked) if limit > 0]
    return min(limits, default=DEFAULT_BLOCK_LIMIT)


class _Draft:
    """One decision in the making."""

    def __init__(self, want: Want, view: View) -> None:
        self._want = want
        self._view = view
        self._own = affine_within(view.affinities, view.choice.pools)
        self._blocks: dict[str, Block] = {}  # changed or made
        self._claims: list[str] = []
        self._stale: list[str] = []
        self._evicted: dict[str, str] = {}
        self._addresses: list[Given] = []
        self.reasons: list[str] = []

    @property
    def missing(self) -> int:
        return self._want.count - len(self._addresses)

    def result(self) -> Assigned:
        return Assigned(
            addresses=tuple(self._addresses),
            blocks=self._blocks,
            claims=tuple(self._claims),
            stale=tuple(self._stale),
            evicted=self._evicted,
            why_short=tuple(self.reasons) if self.missing else (),
        )

    def take_from_own(self) -> None:
        for cidr in self._own:
            if not self.missing:
                return
            network = network_of(cidr)
            if self._view.reserved.covering(network):
                continue
            match condition(self._block(cidr), self._view.affinities[cidr], self._view.owner):
                case "stale":
                    self._stale.append(cidr)
                case "good":
                    self._take(cidr)
                case "unfinished" | "no block":
                    self._claim(cidr)
                    self._take(cidr)

    def why_no_claim(self) -> str:
        limit = block_limit(self._view.config, self._want.max_blocks)
        owned = {*self._own, *self._claims} - set(self._stale)
        if len(owned) >= limit:
            return (
                "Need to allocate an IPAM block but could not - "
                f"limit of {limit} blocks reached for this node"
            )
        if not self._view.config.auto_allocate_blocks:
            return "failed to find or claim a block (auto_allocate_blocks is off)"
        return ""

    def claim_one(self) -> bool:
        """Claim the first block in walking order that can serve, and take from it."""
        empty: list[str] = []
        for network in self._walk():
            cidr = str(network)
            block = self._block(cidr)
            if block is None:
                self._claim(cidr)
                return self._take(cidr)
            if not self._usable(block):
                continue
            if block.affinity == self._view.owner:
                self._claim(cidr)
                return self._take(cidr)
            if blocks.is_empty(block):
                empty.append(cidr)
        for cidr in empty:
            if self._is_old_enough(cidr):
                self._evict(cidr)
                return self._take(cidr)
        return False

    def borrow(self) -> None:
        if self._view.config.strict_affinity:
            self.reasons.append("No more free affine blocks and strict affinity enabled")
            return
        for pool in self._view.choice.pools:
            for cidr in self._existing(pool):
                if not self.missing:
                    return
                self._take(cidr)
        self.reasons += [_exhausted(pool, self._view) for pool in self._view.choice.pools]

    def _take(self, cidr: str) -> bool:
        block = self._block(cidr)
        if block is None:
            return False
        changed, taken = blocks.take(block, self.missing, self._want.holder, self._view.reserved)
        if taken:
            self._blocks[cidr] = changed
            self._addresses += [Given(address, cidr) for address in taken]
        return bool(taken)

    def _claim(self, cidr: str) -> None:
        block = self._block(cidr)
        if block is None:
            block = blocks.new_block(cidr, self._view.owner, self._view.now)
        self._blocks[cidr] = block  # one that is there is written too: it stops who would delete it
        self._claims.append(cidr)

    def _evict(self, cidr: str) -> None:
        former = self._view.blocks[cidr]
        if former.affinity is not None:
            self._evicted[cidr] = former.affinity
        self._blocks[cidr] = blocks.new_block(cidr, self._view.owner, self._view.now)
        self._claims.append(cidr)

    def _block(self, cidr: str) -> Block | None:
        return self._blocks.get(cidr) or self._view.blocks.get(cidr)

    def _usable(self, block: Block) -> bool:
        return bool(blocks.usable(block, self._view.reserved))

    def _is_old_enough(self, cidr: str) -> bool:
        claimed = self._view.blocks[cidr].claim_time
        return claimed is None or self._view.now - parse_rfc3339(claimed) >= RECLAIM_AGE

    def _walk(self) -> Iterator[Network]:
        """Visit the blocks of the pools in order, over what is reserved as a whole."""
        for pool in self._view.choice.pools:
            count = walk.count_blocks(pool.network, pool.block_size)
            start = self._start(pool, count)
            yield from _span(pool, start, count, self._view.reserved)
            yield from _span(pool, 0, start, self._view.reserved)

    def _existing(self, pool: Pool) -> list[str]:
        """List the pool's blocks that exist, in walking order."""
        count = walk.count_blocks(pool.network, pool.block_size)
        start = self._start(pool, count)
        near: list[tuple[int, str]] = []
        for cidr in {**self._view.blocks, **self._blocks}:
            network = network_of(cidr)
            if containing((pool,), network) and not self._view.reserved.covering(network):
                index = walk.index_of(pool.network, pool.block_size, network)
                near.append(((index - start) % count, cidr))
        return [cidr for _, cidr in sorted(near)]

    def _start(self, pool: Pool, count: int) -> int:
        if not count:
            return 0
        # Blocks of one address: no order is worth keeping, and a common start would be crowded
        single = pool.block_size == pool.network.max_prefixlen
        seed = self._view.now if single else walk.seed_of(owner_parts(self._view.owner)[1])
        return walk.start_index(seed, count)


def _span(pool: Pool, first: int, end: int, reserved: Reserved) -> Iterator[Network]:
    index = first
    while index < end:
        network = walk.block_at(pool.network, pool.block_size, index)
        if cover := reserved.covering(network):
            beyond = int(cover.broadcast_address) + 1 - int(pool.network.network_address)
            index = beyond >> (pool.network.max_prefixlen - pool.block_size)
            continue
        yield network
        index += 1


def _exhausted(pool: Pool, view: View) -> str:
    """Say in figures why a pool had nothing to give."""
    inside = [b for cidr, b in view.blocks.items() if containing((pool,), network_of(cidr))]
    total = walk.count_blocks(pool.network, pool.block_size)
    owned = sum(block.affinity == view.owner for block in inside)
    free = sum(len(block.unallocated) for block in inside)
    text = f"pool {pool.name} ({pool.cidr}) has no address left: all {total} blocks are claimed "
    text += f"({owned} by this node) with {free} free addresses"
    reserved = view.reserved.count_within(pool.network)
    return f"{text}, {reserved} addresses are reserved" if reserved else text


def block_of(address: str, pool: Pool) -> str:
    """Give the CIDR of the block of a pool in which an address lies."""
    return str(ip_network(f"{address}/{pool.block_size}", strict=False))


def assign_address(
    address: str, want: Want, view: View
) -> Assigned | Literal["taken", "not affine"]:
    """Decide a request for one given address of the first pool of the choice.

    The view must hold the address's block if that exists. Reservations, selectors and the block
    limit do not apply.
    """
    cidr = block_of(address, view.choice.pools[0])
    claims: tuple[str, ...] = ()
    block = view.blocks.get(cidr)
    if block is None:
        block, claims = blocks.new_block(cidr, view.owner, view.now), (cidr,)
    if view.config.strict_affinity and block.affinity != view.owner:
        return "not affine"
    changed = blocks.take_address(block, address, want.holder)
    if changed is None:
        return "taken"
    return Assigned(addresses=(Given(address, cidr),), blocks={cidr: changed}, claims=claims)
