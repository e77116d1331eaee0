"""What single kinds demand of the records around them, and how they are read.

    before_*      raise, when the operation cannot be
    problems_of_* what is wrong with a resource beside the others, as values
    as_got, as_listed, always_there, virtual: what readers see that is not stored so

Everything that can be said of a resource alone is in core/model (checks, defaults, stored).

Source: shared/spec datastore-etcd 1.2.2 (6), 1.2.6; libcalico-go/lib/clientv3.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeAlias

from msgspec.structs import replace

from calico.core.model.bgp import BGPPeer
from calico.core.model.cluster import BlockAffinity
from calico.core.model.defaults import with_defaults
from calico.core.model.keys import BLOCKS_PREFIX, BlockKey, ResourceKey, key_of
from calico.core.model.metadata import Resource
from calico.core.model.policy import (
    GlobalNetworkPolicy,
    NetworkPolicy,
    StagedGlobalNetworkPolicy,
    StagedNetworkPolicy,
)
from calico.core.model.pool import IPPool
from calico.core.model.problem import Problem
from calico.core.model.profile import DEFAULT_ALLOW, Profile, default_allow
from calico.core.model.tier import BUILT_IN, DEFAULT_TIER, Tier
from calico.core.net.prefix import canonical_prefix, overlaps, prefix_length
from calico.datastore.client import Datastore
from calico.datastore.resource_errors import AlreadyExists, NotSupported

POLICIES = (NetworkPolicy, GlobalNetworkPolicy, StagedNetworkPolicy, StagedGlobalNetworkPolicy)
OTHER_BLOCKS = (
    "IPPool blocksSize conflicts with existing allocations that use a different blockSize"
)
BUILT_IN_PROFILE = f'The profile "{DEFAULT_ALLOW}" is a default provided by Calico'


class Listed(Protocol):
    """resources.ResourceList, as the rules see it."""

    @property
    def items(self) -> Sequence[Resource]:
        """The resources that could be read."""
        ...


class Others(Protocol):
    """resources.Resources, as the rules see it."""

    datastore: Datastore

    def get(self, key: ResourceKey) -> Resource:
        """Read one. Raises DoesNotExist."""
        ...

    def list(self, kind: str, namespace: str = "") -> Listed:
        """Read all of a kind."""
        ...


Question: TypeAlias = Callable[[Others, Resource], Iterator[Problem]]


def before_create(others: Others, resource: Resource) -> None:
    """Raise if there can be no such new resource. Raises DoesNotExist for a missing tier."""
    if isinstance(resource, POLICIES):
        others.get(ResourceKey(Tier.__name__, "", resource.spec.tier or DEFAULT_TIER))
    if _is_built_in_profile(resource.kind, resource.metadata.name):
        reason = f'The profile "{DEFAULT_ALLOW}" is default provided by Calico'
        raise AlreadyExists(
            DEFAULT_ALLOW, default_allow(), f"{DEFAULT_ALLOW} already exists. {reason}"
        )


def before_update(resource: Resource) -> None:
    """Raise if this resource is not to be changed."""
    if _is_built_in_profile(resource.kind, resource.metadata.name):
        raise NotSupported("Update", DEFAULT_ALLOW, f"{BUILT_IN_PROFILE} and cannot be updated")


def before_delete(others: Others, key: ResourceKey) -> None:
    """Raise if this resource is not to be deleted."""
    if _is_built_in_profile(key.kind, key.name):
        raise NotSupported("Delete", DEFAULT_ALLOW, f"{BUILT_IN_PROFILE} and cannot be deleted")
    if key.kind != Tier.__name__:
        return
    if key.name in BUILT_IN:
        raise NotSupported("Delete", key.name, f"Cannot delete {key.name} tier")
    for kind in POLICIES:
        for policy in others.list(kind.__name__).items:
            if isinstance(policy, POLICIES) and policy.spec.tier == key.name:
                raise NotSupported("delete", key.name, "Cannot delete a non-empty tier")


def problems_of_new(others: Others, resource: Resource) -> Iterator[Problem]:
    """Yield what is wrong with a resource that would be new, defaults filled in."""
    if isinstance(resource, IPPool):
        yield from _overlaps(others, resource)
        yield from _other_blocks(others, resource)
    if isinstance(resource, BGPPeer):
        yield from _missing_filters(others, resource)


def problems_of_changed(others: Others, resource: Resource) -> Iterator[Problem]:
    """Yield what is wrong with a resource that would replace its older self."""
    if isinstance(resource, IPPool):
        old = others.get(ResourceKey(resource.kind, "", resource.metadata.name))
        if isinstance(old, IPPool):
            yield from _forbidden_pool_changes(old, resource)
    if isinstance(resource, BGPPeer):
        yield from _missing_filters(others, resource)


def virtual(key: ResourceKey) -> Resource | None:
    """Return the resource that exists without being stored, if that is what `key` names."""
    return default_allow() if _is_built_in_profile(key.kind, key.name) else None


def always_there(kind: str) -> Sequence[Resource]:
    """Return what a list of this kind holds beside the stored ones."""
    return (default_allow(),) if kind == Profile.__name__ else ()


def as_got(resource: Resource) -> Resource | None:
    """Return a stored resource as a reader of it alone sees it; None: as if it were not there."""
    if isinstance(resource, BlockAffinity) and resource.spec.deleted:
        return None
    return _filled_pool(resource) if isinstance(resource, IPPool) else resource


def as_listed(resource: Resource) -> Resource:
    """Return a stored resource as a list shows it."""
    if isinstance(resource, IPPool):
        return _filled_pool(resource)
    return with_defaults(resource) if isinstance(resource, Tier) else resource


def _is_built_in_profile(kind: str, name: str) -> bool:
    return kind == Profile.__name__ and name == DEFAULT_ALLOW


def _filled_pool(pool: IPPool) -> Resource:
    filled = with_defaults(pool)
    if isinstance(filled, IPPool):  # all defaults, but the CIDR as it was written
        return replace(filled, spec=replace(filled.spec, cidr=pool.spec.cidr))
    return filled


def _overlaps(others: Others, pool: IPPool) -> Iterator[Problem]:
    name, cidr = pool.metadata.name, pool.spec.cidr
    for other in others.list(pool.kind).items:
        if not isinstance(other, IPPool) or other.metadata.name == name:
            continue  # its own name is told as "already exists"
        if _overlap(cidr, other.spec.cidr):
            yield Problem(
                "IPPool.Spec.CIDR",
                cidr,
                f"IPPool({name}) CIDR overlaps with IPPool({other.metadata.name}) "
                f"CIDR {other.spec.cidr}",
            )


def _other_blocks(others: Others, pool: IPPool) -> Iterator[Problem]:
    for entry in others.datastore.list(BLOCKS_PREFIX).entries:
        key = key_of(entry.path)
        if not isinstance(key, BlockKey) or not _overlap(pool.spec.cidr, key.cidr):
            continue
        if prefix_length(key.cidr) != pool.spec.block_size:
            yield Problem("IPPool.Spec.BlockSize", str(pool.spec.block_size), OTHER_BLOCKS)
            return


def _forbidden_pool_changes(old: IPPool, new: IPPool) -> Iterator[Problem]:
    if new.spec.cidr not in (old.spec.cidr, _canonical(old.spec.cidr)):
        yield Problem("IPPool.Spec.CIDR", new.spec.cidr, "IPPool CIDR cannot be modified")
    if new.spec.block_size != old.spec.block_size:
        size = str(new.spec.block_size)
        yield Problem("IPPool.Spec.BlockSize", size, "IPPool BlockSize cannot be modified")
    if "LoadBalancer" in old.spec.allowed_uses and set(new.spec.allowed_uses) != {"LoadBalancer"}:
        yield Problem(
            "IPPool.Spec.AllowedUses",
            f"[{' '.join(new.spec.allowed_uses)}]",
            "IPPool allowed use cannot be changed from LoadBalacer to Workload or Tunnel",
        )


def _missing_filters(others: Others, peer: BGPPeer) -> Iterator[Problem]:
    if not peer.spec.filters:
        return
    known = {found.metadata.name for found in others.list("BGPFilter").items}
    if missing := [name for name in peer.spec.filters if name not in known]:
        yield Problem("BGPPeer.Spec.Filters", f"[{' '.join(missing)}]", "BGPFilter(s) not found")


def _overlap(one: str, other: str) -> bool:
    try:
        return overlaps(one, other)
    except ValueError:
        return False  # what is no CIDR is told by the checks


def _canonical(cidr: str) -> str:
    try:
        return canonical_prefix(cidr)
    except ValueError:
        return cidr
