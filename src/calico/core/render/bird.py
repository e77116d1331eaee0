"""BIRD's configuration: one text for both families.

    nodes, BGPPeers --> bird_peers, bird_bgp_peers --> bird_session -+
    BGPFilters -------> bird_rules ----------------------------------+--> render_bird --> text,
    pools, own blocks-> bird_filters, bird_communities --------------+    what is left out and why

The node's blocks are static blackhole routes: they are what BGP tells of this node, and in the
kernel they catch what is sent to an address that no workload has. Routes of workloads come from
the kernel table, where Felix puts them, and stay here, but for those of a moving workload.

One BIRD 2 serves both families. Names of protocols start as they do with the original
(Mesh_, kernel, static, direct), since tools tell the origin of a route by them.

Invariant: BIRD accepts the text, whatever the resources hold; what cannot be said is left out, a
session at a time, and is named with its reason: in the result, and in the text for who reads it.
Source: bgp-confd 5.2 to 5.7; BIRD's user guide, versions 2.0.12 to 2.17.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from calico.core.intent.routes import ROUTE_PROTOCOL_CALICO
from calico.core.model.bgp import BGPFilter
from calico.core.model.pool import IPPool
from calico.core.net.prefix import canonical_address, canonical_prefix, ip_version, is_address
from calico.core.render.bird_bgp_peers import peerings
from calico.core.render.bird_blocks import left_out_notes
from calico.core.render.bird_communities import advertised
from calico.core.render.bird_filters import GREATEST, Told, functions, kernel_filter_name
from calico.core.render.bird_peers import Cluster, Peering, Version, is_reflector, node_address
from calico.core.render.bird_rules import Direction, added, function_name, rules
from calico.core.render.bird_session import Calls, Manner, block, session

VERSIONS: tuple[Version, Version] = (4, 6)

RECOVERY_SECONDS = 20  # longer than it takes to connect twice; less than peers remember us, 120

_PATTERN = re.compile(r"[A-Za-z0-9_.:*-]{1,15}")  # an interface, with wildcards
_NEVER_DIRECT = ("cali*", "kube-ipvs*")
_DIRECTIONS: tuple[Direction, Direction] = ("import", "export")
_BFD = ["multihop {", "  interval 200 ms;", "  multiplier 4;  # silent so often: gone", "};"]


class BirdInputs(Struct, frozen=True):
    """All that the configuration of a node depends on."""

    cluster: Cluster
    pools: Sequence[IPPool] = ()
    blocks: Mapping[str, bool] = {}  # CIDRs of own affinities but the pending: is it confirmed?
    router_id: str = ""  # CALICO_ROUTER_ID: "", "hash", or an IPv4 address
    filters: Mapping[str, BGPFilter] = {}
    uses_bfd: bool = False


class Rendered(Struct, frozen=True):
    """The text, and what is not in it: {session or "BGPPeer <name>": reason}."""

    text: str
    left_out: Mapping[str, str] = {}


def render_bird(inputs: BirdInputs) -> Rendered | None:
    """Render the configuration, None while the own node is not known."""
    if inputs.cluster.own_name not in inputs.cluster.nodes:
        return None
    families = [_Family(inputs, version) for version in VERSIONS]
    left_out = {name: why for family in families for name, why in family.left_out.items()}
    lines = [
        "# Written by Calico for this node: changes made here are overwritten.",
        "log stderr all;",
        f"router id {_router_id(inputs)};",
        "timeformat protocol iso short;",
        # a BIRD that starts tells and programs nothing until all peers are back, or so long: a
        # node that is dead must not hold up this one for BIRD's own 240 s
        f"graceful restart wait {RECOVERY_SECONDS};",
        *_debug(inputs),
        "",
        *block("protocol device device1", ["scan time 2;"]),
        *block("protocol direct direct1", ["ipv4;", "ipv6;", _direct_interfaces(inputs)]),
    ]
    if inputs.uses_bfd:
        lines += block("protocol bfd bfd1", _BFD)
    for place, family in enumerate(families, 1):
        lines += family.functions()
        lines += block(f"protocol kernel kernel{place}", _kernel(family.version))
        if static := family.static():
            lines += block(f"protocol static static{place}", static)
        lines += family.sessions()
    lines += left_out_notes(left_out)
    return Rendered("\n".join(lines), left_out)


class _Family:
    """What the configuration says of one IP version."""

    def __init__(self, inputs: BirdInputs, version: Version) -> None:
        self._inputs, self.version = inputs, version
        self._told = _told(inputs, version)
        self._rules: dict[tuple[str, Direction], list[str]] = {}
        found = peerings(inputs.cluster, version)
        checked = [self._with_rules(peering) for peering in found.found.values()]
        self._peerings = [peering for peering in checked if not peering.problem]
        problems = {peering.name: peering.problem for peering in checked if peering.problem}
        self.left_out: Mapping[str, str] = {**found.problems, **problems}

    def functions(self) -> list[str]:
        """Render what the sessions use, BGPFilters first."""
        lines = []
        for (name, direction), statements in sorted(self._rules.items()):
            head = function_name(name, direction, self.version)
            if statements:
                lines += block(f"function {head}(bool to_ibgp)", statements)
        return [*lines, *functions(self._told), ""]

    def sessions(self) -> list[str]:
        """Render the sessions."""
        manner = _manner(self._inputs)
        lines = []
        for peering in self._peerings:
            calls = Calls(self._calls(peering, "import"), self._calls(peering, "export"))
            head = f"protocol bgp {peering.name}"
            lines += block(head, session(peering, self._told, manner, calls))
        return lines

    def static(self) -> list[str]:
        """Render the static routes: own blocks, and the ways to peers that need one."""
        single = "/32" if self.version == 4 else "/128"
        blocks = (cidr for cidr in sorted(self._told.blocks) if not cidr.endswith(single))
        routes = [f"route {cidr} blackhole;" for cidr in blocks]
        ways = {one.address: one.reachable_by for one in self._peerings if one.reachable_by}
        routes += [f"route {peer}{single} via {gateway};" for peer, gateway in sorted(ways.items())]
        return [f"ipv{self.version};", *routes] if routes else []

    def _with_rules(self, peering: Peering) -> Peering:
        """Render the BGPFilters of a session, or say that it cannot be made without them."""
        for name in peering.filters:
            bgp_filter = self._inputs.filters.get(name)
            if bgp_filter is None or peering.problem:
                continue  # as the original: what does not exist has no rules
            try:
                for direction in _DIRECTIONS:
                    if (name, direction) not in self._rules:
                        found = rules(bgp_filter, direction, self.version)
                        self._rules[name, direction] = found
            except ValueError as error:
                self._rules = {key: value for key, value in self._rules.items() if key[0] != name}
                peering = replace(peering, problem=f"its BGPFilter {name}: {error}")
        return peering

    def _calls(self, peering: Peering, direction: Direction) -> list[str]:
        flag = "true" if peering.is_internal else "false"
        return [
            f"{function_name(name, direction, self.version)}({flag});"
            for name in peering.filters
            if self._rules.get((name, direction))
        ]


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
    own = cluster.nodes[cluster.own_name]
    services = (*spec.service_load_balancer_ips, *spec.service_external_ips)
    passed_on = [one.cidr for one in services] if is_reflector(own) else []
    blocks = _of_version(inputs.blocks, version)
    priority = spec.ipv4_normal_route_priority if version == 4 else spec.ipv6_normal_route_priority
    return Told(
        version=version,
        pools=tuple(inputs.pools),
        blocks=blocks,
        normal_priority=priority if priority and 0 < priority < GREATEST else 1024,
        program_cluster_routes=spec.program_cluster_routes,
        own_subnet_known=bool(node_address(own, 4)),
        endless=_endless(cluster, version),
        communities=tuple(
            (cidr, tuple(map(added, values))) for cidr, values in advertised(cluster, version)
        ),
        reflected=tuple(_of_version(dict.fromkeys(passed_on, True), version)),
    )


def _endless(cluster: Cluster, version: Version) -> dict[str, tuple[str, ...]]:
    """List the other nodes' addresses, by tunnel that they have no end of."""
    found: dict[str, list[str]] = {"vxlan": [], "ipip": []}
    for name, node in sorted(cluster.nodes.items()):
        address = node_address(node, version)
        if not address or name == cluster.own_name:
            continue
        spec = node.spec
        if not (spec.ipv4_vxlan_tunnel_addr if version == 4 else spec.ipv6_vxlan_tunnel_addr):
            found["vxlan"].append(address)
        if not (spec.bgp and spec.bgp.ipv4_ipip_tunnel_addr):
            found["ipip"].append(address)
    return {tunnel: tuple(addresses) for tunnel, addresses in found.items()}


def _of_version(cidrs: Mapping[str, bool], version: Version) -> dict[str, bool]:
    """Keep the CIDRs of a family, in canonical form; what is no CIDR is not there."""
    found = {}
    for text, value in cidrs.items():
        try:
            cidr = canonical_prefix(text)
        except ValueError:
            continue
        if ip_version(cidr) == version:
            found[cidr] = value
    return found


def _manner(inputs: BirdInputs) -> Manner:
    cluster = inputs.cluster
    own = cluster.nodes[cluster.own_name].spec.bgp
    cluster_id = own.route_reflector_cluster_id if own else ""
    return Manner(
        own_port=cluster.listen_port(cluster.own_name),
        binds_strictly=cluster.configuration.spec.bind_mode == "NodeIP",
        is_logged=_log_level(inputs) == "info",
        uses_bfd=inputs.uses_bfd,
        # what is no address is not said: BIRD takes its router id
        cluster_id=cluster_id if is_address(cluster_id) and ":" not in cluster_id else "",
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
        *block(
            f"ipv{version}",
            [
                f"import where krt_source != {ROUTE_PROTOCOL_CALICO};  # ways to other nodes",
                f"export filter {kernel_filter_name(version)};",
            ],
            end="};",
        ),
    ]
