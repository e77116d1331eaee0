"""Which routes leave the node by BGP, and which enter the kernel: the filters of BIRD.

    pools, own blocks, --export_filter--> told to peers: whole blocks, never a single workload
    communities        --kernel_filter--> programmed:    what BIRD owns, and what is in no pool

A metric and a local preference are mirror images, localpref = 2147483647 - metric, so that a
route keeps its priority from node to node. A metric below the normal priority marks a workload
that is moving here; such a route passes although it lies inside a block.

A pool with a tunnel is Felix's, but for nodes that have no end of the tunnel yet: while a pool
gets its tunnel, BIRD keeps the way to each node until the other is there.

This BIRD is the distribution's own. What needed Calico's fork, routes into an IPIP tunnel, is
Felix's here, whatever programClusterRoutes says of IPIP pools.

Source: bgp-confd 5.5, 5.7; confd/pkg/backends/calico/bgp_processor.go.
"""

from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from calico.core.model.pool import IPPool
from calico.core.net.prefix import canonical_prefix
from calico.core.render.bird_peers import Version

GREATEST = 2147483647
MOVING_PREFERENCE = 200  # above a route of the kernel's own, which has 10 when learned

_TUNNELS = ("*.cali", "*.calico", "tunl0")
_OWNS_NO_ENCAP = {"EnabledNoEncapOnly": True, "Enabled": True, "Disabled": False}
_OWNS_NO_ENCAP |= {"EnabledIPIPOnly": False}


class Told(Struct, frozen=True):
    """What the filters of one family depend on. CIDRs are canonical."""

    version: Version
    pools: tuple[IPPool, ...] = ()
    blocks: Mapping[str, bool] = {}  # own blocks: is the affinity confirmed?
    normal_priority: int = 1024
    program_cluster_routes: str | None = None
    own_subnet_known: bool = True
    endless: Mapping[str, tuple[str, ...]] = {}  # by tunnel: nodes without an end of it yet
    communities: tuple[tuple[str, tuple[str, ...]], ...] = ()  # CIDR, statements that add them
    reflected: tuple[str, ...] = ()  # CIDRs of services that a route reflector passes on


def kernel_filter_name(version: Version) -> str:
    """Name the filter between BIRD and the kernel."""
    return f"calico_kernel_programming_v{version}"


def functions(told: Told) -> list[str]:
    """Render what every peering of a family uses."""
    version, normal = told.version, told.normal_priority
    return [
        f"function calico_priority_v{version}() {{",
        "  if source = RTS_BGP && defined(bgp_local_pref) then {",
        f"    krt_metric = {GREATEST} - bgp_local_pref;",
        "  } else {",
        f"    if !defined(krt_metric) then krt_metric = {normal};",
        f"    bgp_local_pref = {GREATEST} - krt_metric;",
        "  }",
        "}",
        "",
        f"function calico_export_v{version}(bool to_ibgp) {{",
        *_indented(_export_steps(told)),
        "}",
        "",
        f"filter {kernel_filter_name(version)} {{",
        *_indented(_kernel_steps(told)),
        "}",
    ]


def import_filter(told: Told) -> list[str]:
    """Render a peering's import filter, but for its user's own rules."""
    least = GREATEST - told.normal_priority
    moving = f"defined(bgp_local_pref) && bgp_local_pref > {least}"
    return [f"if {moving} then preference = {MOVING_PREFERENCE};", "accept;"]


def export_filter(told: Told, calls: Sequence[str], *, to_ibgp: bool) -> list[str]:
    """Render a peering's export filter around the calls of its user's own rules."""
    version, flag = told.version, "true" if to_ibgp else "false"
    last = [f"calico_export_v{version}({flag});", "reject;"]
    return [f"calico_priority_v{version}();", *calls, *last]


def _export_steps(told: Told) -> list[str]:
    tunnels = " || ".join(f'ifname ~ "{pattern}"' for pattern in _TUNNELS)
    pools = _by_cidr(told)
    silent = [cidr for cidr, pool in pools if pool.spec.disable_bgp_export]
    open_ = [cidr for cidr, pool in pools if not pool.spec.disable_bgp_export]
    steps = [f"if net ~ {cidr} then reject;  # disableBGPExport" for cidr in silent]
    steps.append(f"if to_ibgp && ({tunnels}) then reject;  # a tunnel's own")
    steps.append('if ifname ~ "bpf*.cali" then reject;')
    for cidr, statements in told.communities:
        steps.append(f"if net ~ {cidr} then {{ {' '.join(statements)} }}")
    for cidr, is_confirmed in sorted(told.blocks.items()):
        if is_confirmed:
            steps.append(f"if net = {cidr} then accept;  # a block of this node")
            steps.append(f"if net ~ {cidr} && krt_metric < {told.normal_priority} then accept;")
            steps.append(f"if net ~ {cidr} then reject;")
    steps += [f"if net ~ {cidr} then accept;  # services of others" for cidr in told.reflected]
    return steps + [f"if net ~ {cidr} then accept;" for cidr in open_]


def _kernel_steps(told: Told) -> list[str]:
    normal = told.normal_priority
    return [
        "if source = RTS_DEVICE then reject;  # the kernel has them",
        "if source = RTS_BGP && !defined(krt_metric) then {",
        f"  krt_metric = {normal};",
        f"  if defined(bgp_local_pref) then krt_metric = {GREATEST} - bgp_local_pref;",
        f"  if krt_metric < {normal} then preference = {MOVING_PREFERENCE};",
        "}",
        *_pool_steps(told),
        "accept;",
    ]


def _pool_steps(told: Told) -> list[str]:
    if told.version == 4 and not told.own_subnet_known:
        return []
    steps = []
    for cidr, pool in _by_cidr(told):
        verdict, why = _owner(pool, told.program_cluster_routes)
        if endless := told.endless.get(_tunnel(pool)):
            # until a node can be reached by the tunnel, it is reached as before
            those = f"source = RTS_BGP && bgp_next_hop ~ [{', '.join(endless)}]"
            steps.append(f"if net ~ {cidr} && {those} then accept;")
        if verdict == "accept" and told.version == 6:
            continue  # as the original: the end of the filter accepts it as well
        steps.append(f"if net ~ {cidr} then {verdict};  # {why}")
    return steps


def _tunnel(pool: IPPool) -> str:
    """Say which tunnel a pool asks for, "" for none."""
    if pool.spec.vxlan_mode not in {"", "Never"}:
        return "vxlan"
    return "ipip" if pool.spec.ipip_mode not in {"", "Never"} else ""


def _owner(pool: IPPool, program_cluster_routes: str | None) -> tuple[str, str]:
    """Say who programs a pool's routes."""
    if pool.spec.vxlan_mode not in {"", "Never"}:
        return "reject", "VXLAN: Felix's"
    if pool.spec.ipip_mode not in {"", "Never"}:
        return "reject", "IPIP: Felix's"
    if _OWNS_NO_ENCAP.get(program_cluster_routes or "", True):
        return "accept", "no encapsulation: BIRD's"
    return "reject", "no encapsulation: Felix's"


def _by_cidr(told: Told) -> list[tuple[str, IPPool]]:
    """Sort the pools of the family by their CIDR as text; what is no CIDR is not there."""
    found = {}
    for pool in told.pools:
        try:
            cidr = canonical_prefix(pool.spec.cidr)
        except ValueError:
            continue
        if (":" in cidr) == (told.version == 6):
            found[cidr] = pool
    return sorted(found.items())


def _indented(lines: Iterable[str]) -> list[str]:
    return [f"  {line}" if line else "" for line in lines]
