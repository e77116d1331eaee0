"""The chains that are there whatever the endpoints: hooks, dispatch, source check, masquerade.

    raw -300    PREROUTING   from a workload: is its source really behind that interface?
    filter 0    INPUT        from a workload: its egress policy, then what may reach the host
                FORWARD      from a workload: its egress policy; to one: its ingress policy
    nat 110     POSTROUTING  from a pool that says so, to no pool: masquerade

Hooks that would do nothing are left out: what the host sends to its own workloads is not judged
(so no OUTPUT), and nothing here changes packets (so no mangle). Each hook that is there costs
every packet of the node.

`iifname "cali*"` guards the dispatch, and a workload interface that the verdict map does not
know is dropped: before an endpoint is known its traffic does not pass, nor after it is gone.

Source: policy-semantics 3.6, felix spec 6.6; felix/rules/{static,nat}.go, felix/nftables/table.go.
"""

from collections.abc import Iterator, Mapping
from typing import Final, Literal, TypeAlias

from calico.core.intent.ip_sets import IpSetKind
from calico.core.nftables.vocabulary import (
    AnyOf,
    Chain,
    Dispatch,
    Expression,
    Field,
    Hook,
    InSet,
    Is,
    Masquerade,
    ReversePathMissing,
    Rule,
    Snat,
    Span,
    Verdict,
)
from calico.core.render.matches import addresses_in, is_net
from calico.core.render.names import (
    ALL_HOSTS,
    ARP,
    FORWARD,
    FROM_WORKLOAD,
    INPUT,
    MASQUERADED_POOLS,
    NAT_OUTGOING,
    NETWORK_POOLS,
    POSTROUTING,
    PREROUTING,
    RPF_SKIP,
    TO_WORKLOAD,
    WORKLOAD_TO_HOST,
    IpFamily,
    set_name,
)
from calico.core.render.rules import ACCEPT, COUNT, DROP, RETURN, deny
from calico.core.render.settings import RenderSettings

RAW_PRIORITY: Final = -300
FILTER_PRIORITY: Final = 0
SOURCE_NAT_PRIORITY: Final = 110  # behind kube-proxy's 100

# Listener queries and reports, router and neighbour solicitations, neighbour advertisements.
NEIGHBOUR_DISCOVERY: Final = (130, 131, 132, 133, 135, 136)

HookType: TypeAlias = Literal["filter", "nat"]
HookName: TypeAlias = Literal["prerouting", "input", "forward", "output", "postrouting"]
Spoofers: TypeAlias = Mapping[str, tuple[str, ...]]  # interface -> sources that it may also use
_DISCOVERY: Final = (Is("l4proto", 58), AnyOf("icmp_type", NEIGHBOUR_DISCOVERY))


def jump(chain: str) -> Rule:
    """Go through another chain."""
    return Rule((Verdict("jump", chain),))


def fixed_chains(family: IpFamily, settings: RenderSettings) -> Mapping[str, Chain]:
    """Render what depends on the settings alone."""
    unknown = Rule((COUNT, deny(settings)), "Unknown interface")
    return {
        "raw-PREROUTING": _base("filter", "prerouting", RAW_PRIORITY, PREROUTING),
        "filter-INPUT": _base("filter", "input", FILTER_PRIORITY, INPUT),
        "filter-FORWARD": _base("filter", "forward", FILTER_PRIORITY, FORWARD),
        "nat-POSTROUTING": _base("nat", "postrouting", SOURCE_NAT_PRIORITY, POSTROUTING),
        INPUT: Chain(tuple(_workload("iifname", Verdict("goto", WORKLOAD_TO_HOST), settings))),
        WORKLOAD_TO_HOST: Chain(tuple(_to_host(family, settings))),
        FORWARD: Chain(
            (
                *_workload("iifname", Verdict("jump", FROM_WORKLOAD), settings),
                *_workload("oifname", Verdict("jump", TO_WORKLOAD), settings),
            )
        ),
        FROM_WORKLOAD: Chain((Rule((Dispatch(("iifname",), FROM_WORKLOAD),)), unknown)),
        TO_WORKLOAD: Chain((Rule((Dispatch(("oifname",), TO_WORKLOAD),)), unknown)),
        POSTROUTING: Chain((jump(NAT_OUTGOING),)),
    }


