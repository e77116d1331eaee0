"""What a decision depends on besides blocks: pools, reservations, settings, the node.

    one range of the store: ip(pools), ip(reservations) --> remembered; the commit fails if any of
                                                            them has changed, or if one was added
    settings, the node's labels ------------------------> remembered; the commit fails likewise

Pools and reservations lie side by side under one prefix, so both are read in one step. A pool that
is not readable is as if absent.

Source: shared/spec datastore-etcd 1.2, 1.9.1, 1.9.5.
"""

import logging
from collections.abc import Iterable
from typing import TypeVar

from msgspec import Struct

from calico.core.ipam.pools import Labels, Pool, usable_pool
from calico.core.ipam.reservations import Reserved
from calico.core.model.block import DEFAULT_CONFIG, IpamConfig
from calico.core.model.codec import decode
from calico.core.model.keys import (
    IPAM_CONFIG_PATH,
    RESOURCES_PREFIX,
    ResourceKey,
    kind_prefix,
    path_of,
)
from calico.core.model.pool import IPPool, IPReservation
from calico.core.model.problem import InvalidResource
from calico.core.model.profile import Profile
from calico.datastore.client import Change, Datastore, Entry, Expect, Unwritten
from calico.ipam.errors import IpamError
from calico.ipam.ledger import Ledger

POOLS_AND_RESERVATIONS = f"{RESOURCES_PREFIX}ip"

T = TypeVar("T", IPPool, IPReservation)
log = logging.getLogger(__name__)


class Surroundings(Struct, frozen=True):
    """The pools in name order, what is reserved, and what must hold for this to be true still."""

    pools: tuple[Pool, ...]
    reserved: Reserved
    guards: tuple[Change, ...]


def read_surroundings(store: Datastore) -> Surroundings:
    """Read pools and reservations."""
    listing = store.list(POOLS_AND_RESERVATIONS)
    entries = listing.entries
    guards: tuple[Change, ...] = (
        *(Expect(entry.path, entry.revision) for entry in entries),
        Unwritten(POOLS_AND_RESERVATIONS, listing.revision),
    )
    pools = [usable_pool(pool) for pool in _decoded(entries, IPPool)]
    cidrs = [c for r in _decoded(entries, IPReservation) for c in r.spec.reserved_cidrs]
    return Surroundings(tuple(p for p in pools if p is not None), Reserved(cidrs), guards)


def settings(ledger: Ledger) -> IpamConfig:
    """Give the cluster's settings; the commit will fail if they are others by then."""
    ledger.rely_on(IPAM_CONFIG_PATH)
    record = ledger.record(IPAM_CONFIG_PATH)
    return record if isinstance(record, IpamConfig) else DEFAULT_CONFIG


def node_path(node: str) -> str:
    """Give the path of a node's record."""
    return path_of(ResourceKey("Node", "", node))


def node_labels(ledger: Ledger, node: str) -> Labels:
    """Give a node's labels; the commit will fail if the node changes. Raises IpamError."""
    path = node_path(node)
    record = ledger.record(path)
    if not isinstance(record, bytes):
        ledger.forget(path)  # it may be written any moment
        raise IpamError(f"node {node} does not exist in the datastore; start calico-node on it")
    ledger.rely_on(path)
    try:
        return decode("Node", record).metadata.labels
    except InvalidResource as error:
        raise IpamError(f"the record of node {node} is unreadable: {error}") from error


def namespace_labels(ledger: Ledger, namespace: str) -> Labels:
    """Give a namespace's labels, as far as its profile tells them; none if it has none."""
    path = path_of(ResourceKey("Profile", "", f"kns.{namespace}"))
    record = ledger.record(path)
    if not isinstance(record, bytes):
        return {}
    ledger.rely_on(path)
    try:
        profile = decode("Profile", record)
    except InvalidResource:
        return {}
    labels = profile.spec.labels_to_apply if isinstance(profile, Profile) else {}
    prefix = "pcns."
    return {key.removeprefix(prefix): v for key, v in labels.items() if key.startswith(prefix)}


def _decoded(entries: Iterable[Entry], kind: type[T]) -> list[T]:
    prefix = kind_prefix(kind.__name__)
    found = []
    for entry in entries:
        if entry.path.startswith(prefix):
            try:
                resource = decode(kind.__name__, entry.value)
            except InvalidResource as error:
                log.warning("record ignored", extra={"path": entry.path, "reason": str(error)})
            else:
                found += [resource] if isinstance(resource, kind) else []
    return found
