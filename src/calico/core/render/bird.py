"""BIRD's configuration: one text for both families.

    own node, other nodes --> bird_peers ---+
    pools, own blocks ------> bird_filters -+--> render_bird --> text --> reconcile/bird.py
    BGPConfiguration -----------------------+

The node's blocks are static blackhole routes: they are what BGP tells of this node, and in the
kernel they catch what is sent to an address that no workload has. Routes of workloads come from
the kernel table, where Felix puts them, and stay here, but for those of a moving workload.

One BIRD 2 serves both families. Names of protocols start as they do with the original
(Mesh_, kernel, static, direct), since tools tell the origin of a route by them.

Invariant: BIRD accepts the text, whatever the resources hold; what cannot be said is left out.
Source: bgp-confd 5.2 to 5.7; BIRD's user guide, versions 2.0.12 to 2.17.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence

from msgspec import Struct

from calico.core.model.pool import IPPool
from calico.core.net.prefix import canonical_address, canonical_prefix
from calico.core.render.bird_filters import (
    GREATEST,
    Told,
    export_filter,
    functions,
    import_filter,
    kernel_filter_name,
)
from calico.core.render.bird_peers import Cluster, Peering, Version, mesh, node_address

VERSIONS: tuple[Version, Version] = (4, 6)

_PATTERN = re.compile(r"[A-Za-z0-9_.:*-]{1,15}")  # an interface, with wildcards
_NEVER_DIRECT = ("cali*", "kube-ipvs*")


class BirdInputs(Struct, frozen=True):
    """All that the configuration of a node depends on."""

    cluster: Cluster
    pools: Sequence[IPPool] = ()
    blocks: Mapping[str, bool] = {}  # CIDRs of own affinities but the pending: is it confirmed?
    router_id: str = ""  # CALICO_ROUTER_ID: "", "hash", or an IPv4 address


def render_bird(inputs: BirdInputs) -> str | None:
    """Render the configuration, None while the own node is not known."""
    if inputs.cluster.own_name not in inputs.cluster.nodes:
        return None
    told = {version: _told(inputs, version) for version in VERSIONS}
    lines = [
        "# Written by Calico for this node: changes made here are overwritten.",
        "log stderr all;",
        f"router id {_router_id(inputs)};",
        "timeformat protocol iso short;",
        *_debug(inputs),
        "",
        *_block("protocol device device1", ["scan time 2;"]),
        *_block("protocol direct direct1", ["ipv4;", "ipv6;", _direct_interfaces(inputs)]),
    ]
    for place, version in enumerate(VERSIONS, 1):
        lines += functions(told[version])
        lines.append("")
        lines += _block(f"protocol kernel kernel{place}", _kernel(version))
        if static := _static(told[version]):
            lines += _block(f"protocol static static{place}", static)
        for peering in mesh(inputs.cluster, version).values():
            lines += _block(
                f"protocol bgp {peering.name}", _session(peering, inputs, told[version])
            )
    return "\n".join(lines)


def hashed_router_id(node_name: str) -> str:
    """Make a router id of a node's name: four bytes of its digest, kept below multicast."""
    first, *rest = hashlib.sha256(node_name.encode()).digest()[:4]
    return ".".join(str(byte) for byte in (first - 32 if first > 223 else first, *rest))


def _router_id(inputs: BirdInputs) -> str:
    """Choose the router id. Where the original would write an empty one, the hash stands in."""
    own_name = inputs.cluster.own_name
    own_address = node_address(inputs.cluster.nodes[own_name], 4)
    try:
        wanted = canonical_address(inputs.router_id or own_address)
    except ValueError:
        wanted = ""
    return wanted if "." in wanted else hashed_router_id(own_name)


def _told(inputs: BirdInputs, version: Version) -> Told:
    cluster = inputs.cluster
    spec = cluster.configuration.spec
    blocks = {}
    for text, is_confirmed in inputs.blocks.items():
        try:
            cidr = canonical_prefix(text)
        except ValueError:
            continue
        if (":" in cidr) == (version == 6):
            blocks[cidr] = is_confirmed
    priority = spec.ipv4_normal_route_priority if version == 4 else spec.ipv6_normal_route_priority
    return Told(
        version=version,
        pools=tuple(inputs.pools),
        blocks=blocks,
        normal_priority=priority if priority and 0 < priority < GREATEST else 1024,
        program_cluster_routes=spec.program_cluster_routes,
        own_subnet_known=bool(node_address(cluster.nodes[cluster.own_name], 4)),
    )


def _debug(inputs: BirdInputs) -> list[str]:
    wanted = {"debug": "all", "info": "{ states }"}.get(_log_level(inputs))
    return [f"debug protocols {wanted};"] if wanted else []


def _log_level(inputs: BirdInputs) -> str:
    cluster = inputs.cluster
    of_node = cluster.node_configurations.get(cluster.own_name)
    level = of_node.spec.log_severity_screen if of_node else ""
    return (level or cluster.configuration.spec.log_severity_screen or "info").lower()


def _direct_interfaces(inputs: BirdInputs) -> str:
    ignored = inputs.cluster.configuration.spec.ignored_interfaces
    patterns = (*(one for one in ignored if _PATTERN.fullmatch(one)), *_NEVER_DIRECT)
    return "interface " + "".join(f'-"{pattern}", ' for pattern in patterns) + '"*";'


def _kernel(version: Version) -> list[str]:
    return [
        "learn;  # the routes of workloads are Felix's",
        "persist;  # traffic goes on while BIRD restarts",
        "scan time 2;",
        "graceful restart on;",
        "merge paths on;",
        "metric 0;  # that is: the route's own, krt_metric",
        *_block(
            f"ipv{version}",
            ["import all;", f"export filter {kernel_filter_name(version)};"],
            end="};",
        ),
    ]


def _static(told: Told) -> list[str]:
    single = "/32" if told.version == 4 else "/128"
    routes = [
        f"route {cidr} blackhole;" for cidr in sorted(told.blocks) if not cidr.endswith(single)
    ]
    return [f"ipv{told.version};", *routes] if routes else []


def _session(peering: Peering, inputs: BirdInputs, told: Told) -> list[str]:
    cluster = inputs.cluster
    own_port = cluster.listen_port(cluster.own_name)
    channel = [
        *_block("import filter", import_filter(told), end="};"),
        *_block("export filter", export_filter(told, to_ibgp=peering.is_internal), end="};"),
        "add paths on;",
        "gateway recursive;",
    ]
    restart = peering.restart_seconds
    return [
        'description "Connection to BGP peer";',
        *_when(_log_level(inputs) == "info", "debug { states, routes, filters, events };"),
        f"local {peering.own_address}{_port(own_port)} as {peering.own_as_number};",
        f"neighbor {peering.address}{_port(peering.port)} as {peering.as_number};",
        "multihop;",
        *_when(cluster.configuration.spec.bind_mode == "NodeIP", "strict bind on;"),
        *_when(peering.is_passive, "passive on;"),
        "connect delay time 2;",
        "connect retry time 5;",
        "error wait time 5, 30;",
        "graceful restart on;",
        *_when(restart is not None, f"graceful restart time {restart};"),
        *_block(f"ipv{peering.version}", channel, end="};"),
    ]


def _when(condition: bool, line: str) -> list[str]:
    return [line] if condition else []


def _port(number: int) -> str:
    return f" port {number}" if number else ""


def _block(head: str, lines: Sequence[str], end: str = "}") -> list[str]:
    last = [end] if end == "};" else [end, ""]
    return [f"{head} {{", *(f"  {line}" for line in lines), *last]
