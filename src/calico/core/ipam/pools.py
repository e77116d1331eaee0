"""Which pools a request may draw from, and why the others are out.

    pools in name order --> enabled, right version --> named ones, or all that select the node and
    the namespace --> allowed for the use --> Choice(pools, refused)

Naming a pool overrides its selectors and its assignment mode; it must be enabled. Every pool that
is left out leaves a sentence, so that an error can say why nothing was found.

Source: shared/spec datastore-etcd 1.9.5 steps 2 to 4.
"""

from collections.abc import Iterable, Mapping, Sequence
from ipaddress import ip_network
from typing import Literal, TypeAlias

from msgspec import Struct

from calico.core.ipam.reservations import Network
from calico.core.model.pool import IPPool
from calico.core.selector.parser import SelectorError, parse_selector

Use: TypeAlias = Literal["Workload", "Tunnel", "LoadBalancer"]
Labels: TypeAlias = Mapping[str, str]

DEFAULT_BLOCK_SIZE = {4: 26, 6: 122}
DEFAULT_USES = ("Workload", "Tunnel")


class Pool(Struct, frozen=True):
    """A pool as assignment needs it, defaults filled in."""

    name: str
    network: Network
    block_size: int
    uses: tuple[str, ...] = DEFAULT_USES
    is_automatic: bool = True
    node_selector: str = ""
    namespace_selector: str = ""
    unusable: str = ""  # why nothing may be taken from it now; "" if something may

    @property
    def cidr(self) -> str:
        """The pool's canonical CIDR."""
        return str(self.network)


class Choice(Struct, frozen=True):
    """The pools to draw from, in order, and (pool, why not) of the rest.

    `selecting` are those that select the node, whatever their use.
    """

    pools: tuple[Pool, ...]
    refused: tuple[tuple[Pool, str], ...]
    selecting: tuple[Pool, ...] = ()


class PoolRequest(Struct, frozen=True):
    """What a request says about pools. `named` are CIDRs or names; empty means any."""

    version: Literal[4, 6]
    use: Use
    named: tuple[str, ...] = ()
    namespace_labels: Labels = {}


def usable_pool(resource: IPPool) -> Pool | None:
    """Fill in a pool's defaults; None if its CIDR is none."""
    spec = resource.spec
    try:
        network: Network = ip_network(spec.cidr, strict=False)
    except ValueError:
        return None
    return Pool(
        name=resource.metadata.name,
        network=network,
        block_size=spec.block_size or DEFAULT_BLOCK_SIZE[network.version],
        uses=spec.allowed_uses or DEFAULT_USES,
        is_automatic=spec.assignment_mode in {None, "", "Automatic"},
        node_selector=spec.node_selector,
        namespace_selector=spec.namespace_selector,
        unusable=_why_unusable(resource),
    )


def selects(selector: str, labels: Labels) -> bool:
    """Tell whether a pool's selector matches; none matches everything, a broken one nothing."""
    try:
        return parse_selector(selector).matches(labels)
    except SelectorError:
        return False


def containing(pools: Iterable[Pool], block: Network) -> Pool | None:
    """Find the first pool in which a block begins."""
    for pool in pools:
        if pool.network.version == block.version and block.network_address in pool.network:
            return pool
    return None


def choose(pools: Sequence[Pool], request: PoolRequest, node_labels: Labels) -> Choice:
    """Choose the pools of one request, in the order they are given."""
    refused: list[tuple[Pool, str]] = []
    chosen, selecting = [], []
    for pool in (p for p in pools if p.network.version == request.version):
        reason = _why_not_selected(pool, request, node_labels)
        if not reason:
            selecting.append(pool)
            if request.use not in pool.uses:
                reason = f"is not for use {request.use} (allowedUses {', '.join(pool.uses)})"
        if reason:
            refused.append((pool, reason))
        else:
            chosen.append(pool)
    if request.named:  # in the order they were named, as asked
        chosen.sort(key=lambda p: _place(p, request.named))
    return Choice(tuple(chosen), tuple(refused), tuple(selecting))


def unknown_pools(pools: Sequence[Pool], request: PoolRequest) -> tuple[str, ...]:
    """List the names in the request that no pool of this version bears."""
    known = [pool for pool in pools if pool.network.version == request.version]
    return tuple(n for n in request.named if not any(_is_named(p, n) for p in known))


def _why_unusable(resource: IPPool) -> str:
    if resource.metadata.deletion_timestamp:
        return "is being deleted"
    if resource.spec.disabled:
        return "is disabled"
    conditions = resource.status.conditions if resource.status else ()
    if any(c.type == "Allocatable" and c.status == "False" for c in conditions):
        return "is marked as not allocatable"
    return ""


def _why_not_selected(pool: Pool, request: PoolRequest, node_labels: Labels) -> str:
    if pool.unusable:
        return pool.unusable
    if request.named:
        return "" if any(_is_named(pool, n) for n in request.named) else "was not asked for"
    if not pool.is_automatic:
        return "is used only when named (assignmentMode Manual)"
    if not selects(pool.node_selector, node_labels):
        return f"does not select this node (nodeSelector {pool.node_selector})"
    if not selects(pool.namespace_selector, request.namespace_labels):
        return f"does not select the namespace (namespaceSelector {pool.namespace_selector})"
    return ""


def _is_named(pool: Pool, name: str) -> bool:
    return name in {pool.name, pool.cidr} or _same_cidr(pool, name)


def _same_cidr(pool: Pool, text: str) -> bool:
    try:
        return "/" in text and bool(ip_network(text, strict=False) == pool.network)
    except ValueError:
        return False


def _place(pool: Pool, named: Sequence[str]) -> int:
    return next(i for i, name in enumerate(named) if _is_named(pool, name))
