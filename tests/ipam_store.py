"""A datastore filled for address management, in a line or two."""

from calico.core.model import block as model
from calico.core.model.block import Handle
from calico.core.model.codec import encode
from calico.core.model.keys import (
    BlockAffinityKey,
    BlockKey,
    HandleKey,
    IpamConfigKey,
    ResourceKey,
    path_of,
)
from calico.core.model.metadata import Metadata
from calico.core.model.node import Node
from calico.core.model.pool import IPPool, IPPoolSpec, IPReservation, IPReservationSpec
from calico.datastore.client import NotFound, Put


def write(store, key, record):
    raw = model.encode(record) if isinstance(record, model.Record) else encode(record)
    return store.commit([Put(path_of(key), raw)])


def write_node(store, name, **labels):
    node = Node(metadata=Metadata(name=name, labels=labels))
    write(store, ResourceKey("Node", "", name), node)


def write_pool(store, name, cidr, block_size=0, **spec):
    pool = IPPool(
        metadata=Metadata(name=name), spec=IPPoolSpec(cidr=cidr, block_size=block_size, **spec)
    )
    write(store, ResourceKey("IPPool", "", name), pool)


def write_reservation(store, name, *cidrs):
    reservation = IPReservation(
        metadata=Metadata(name=name), spec=IPReservationSpec(reserved_cidrs=cidrs)
    )
    write(store, ResourceKey("IPReservation", "", name), reservation)


def write_config(store, **settings):
    settings = {"auto_allocate_blocks": True, **settings}
    write(store, IpamConfigKey(), model.IpamConfig(**settings))


def write_affinity(store, node, cidr, state):
    write(store, BlockAffinityKey("host", node, cidr), model.BlockAffinity(state))


def write_block(store, block):
    write(store, BlockKey(block.cidr), block)


def write_handle(store, handle, **counts):
    write(store, HandleKey(handle), Handle(counts))


def raw(store, key):
    """Give a record's bytes, None if there is none."""
    try:
        return store.get(path_of(key)).value
    except NotFound:
        return None


def read_block(store, cidr):
    value = raw(store, BlockKey(cidr))
    return None if value is None else model.decode_block(value)


def read_affinity(store, node, cidr):
    value = raw(store, BlockAffinityKey("host", node, cidr))
    return None if value is None else model.decode_affinity(value).state


def read_handle(store, handle):
    value = raw(store, HandleKey(handle))
    return None if value is None else dict(model.decode_handle(value).block)
