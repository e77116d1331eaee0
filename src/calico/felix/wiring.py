"""Put the agent together, by hand, on one page.

    config, datastore, node name --> Agent: listeners --> inbox --> loop --> kernel
                                            health and metrics servers beside it

Order matters in two places only: the tables are opened before the notifications, which must tell
our own changes from others'; and listeners start last, when everything that hears them exists.
"""

import time
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from calico.core.calc.graph import Graph
from calico.core.calc.settings import CalcSettings
from calico.core.intent.interfaces import Setting
from calico.core.intent.tunnels import DEVICES
from calico.core.model.keys import BLOCKS_PREFIX, RESOURCES_PREFIX
from calico.core.nftables.vocabulary import Family
from calico.core.render.cluster import Cluster, ClusterSettings, cluster_protocol
from calico.core.render.interfaces import Interfaces, InterfaceSettings
from calico.core.render.ruleset import RuleSets
from calico.core.render.settings import RenderSettings, log_limit
from calico.core.render.underlay import Underlay
from calico.datastore.client import Datastore
from calico.datastore.watcher import Watcher
from calico.felix.dataplane import Dataplane, Reconcilers, Renderers
from calico.felix.host_network import HostNetwork
from calico.felix.in_force import InForce
from calico.felix.inbox import Inbox
from calico.felix.loop import Loop, Parts, Timer
from calico.felix.mtu import MtuFile
from calico.felix.parameters import FelixConfig
from calico.felix.records import Consumer, Records, SetAffinity, no_affinities
from calico.felix.statistics import ClusterCounts, NodeCounts
from calico.felix.turns import Turns
from calico.kernel.conntrack import KernelConnections
from calico.kernel.forwarding import KernelForwardingTable
from calico.kernel.neighbours import KernelNeighbourTable
from calico.kernel.netlink import KernelError
from calico.kernel.nftables import KernelTable
from calico.kernel.notifications import Notifications
from calico.kernel.routes import KernelRouteTable, Ownership
from calico.kernel.sysctl import KernelSettings, read
from calico.kernel.tunnels import VXLAN_DEVICES, KernelTunnels
from calico.reconcile.connections import Connections
from calico.reconcile.neighbours import NeighbourReconciler
from calico.reconcile.nftables import NftablesReconciler
from calico.reconcile.routes import RouteReconciler
from calico.reconcile.sysctls import NODE, SysctlReconciler
from calico.reconcile.tunnels import TunnelReconciler
from calico.telemetry.health import Health
from calico.telemetry.metrics import Metrics

TUNNEL_SECONDS = 10.0  # how often tunnel devices are looked at
TABLES: Mapping[Family, str] = {"ip": "calico", "ip6": "calico", "arp": "calico-arp"}


class Surroundings(Struct, frozen=True):
    """What the caller has and the agent uses. `end_turn` runs after every turn in sync.

    `ranges`: further ranges of the datastore to follow, e.g. a node's block affinities.
    """

    datastore: Datastore
    health: Health
    metrics: Metrics
    in_force: InForce
    consumers: Sequence[Consumer] = ()
    ranges: tuple[str, ...] = ()
    set_affinity: SetAffinity = no_affinities
    end_turn: Callable[[], None] = lambda: None
    mtu_file: Path | None = None  # who makes workload interfaces reads it
    now: Callable[[], float] = time.monotonic


class Agent:
    """A whole agent, not yet started."""

    def __init__(self, config: FelixConfig, node_name: str, around: Surroundings) -> None:
        graph = Graph(node_name, calc_settings(config))
        turns = Turns(around.health, around.metrics, around.now, config.dataplane_watchdog_timeout)
        self._inbox: Inbox[Hashable, object] = Inbox()
        families = [family for family in TABLES if family != "ip6" or config.ipv6_support]
        tables = {family: KernelTable(family, TABLES[family]) for family in families}
        ownership = _ownership(config)
        ipv4 = KernelRouteTable("ipv4", ownership)
        ipv6 = KernelRouteTable("ipv6", ownership) if config.ipv6_support else None
        dataplane = Dataplane(
            _renderers(config),
            _reconcilers(config, tables, ipv4, ipv6),
            turns.repaired,
            NodeCounts(around.metrics),
        )
        own_ports = [table.port_id for table in tables.values()]
        own_ports += [table.port_id for table in (ipv4, ipv6) if table is not None]
        self._notifications = Notifications(self._inbox.put, own_ports, ownership)
        ranges = (RESOURCES_PREFIX, BLOCKS_PREFIX, *around.ranges)
        mtu_file = MtuFile(around.mtu_file) if around.mtu_file else None

        def end_turn() -> None:
            if mtu_file is not None:
                mtu_file.put(dataplane.pod_mtu_bytes)
            around.end_turn()

        self._watchers = [Watcher(around.datastore, name, self._inbox.put) for name in ranges]
        parts = Parts(
            inbox=self._inbox,
            records=Records(
                (graph, ClusterCounts(around.metrics), *around.consumers),
                around.set_affinity,
                graph.set_block,
            ),
            graph=graph,
            dataplane=dataplane,
            in_force=around.in_force,
            turns=turns,
            timers=_timers(config),
            now=around.now,
            end_turn=end_turn,
        )
        self.loop = Loop(parts, frozenset(ranges))

    def run(self, is_stopped: Callable[[], bool]) -> None:
        """Start the listeners, turn until stopped. Raises Restart."""
        self._notifications.start()
        for watcher in self._watchers:
            watcher.start()
        try:
            self.loop.run(is_stopped)
        finally:
            for watcher in self._watchers:
                watcher.close()
            self._notifications.stop()

    def wake(self) -> None:
        """End the loop's present wait; from a signal handler or another thread."""
        self._inbox.put({})


