"""IP pools and reservations: which addresses may be given out, to whom, and how they are reached.

Source: api/pkg/apis/projectcalico/v3/{ippool,ipreservation}.go; datastore-etcd 1.2.6.
"""

from collections.abc import Iterator, Mapping

from msgspec import field

from calico.core.model.constraints import (
    Check,
    all_of,
    any_network,
    at_most,
    cidr_only,
    each,
    fields,
    network,
    number,
    one_of,
    problem,
    selector,
)
from calico.core.model.json_names import api_name
from calico.core.model.metadata import ApiStruct, Condition, Resource
from calico.core.model.naming import metadata
from calico.core.model.problem import Problem
from calico.core.net.prefix import overlaps, parse_prefix

DEFAULT_BLOCK_SIZES = {4: 26, 6: 122}
BLOCK_SIZES = {4: range(20, 33), 6: range(116, 129)}
LINK_LOCAL = ("169.254.0.0/16", "fe80::/10")


class IPPoolSpec(ApiStruct, frozen=True):
    """A CIDR, cut into blocks of `block_size` (a prefix length; 0: the default).

    The modes are Never, Always or CrossSubnet; "" is Never.
    """

    cidr: str = field(default_factory=str)
    vxlan_mode: str = ""
    ipip_mode: str = ""
    nat_outgoing: bool = False
    disabled: bool = False
    disable_bgp_export: bool = False
    block_size: int = 0
    node_selector: str = ""
    namespace_selector: str = ""
    allowed_uses: tuple[str, ...] = ()
    assignment_mode: str | None = None


class IPPoolStatus(ApiStruct, frozen=True):
    """What controllers say of the pool."""

    conditions: tuple[Condition, ...] = ()


class IPPool(Resource, frozen=True):
    """A range of addresses for workloads, tunnels or load balancers."""

    spec: IPPoolSpec = field(default_factory=IPPoolSpec)
    status: IPPoolStatus | None = None


class IPReservationSpec(ApiStruct, frozen=True):
    """Addresses and CIDRs that are never given out by themselves."""

    reserved_cidrs: tuple[str, ...] = ()


class IPReservation(Resource, frozen=True):
    """Addresses kept out of automatic assignment."""

    spec: IPReservationSpec = field(default_factory=IPReservationSpec)


MODE = one_of("Never", "Always", "CrossSubnet")
POOL_CHECKS: Mapping[str, Check] = {
    "cidr": all_of(cidr_only, network),
    "vxlan_mode": MODE,
    "ipip_mode": MODE,
    "block_size": number(0, 128),
    "node_selector": selector,
    "namespace_selector": selector,
    "allowed_uses": all_of(at_most(10), each(one_of("Workload", "Tunnel", "LoadBalancer"))),
    "assignment_mode": one_of("Automatic", "Manual"),
}


def check_pool(pool: IPPool) -> Iterator[Problem]:
    """Yield all that is wrong with a pool, defaults filled in."""
    yield from metadata(pool.metadata)
    yield from fields(pool.spec, "spec", POOL_CHECKS)
    if not pool.spec.cidr:
        yield from problem("spec.cidr", "", "is required")
        return
    try:
        prefix = parse_prefix(pool.spec.cidr)
    except ValueError:
        return  # reported as what it is
    yield from pool_size(pool.spec, prefix.version, prefix.length)
    yield from pool_uses(pool.spec)
    yield from encapsulation(pool.spec, prefix.version)
    for name in ("node_selector", "namespace_selector"):
        text = str(getattr(pool.spec, name))
        if "global(" in text:
            reason = "global() has no meaning in a pool's selector"
            yield from problem(f"spec.{api_name(name)}", text, reason)


def pool_size(spec: IPPoolSpec, version: int, length: int) -> Iterator[Problem]:
    """Check the CIDR against its blocks and the ranges that are not ours to give."""
    sizes = BLOCK_SIZES[version]
    block_size = spec.block_size or DEFAULT_BLOCK_SIZES[version]
    if block_size not in sizes:
        reason = f"must be {sizes[0]} to {sizes[-1]} for IPv{version}"
        yield from problem("spec.blockSize", spec.block_size, reason)
    elif length > block_size and not spec.disabled:
        reason = f"is smaller than one block (/{block_size}); use a larger CIDR or blockSize"
        yield from problem("spec.cidr", spec.cidr, reason)
    for reserved in LINK_LOCAL:
        if overlaps(spec.cidr, reserved):
            yield from problem("spec.cidr", spec.cidr, f"overlaps the link local range {reserved}")


def pool_uses(spec: IPPoolSpec) -> Iterator[Problem]:
    """Check what a pool is for against the rest of it."""
    if "LoadBalancer" in spec.allowed_uses:
        if {"Workload", "Tunnel"} & set(spec.allowed_uses):
            reason = "LoadBalancer excludes Workload and Tunnel; use two pools"
            yield from problem("spec.allowedUses", ", ".join(spec.allowed_uses), reason)
        if spec.disable_bgp_export:
            reason = "must be false for a LoadBalancer pool"
            yield from problem("spec.disableBGPExport", "true", reason)
        if spec.node_selector not in {"", "all()"}:
            reason = "must be all() for a LoadBalancer pool"
            yield from problem("spec.nodeSelector", spec.node_selector, reason)
    if "Tunnel" in spec.allowed_uses and spec.namespace_selector:
        reason = "must be empty for a pool with use Tunnel; set allowedUses to [Workload]"
        yield from problem("spec.namespaceSelector", spec.namespace_selector, reason)


def encapsulation(spec: IPPoolSpec, version: int) -> Iterator[Problem]:
    """Check the tunnels of a pool."""
    ipip, vxlan = spec.ipip_mode or "Never", spec.vxlan_mode or "Never"
    if ipip != "Never" and vxlan != "Never":
        yield from problem("spec.ipipMode", ipip, "excludes vxlanMode; set one of them to Never")
    if ipip != "Never" and version == 6:
        yield from problem("spec.ipipMode", ipip, "must be Never: IPIP does not carry IPv6")
    if "LoadBalancer" in spec.allowed_uses and {ipip, vxlan} != {"Never"}:
        reason = "must be Never, both, for a LoadBalancer pool"
        yield from problem("spec.ipipMode", ipip if ipip != "Never" else vxlan, reason)


def usable_pool(pool: IPPool) -> Iterator[Problem]:
    """Yield what makes a pool impossible to program."""
    if not pool.spec.cidr:
        yield from problem("spec.cidr", "", "is required")
    yield from fields(pool.spec, "spec", {"cidr": any_network})


def check_reservation(reservation: IPReservation) -> Iterator[Problem]:
    """Yield all that is wrong with a reservation."""
    yield from metadata(reservation.metadata)
    yield from fields(reservation.spec, "spec", {"reserved_cidrs": each(any_network)})
