"""The whole contents of this node's tables, from the whole intent: the definition.

    endpoints --+--> who owns which interface --> path --> endpoint chains, dispatch maps
    policies  --+                                  `--> the policies and profiles that are asked
    IP sets, pools --> sets and their members

Plainly right and slow. `ruleset.RuleSets` maintains the same answer; the parts that both are
made of are here, and pinned by the unit and packet tests.
"""

from collections.abc import Mapping
from typing import Final

from calico.core.intent.delta import Intent
from calico.core.intent.endpoints import WorkloadEndpoint
from calico.core.intent.keys import EndpointKey
from calico.core.intent.nat import Pool
from calico.core.nftables.vocabulary import Chain, Family, Verdict
from calico.core.render import names
from calico.core.render.endpoints import arp_chain, endpoint_chain, group_chain, has_interface
from calico.core.render.matches import SetKinds
from calico.core.render.names import DIRECTIONS, Direction, IpFamily
from calico.core.render.paths import Path, is_served, path
from calico.core.render.rules import held_rules, judge, judge_chain
from calico.core.render.sets import SHAPES, element, fixed_sets, pool_elements
from calico.core.render.settings import RenderSettings
from calico.core.render.static import (
    Spoofers,
    arp_chains,
    fixed_chains,
    nat_outgoing,
    source_check,
)
from calico.core.render.tables import ElementKey, ElementValue, Table
from calico.core.render.tunnel_rules import (
    Tunnels,
    host_elements,
    host_sets,
    postrouting,
    preceded,
    raw_output,
    taken_in,
    untracked,
)

FAMILIES: Final[Mapping[bool, tuple[IpFamily, ...]]] = {True: ("ip", "ip6"), False: ("ip",)}
MAPS: Final[Mapping[Direction, str]] = {"ingress": names.TO_WORKLOAD, "egress": names.FROM_WORKLOAD}


def rule_sets(intent: Intent, settings: RenderSettings) -> Mapping[Family, Table]:
    """Define the contents of each table."""
    endpoints = by_interface(intent.endpoints)
    tables: dict[Family, Table] = {"arp": _arp_table(endpoints)}
    for family in FAMILIES[settings.ipv6]:
        kinds = {set_id: ip_set.kind for set_id, ip_set in intent.ip_sets.items()}
        sources = {name: endpoint.allowed_source_prefixes for name, endpoint in endpoints.items()}
        chains: dict[str, Chain | None] = {
            **fixed_chains(family, settings),
            **source_check(family, sources, settings),
            **tunnel_chains(family, sources, intent.tunnels, settings),
            names.NAT_OUTGOING: masquerade(family, intent.pools, kinds, settings),
            **_judging_chains(family, intent, endpoints, settings),
        }
        sets = {
            names.set_name(family, set_id, kind): SHAPES[kind] for set_id, kind in kinds.items()
        }
        tables[family] = Table(
            {name: chain for name, chain in chains.items() if chain is not None},
            {**fixed_sets(family), **host_sets(family, intent.tunnels), **sets},
            {**_dispatch(endpoints), **_members(family, intent)},
        )
    return tables


def by_interface(
    endpoints: Mapping[EndpointKey, WorkloadEndpoint],
) -> Mapping[str, WorkloadEndpoint]:
    """Say who has each interface: of several, the endpoint with the smallest key."""
    owners = {
        endpoints[key].interface: endpoints[key]
        for key in sorted(endpoints, reverse=True)
        if has_interface(endpoints[key])
    }
    return dict(sorted(owners.items()))


def masquerade(
    family: IpFamily, pools: Mapping[str, Pool], kinds: SetKinds, settings: RenderSettings
) -> Chain:
    """Render the masquerade, if a pool of this family asks for it."""
    active = any(
        pool.nat_outgoing and (":" in pool.cidr) == (family == "ip6") for pool in pools.values()
    )
    return nat_outgoing(family, kinds.get(names.ALL_HOSTS), settings, active=active)


def tunnel_chains(
    family: IpFamily, sources: Spoofers, tunnels: Tunnels, settings: RenderSettings
) -> Mapping[str, Chain | None]:
    """Render the chains of which tunnels have a part."""
    fixed = fixed_chains(family, settings)[names.INPUT]
    checked = source_check(family, sources, settings)[names.PREROUTING] or Chain()
    return {
        names.INPUT: preceded(taken_in(family, tunnels, settings), fixed),
        names.PREROUTING: preceded(untracked(family, tunnels, settings), checked),
        names.POSTROUTING: postrouting(family, tunnels, settings),
        **raw_output(family, tunnels, settings),
    }


def entry(interface: str, direction: Direction) -> tuple[str, tuple[str], Verdict]:
    """Give an interface's entry of a dispatch map: map, element, verdict."""
    verdict = Verdict("goto", names.endpoint_chain(interface, direction))
    return MAPS[direction], (interface,), verdict


def arp_entry(interface: str) -> tuple[str, tuple[str], Verdict]:
    """Give an interface's entry of the ARP table's map."""
    return names.ARP, (interface,), Verdict("goto", names.arp_chain(interface))


def _judging_chains(
    family: IpFamily,
    intent: Intent,
    endpoints: Mapping[str, WorkloadEndpoint],
    settings: RenderSettings,
) -> Mapping[str, Chain]:
    """Render the chains of endpoints, of the groups they go to, of the policies these ask."""
    kinds = {set_id: ip_set.kind for set_id, ip_set in intent.ip_sets.items()}
    chains: dict[str, Chain] = {}
    for interface, endpoint in endpoints.items():
        for direction in DIRECTIONS:
            asked = Path(direction)
            if is_served(endpoint, family):
                asked = path(endpoint, direction, intent.policies, intent.profiles)
            name = names.endpoint_chain(interface, direction)
            chains[name] = endpoint_chain(asked, endpoint.qos, settings)
            if not asked.is_inline:
                chains[asked.group_chain] = group_chain(asked, settings)
            for key in (step.key for step in asked.steps):
                held = held_rules(key, intent.policies, intent.profiles)
                name = names.rules_chain(key, direction)
                if held is not None and name not in chains:
                    one = judge(key, held, direction, kinds)
                    chains[name] = judge_chain(one, family, kinds, settings)
    return chains


def _arp_table(endpoints: Mapping[str, WorkloadEndpoint]) -> Table:
    chains = {names.arp_chain(name): arp_chain(endpoint) for name, endpoint in endpoints.items()}
    entries = (arp_entry(interface) for interface in endpoints)
    return Table(
        {**arp_chains(), **chains},
        fixed_sets("arp"),
        {(set_name, key): verdict for set_name, key, verdict in entries},
    )


def _dispatch(endpoints: Mapping[str, WorkloadEndpoint]) -> Mapping[ElementKey, ElementValue]:
    entries = (entry(interface, direction) for interface in endpoints for direction in DIRECTIONS)
    return {(set_name, key): verdict for set_name, key, verdict in entries}


def _members(family: IpFamily, intent: Intent) -> Mapping[ElementKey, ElementValue]:
    """List the members of this family's sets."""
    members: dict[ElementKey, ElementValue] = dict.fromkeys(
        pool_elements(intent.pools, family), True
    )
    members |= dict.fromkeys(host_elements(family, intent.tunnels, intent.hosts), True)
    for set_id, ip_set in intent.ip_sets.items():
        name = names.set_name(family, set_id, ip_set.kind)
        for member in ip_set.members:
            of_family, key = element(member)
            if of_family == family:
                members[name, key] = True
    return members
