"""The records of address management, exactly as they are stored.

    config    /calico/ipam/v2/config                                  IpamConfig
    block     /calico/ipam/v2/assignment/ipv4/block/10.65.3.64-26     Block
    affinity  /calico/ipam/v2/host/<node>/ipv4/block/10.65.3.64-26    BlockAffinity
    handle    /calico/ipam/v2/handle/<id>                             Handle

A block is a span of addresses of a pool. It belongs to the node (or the virtual owner) that its
affinity names. The place of an address in its block is its ordinal. `allocations[ordinal]` is
None (free) or an index into `attributes`, which say whose the address is; equal attributes are
held once. `unallocated` lists the free ordinals in the order they will be used.

Field order, omissions and escapes are those of the original, so that records written by either
side are the same bytes.

Source: shared/spec datastore-etcd 1.9.1 to 1.9.4, 1.11.
"""

from collections.abc import Mapping
from typing import Literal, TypeAlias

import msgspec
from msgspec import Struct, field

from calico.core.model.codec import ESCAPES

AffinityState: TypeAlias = Literal["", "pending", "confirmed", "pendingDeletion"]


class Attribute(Struct, frozen=True, omit_defaults=True):
    """Whose some addresses of a block are. `released_at` alone: they cool down, unusable.

    `secondary` describes the owner; `alternate_owner` the other pod of a live migration.
    """

    handle_id: str | None = None
    secondary: Mapping[str, str] | None = None
    alternate_owner: Mapping[str, str] | None = field(name="alternateOwnerAttrs", default=None)
    released_at: str | None = field(name="releasedAt", default=None)  # RFC 3339

    @property
    def handle(self) -> str:
        """The handle, or "": a migration of old data left texts with a carriage return."""
        return (self.handle_id or "").split("\r", 1)[0]


class Block(Struct, frozen=True, kw_only=True):
    """One block. `affinity` is "host:<node>", "virtual:<name>" or None: nobody's."""

    cidr: str
    affinity: str | None = None
    affinity_claim_time: str | msgspec.UnsetType | None = msgspec.UNSET
    allocations: tuple[int | None, ...]
    unallocated: tuple[int, ...]
    attributes: tuple[Attribute, ...] | None = None  # None is written null, as when fresh
    sequence_number: int = field(name="sequenceNumber", default=0)
    allocated_at: Mapping[str, int] | None = field(name="sequenceNumberForAllocation", default=None)
    deleted: bool = False

    @property
    def claim_time(self) -> str | None:
        """When the affinity was claimed; None if unknown."""
        return self.affinity_claim_time or None


class BlockAffinity(Struct, frozen=True):
    """A node's claim to a block. An empty or missing state is old data: confirmed."""

    state: AffinityState = ""
    deleted: bool = False


class Handle(Struct, frozen=True):
    """How many addresses of which block one owner holds, at most: {block CIDR: count}."""

    block: Mapping[str, int]
    deleted: bool = False


class IpamConfig(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Cluster-wide settings. No record means `DEFAULT_CONFIG`, not this type's defaults."""

    strict_affinity: bool = False
    auto_allocate_blocks: bool = False
    max_blocks_per_host: int = field(name="maxBlocksPerHost", default=0)
    vm_address_persistence: Literal["Enabled", "Disabled"] | None = field(
        name="kubeVirtVMAddressPersistence", default=None
    )
    cooldown_seconds: int = field(name="ipCooldownSeconds", default=0)


DEFAULT_CONFIG = IpamConfig(auto_allocate_blocks=True, vm_address_persistence="Enabled")

Record: TypeAlias = Block | BlockAffinity | Handle | IpamConfig

_ENCODER = msgspec.json.Encoder(order="deterministic")
_BLOCK = msgspec.json.Decoder(Block)
_AFFINITY = msgspec.json.Decoder(BlockAffinity)
_HANDLE = msgspec.json.Decoder(Handle)
_CONFIG = msgspec.json.Decoder(IpamConfig)


def encode(record: Record) -> bytes:
    """Give the bytes to store."""
    raw = _ENCODER.encode(record)
    for plain, escaped in ESCAPES:
        raw = raw.replace(plain, escaped)
    return raw


def decode_block(raw: bytes) -> Block:
    """Read a block. Raises msgspec.DecodeError, also if an index points nowhere."""
    block = _BLOCK.decode(raw)
    attributes = len(block.attributes or ())
    if any(index is not None and not 0 <= index < attributes for index in block.allocations):
        raise msgspec.ValidationError(f"block {block.cidr}: an allocation has no attributes")
    return block


def decode_affinity(raw: bytes) -> BlockAffinity:
    """Read an affinity; zero bytes are old data."""
    return _AFFINITY.decode(raw) if raw else BlockAffinity()


def decode_handle(raw: bytes) -> Handle:
    """Read a handle."""
    return _HANDLE.decode(raw)


def decode_config(raw: bytes) -> IpamConfig:
    """Read the settings that are stored."""
    return _CONFIG.decode(raw)