def arp_chains() -> Mapping[str, Chain]:
    """Render what the ARP table holds besides one chain per endpoint."""
    return {
        "filter-OUTPUT": _base("filter", "output", FILTER_PRIORITY, ARP),
        ARP: Chain((Rule((Dispatch(("oifname",), ARP),)),)),
    }


def _base(type_: HookType, hook: HookName, priority: int, chain: str) -> Chain:
    return Chain((jump(chain),), Hook(type_, hook, priority))


def _workload(field: Field, verdict: Verdict, settings: RenderSettings) -> Iterator[Rule]:
    """Match the workload interfaces, one rule per prefix."""
    for prefix in settings.interface_prefixes:
        yield Rule((Is(field, f"{prefix}*"), COUNT, verdict))


def _to_host(family: IpFamily, settings: RenderSettings) -> Iterator[Rule]:
    """Judge what a workload sends to its own host: policy first, then the configured action."""
    if family == "ip6":
        yield Rule((*_DISCOVERY, COUNT, ACCEPT))
    yield jump(FROM_WORKLOAD)
    last = {"Drop": DROP, "Accept": ACCEPT, "Return": RETURN}[settings.endpoint_to_host_action]
    yield Rule((COUNT, last), "Configured DefaultEndpointToHostAction")


def source_check(
    family: IpFamily, spoofers: Spoofers, settings: RenderSettings
) -> Mapping[str, Chain | None]:
    """Render the check of workloads' source addresses, and who may use others than their own."""
    allowed = []
    for interface in sorted(spoofers) if settings.source_spoofing else ():
        inside = addresses_in("saddr", filter(is_net, spoofers[interface]), family)
        if inside is not None:
            allowed.append(Rule((Is("iifname", interface), *inside, COUNT, ACCEPT)))
    missing = (ReversePathMissing(), COUNT, deny(settings))
    rules = []
    for prefix in settings.interface_prefixes:
        workload = Is("iifname", f"{prefix}*")
        if allowed:
            rules.append(Rule((workload, Verdict("jump", RPF_SKIP))))
        rules.append(Rule((workload, *missing)))
    return {PREROUTING: Chain(tuple(rules)), RPF_SKIP: Chain(tuple(allowed)) if allowed else None}


def nat_outgoing(
    family: IpFamily, hosts: IpSetKind | None, settings: RenderSettings, *, active: bool
) -> Chain:
    """Render the masquerade; `hosts` is the kind of the set of node addresses, if there is one."""
    if not active:
        return Chain()
    leaving: list[Expression] = [
        InSet(("saddr",), set_name(family, MASQUERADED_POOLS)),
        InSet(("daddr",), set_name(family, NETWORK_POOLS), negated=True),
    ]
    if settings.nat_exclude_hosts and hosts is not None:
        leaving.append(InSet(("daddr",), set_name(family, ALL_HOSTS, hosts), negated=True))
    if settings.nat_outgoing_interface:
        leaving.append(Is("oifname", settings.nat_outgoing_interface))
    ports = settings.nat_port_range
    ranges = [] if ports is None else [((Is("l4proto", number),), ports) for number in (6, 17)]
    rules = (
        Rule((*protocol, *leaving, COUNT, _translation(family, span, settings)))
        for protocol, span in (*ranges, ((), None))
    )
    return Chain(tuple(rules))


def _translation(family: IpFamily, ports: Span | None, settings: RenderSettings) -> Expression:
    """Choose the source that outgoing traffic gets."""
    if family == "ip" and settings.nat_outgoing_address:
        return Snat(settings.nat_outgoing_address, ports, fully_random=True)
    return Masquerade(ports, fully_random=True)