def calc_settings(config: FelixConfig) -> CalcSettings:
    """Take what the computation depends on."""
    return CalcSettings(
        allow_source_spoofing=config.workload_source_spoofing == "Any",
        ipip=config.ip_in_ip_enabled,
        vxlan=config.vxlan_enabled,
        owns_plain=config.program_cluster_routes in {"Enabled", "EnabledNoEncapOnly"},
    )


def _renderers(config: FelixConfig) -> Renderers:
    underlay = Underlay(config.mtu_iface_pattern)
    network = HostNetwork(underlay, config.interface_prefix)
    network.read()
    settings = ClusterSettings(
        device_protocol=config.device_route_protocol,
        vxlan_vni=config.vxlan_vni,
        vxlan_port=config.vxlan_port,
        vxlan_mtu=config.vxlan_mtu,
        vxlan_mtu_v6=config.vxlan_mtu_v6,
        ipip_mtu=config.ip_in_ip_mtu,
        ipv4_source=config.device_route_source_address,
        ipv6_source=config.device_route_source_address_ipv6,
        rp_filter=_default_rp_filter(),
    )
    return Renderers(
        RuleSets(render_settings(config)),
        Interfaces(_interface_settings(config)),
        Cluster(settings, underlay),
        network,
    )


def render_settings(config: FelixConfig) -> RenderSettings:
    """Take what the rule sets depend on."""
    return RenderSettings(
        interface_prefixes=config.interface_prefix,
        ipv6=config.ipv6_support,
        mark_mask=config.nftables_mark_mask,
        endpoint_to_host_action=config.default_endpoint_to_host_action,
        filter_deny_action=config.nftables_filter_deny_action,
        disable_conntrack_invalid_check=config.disable_conntrack_invalid_check,
        allow_vxlan_from_workloads=config.allow_vxlan_packets_from_workloads,
        allow_ipip_from_workloads=config.allow_ipip_packets_from_workloads,
        vxlan_port=config.vxlan_port,
        source_spoofing=config.workload_source_spoofing == "Any",
        log_prefix=config.log_prefix,
        log_limit=log_limit(config.log_action_rate_limit, config.log_action_rate_limit_burst),
        nat_outgoing_address=config.nat_outgoing_address,
        nat_port_range=config.nat_port_range,
    )


def _interface_settings(config: FelixConfig) -> InterfaceSettings:
    return InterfaceSettings(
        ipv6=config.ipv6_support,
        device_protocol=config.device_route_protocol,
        ipv4_metric=config.ipv4_normal_route_priority,
        ipv6_metric=config.ipv6_normal_route_priority,
        ipv4_source=config.device_route_source_address,
        ipv6_source=config.device_route_source_address_ipv6,
        rp_filter=_default_rp_filter(),
        source_spoofing=config.workload_source_spoofing == "Any",
    )


def _default_rp_filter() -> str:
    try:
        return read("net/ipv4/conf/default/rp_filter").strip()
    except KernelError:
        return "1"


def _ownership(config: FelixConfig) -> Ownership:
    return Ownership(
        workload_prefixes=config.interface_prefix,
        protocols=frozenset({cluster_protocol(config.device_route_protocol)}),
        device_protocol=config.device_route_protocol,
        removes_external=config.remove_external_routes,
    )


def _reconcilers(
    config: FelixConfig,
    tables: Mapping[Family, KernelTable],
    ipv4: KernelRouteTable,
    ipv6: KernelRouteTable | None,
) -> Reconcilers:
    forget = Connections(KernelConnections()).forget
    prefixes, tunnels = config.interface_prefix, tuple(DEVICES.values())
    settings = SysctlReconciler(KernelSettings())
    settings.update({NODE: _node_settings(config)})
    return Reconcilers(
        tables={family: NftablesReconciler(table) for family, table in tables.items()},
        settings=settings,
        tunnels=TunnelReconciler(KernelTunnels(), time.monotonic),
        neighbours=NeighbourReconciler(
            KernelNeighbourTable((*prefixes, *tunnels)), time.monotonic, tunnels
        ),
        neighbours6=None
        if ipv6 is None
        else NeighbourReconciler(KernelNeighbourTable(tunnels, "ipv6"), time.monotonic, tunnels),
        forwarding=NeighbourReconciler(
            KernelForwardingTable(VXLAN_DEVICES), time.monotonic, tunnels
        ),
        routes=_routes(ipv4, forget, prefixes),
        routes6=None if ipv6 is None else _routes(ipv6, forget, prefixes),
    )


def _routes(
    table: KernelRouteTable, forget: Callable[[Collection[str]], None], prefixes: tuple[str, ...]
) -> RouteReconciler:
    return RouteReconciler(table, time.monotonic, forget, prefixes, table.destinations_of_bird)


def _node_settings(config: FelixConfig) -> tuple[Setting, ...]:
    if config.ip_forwarding == "Disabled":
        return ()
    ipv4 = Setting("net/ipv4/ip_forward", "1")
    accounting = Setting("net/netfilter/nf_conntrack_acct", "1", is_required=False)
    if not config.ipv6_support:
        return (ipv4, accounting)
    return (ipv4, Setting("net/ipv6/conf/all/forwarding", "1"), accounting)


def _timers(config: FelixConfig) -> tuple[Timer, ...]:
    return (
        Timer("nftables", config.nftables_refresh_interval),
        Timer("routes", config.route_refresh_interval),
        Timer("interfaces", config.interface_refresh_interval),
        Timer("tunnels", TUNNEL_SECONDS),
    )
