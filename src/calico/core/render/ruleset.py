"""The rule sets of this node: what the intent comes to in the kernel's tables.

    IntentDelta --feed--> RuleSets --flush--> {"ip": TableDelta, "ip6": ..., "arp": ...}
                             |
       endpoint --> its two chains, its places in the dispatch maps
          `--path--> the group chain that all endpoints with this path share
                        `--> a chain per direction of each policy and profile on the path
       IP sets, pools --> sets and their members

`rule_sets` is the definition: the whole contents of each table from the whole intent. `RuleSets`
keeps that answer up to date at a cost set by what changed; a property test holds the two equal.
Who is touched by what:

    a policy's rules        its own chains
    ... its first Pass rule, its coming or going        also the paths of who names it
    an IP set's members     that set's elements
    ... its kind            also the chains of the policies that read it
    an endpoint             its chains; groups, policies that gain a first or lose a last user
    a pool                  the pool sets; the masquerade, with the first and the last
    a tunnel, a node        the sets of nodes; the hooks' first rules, with a tunnel

Of two endpoints with one interface the smaller key has it; the other waits, without rules.

Invariant: what `flush` has returned so far, put together, equals the definition.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Literal

from calico.core.intent.delta import IntentDelta
from calico.core.intent.endpoints import WorkloadEndpoint
from calico.core.intent.keys import EndpointKey, PolicyKey
from calico.core.intent.nat import Pool
from calico.core.intent.policies import Policy, Profile, Rule
from calico.core.intent.tunnels import TunnelEnd, TunnelKind
from calico.core.nftables.vocabulary import Family, Set, TableDelta
from calico.core.render import names
from calico.core.render.definition import (
    FAMILIES,
    arp_entry,
    entry,
    masquerade,
    rule_sets,
    tunnel_chains,
)
from calico.core.render.endpoints import arp_chain, endpoint_chain, group_chain, has_interface
from calico.core.render.names import DIRECTIONS, Direction, IpFamily, ProfileKey, RulesKey
from calico.core.render.paths import Path, is_served, path
from calico.core.render.rules import has_pass, held_rules, judge, judge_chain
from calico.core.render.sets import SetMembers, fixed_sets, pool_elements
from calico.core.render.settings import RenderSettings
from calico.core.render.static import arp_chains, fixed_chains, source_check
from calico.core.render.tables import ElementKey, Ledger, put
from calico.core.render.tunnel_rules import host_elements, host_sets
from calico.core.render.users import Users

__all__ = ["RuleSets", "rule_sets"]


class RuleSets:
    """The definition, maintained. The agent's loop is its only caller."""

    def __init__(self, settings: RenderSettings) -> None:
        self._settings = settings
        self._ledgers: dict[IpFamily, Ledger] = {
            family: Ledger() for family in FAMILIES[settings.ipv6]
        }
        self._arp = Ledger()
        self._sets = SetMembers(self._ledgers)
        self._endpoints: dict[EndpointKey, WorkloadEndpoint] = {}
        self._policies: dict[PolicyKey, Policy] = {}
        self._profiles: dict[str, Profile] = {}
        self._pools: dict[str, Pool] = {}
        self._pool_elements: dict[IpFamily, set[ElementKey]] = {}
        self._tunnels: dict[TunnelKind, TunnelEnd] = {}
        self._hosts: dict[str, Literal[True]] = {}
        self._host_sets: dict[IpFamily, dict[str, Set]] = {}
        self._host_elements: dict[IpFamily, set[ElementKey]] = {}
        self._sources: dict[str, tuple[str, ...]] = {}  # what interfaces may send from besides
        self._claims: Users[EndpointKey, str] = Users()  # endpoints, the interface they name
        self._names: Users[str, RulesKey] = Users()  # interfaces, all that their endpoints name
        self._follows: Users[tuple[IpFamily, str], tuple[IpFamily, Path]] = Users()  # interfaces
        self._asks: Users[tuple[IpFamily, Path], tuple[IpFamily, Direction, RulesKey]] = Users()
        self._reads: Users[RulesKey, str] = Users()  # policies and profiles, the sets they read
        self._due_interfaces: set[str] = set()
        self._due_judges: set[RulesKey] = set()
        self._refusals: dict[tuple[RulesKey, Direction], str] = {}
        self._put_fixed()

    @property
    def refusals(self) -> Mapping[tuple[RulesKey, Direction], str]:
        """Why some policies could not be rendered, and drop all that reaches them."""
        return self._refusals

    def feed(self, delta: IntentDelta) -> None:
        """Accept changed intent; the rendering is left to `flush`."""
        for key, policy in delta.policies.items():
            if _outline(self._policies.get(key)) != _outline(policy):
                self._due_interfaces |= self._names.of(key)
            put(self._policies, key, policy)
            self._accept_rules(key, policy)
        for name, profile in delta.profiles.items():
            if (name in self._profiles) != (profile is not None):
                self._due_interfaces |= self._names.of(ProfileKey(name))
            put(self._profiles, name, profile)
            self._accept_rules(ProfileKey(name), profile)
        for set_id in self._sets.feed(delta):
            self._due_judges |= self._reads.of(set_id)
        for endpoint_key, endpoint in delta.endpoints.items():
            self._accept_endpoint(endpoint_key, endpoint)
        self._accept_pools(delta)
        self._accept_tunnels(delta)

    def flush(self) -> Mapping[Family, TableDelta]:
        """Return what changed since the last flush; a table without news is absent."""
        for interface in sorted(self._due_interfaces):
            self._put_endpoint(interface)
        for key in self._due_judges:
            self._put_judge(key)
        if self._due_interfaces and self._settings.source_spoofing:
            self._put_source_check()
        self._due_interfaces, self._due_judges = set(), set()
        ledgers: dict[Family, Ledger] = {"arp": self._arp}
        ledgers.update(self._ledgers.items())
        deltas = {family: ledger.flush() for family, ledger in ledgers.items()}
        return {family: delta for family, delta in deltas.items() if delta is not None}

    def _accept_rules(self, key: RulesKey, held: Policy | Profile | None) -> None:
        """Note which sets these rules read, and that their chains are due."""
        rules = () if held is None else (*held.ingress, *held.egress)
        self._reads.replace(key, _sets_read(rules))
        self._due_judges.add(key)

    def _accept_pools(self, delta: IntentDelta) -> None:
        for cidr, pool in delta.pools.items():
            put(self._pools, cidr, pool)
        if delta.pools or names.ALL_HOSTS in delta.ip_sets:
            self._put_pools()

    def _accept_tunnels(self, delta: IntentDelta) -> None:
        for kind, end in delta.tunnels.items():
            put(self._tunnels, kind, end)
        for address, known in delta.hosts.items():
            put(self._hosts, address, known)
        if delta.tunnels or delta.hosts:
            self._put_hosts()
        if delta.tunnels:
            self._put_source_check()

    def _accept_endpoint(self, key: EndpointKey, endpoint: WorkloadEndpoint | None) -> None:
        """Note who claims which interface, and that the interfaces concerned are due."""
        old = self._endpoints.get(key)
        put(self._endpoints, key, endpoint)
        claimed = () if endpoint is None or not has_interface(endpoint) else (endpoint.interface,)
        self._claims.replace(key, claimed)
        self._due_interfaces |= {one.interface for one in (old, endpoint) if one is not None}

    def _put_endpoint(self, interface: str) -> None:
        """Render the chains of whoever has this interface now."""
        owner = min(self._claims.of(interface), default=None)
        endpoint = None if owner is None else self._endpoints[owner]
        self._names.replace(interface, () if endpoint is None else _named(endpoint))
        put(
            self._sources, interface, None if endpoint is None else endpoint.allowed_source_prefixes
        )
        for family in self._ledgers:
            self._put_judged(family, interface, endpoint)
        map_name, element, verdict = arp_entry(interface)
        self._arp.put_entry(map_name, element, None if endpoint is None else verdict)
        chain = None if endpoint is None else arp_chain(endpoint)
        self._arp.put_chain(names.arp_chain(interface), chain)

    def _put_judged(
        self, family: IpFamily, interface: str, endpoint: WorkloadEndpoint | None
    ) -> None:
        """Render both chains in one family; make due what this puts to use, or out of it."""
        ledger, paths = self._ledgers[family], []
        for direction in DIRECTIONS:
            map_name, element, verdict = entry(interface, direction)
            ledger.put_entry(map_name, element, None if endpoint is None else verdict)
            chain = None
            if endpoint is not None:
                asked = Path(direction)
                if is_served(endpoint, family):
                    asked = path(endpoint, direction, self._policies, self._profiles)
                chain = endpoint_chain(asked, endpoint.qos, self._settings)
                paths.append((family, asked))
            ledger.put_chain(names.endpoint_chain(interface, direction), chain)
        for _, turned in self._follows.replace((family, interface), paths):
            self._put_group(family, turned)

    def _put_group(self, family: IpFamily, asked: Path) -> None:
        """Render what endpoints share that follow this path, if there are any."""
        is_followed = bool(self._follows.of((family, asked)))
        if not asked.is_inline:
            chain = group_chain(asked, self._settings) if is_followed else None
            self._ledgers[family].put_chain(asked.group_chain, chain)
        keys = [step.key for step in asked.steps if step.known] if is_followed else []
        uses = ((family, asked.direction, key) for key in keys)
        turned = self._asks.replace((family, asked), uses)
        self._due_judges |= {key for _, _, key in turned}

    def _put_judge(self, key: RulesKey) -> None:
        """Render the chains of a policy or profile, where it is asked."""
        held = held_rules(key, self._policies, self._profiles)
        for direction in DIRECTIONS:
            one = None if held is None else judge(key, held, direction, self._sets.kinds)
            put(self._refusals, (key, direction), one.refusal if one and one.refusal else None)
            name = names.rules_chain(key, direction)
            for family, ledger in self._ledgers.items():
                chain = None
                if one is not None and self._asks.of((family, direction, key)):
                    chain = judge_chain(one, family, self._sets.kinds, self._settings)
                ledger.put_chain(name, chain)

    def _put_fixed(self) -> None:
        """Put what is there before any intent."""
        for family, ledger in self._ledgers.items():
            for name, chain in fixed_chains(family, self._settings).items():
                ledger.put_chain(name, chain)
            for name, shape in fixed_sets(family).items():
                ledger.put_set(name, shape)
        for name, chain in arp_chains().items():
            self._arp.put_chain(name, chain)
        for name, shape in fixed_sets("arp").items():
            self._arp.put_set(name, shape)
        self._put_source_check()
        self._put_pools()

    def _put_source_check(self) -> None:
        for family, ledger in self._ledgers.items():
            for name, chain in source_check(family, self._sources, self._settings).items():
                ledger.put_chain(name, chain)
            chains = tunnel_chains(family, self._sources, self._tunnels, self._settings)
            for name, chain in chains.items():
                ledger.put_chain(name, chain)

    def _put_hosts(self) -> None:
        """Put the sets of nodes; cost: the nodes."""
        for family, ledger in self._ledgers.items():
            sets = host_sets(family, self._tunnels)
            old, new = (
                self._host_elements.get(family, set()),
                host_elements(family, self._tunnels, self._hosts),
            )
            for name in {*self._host_sets.get(family, {}), *sets}:
                ledger.put_set(name, sets.get(name))
            for name, element in old ^ new:
                ledger.put_entry(name, element, True if (name, element) in new else None)
            self._host_sets[family], self._host_elements[family] = sets, new

    def _put_pools(self) -> None:
        """Put the pools' sets and the masquerade; cost: the pools, which are few."""
        for family, ledger in self._ledgers.items():
            old, new = self._pool_elements.get(family, set()), pool_elements(self._pools, family)
            for set_name, element in old ^ new:
                ledger.put_entry(set_name, element, True if (set_name, element) in new else None)
            self._pool_elements[family] = new
            chain = masquerade(family, self._pools, self._sets.kinds, self._settings)
            ledger.put_chain(names.NAT_OUTGOING, chain)


def _outline(policy: Policy | None) -> tuple[bool, ...] | None:
    """Say what endpoint chains depend on: that it is there, and where it may pass."""
    return None if policy is None else tuple(has_pass(policy, way) for way in DIRECTIONS)


def _named(endpoint: WorkloadEndpoint) -> Iterator[RulesKey]:
    """List the policies and profiles that an endpoint names, asked or not."""
    for tier in endpoint.tiers:
        yield from tier.ingress
        yield from tier.egress
    yield from map(ProfileKey, endpoint.profiles)


def _sets_read(rules: Iterable[Rule]) -> Iterator[str]:
    """List the IP sets that rules refer to."""
    for rule in rules:
        for side in (rule.source, rule.destination):
            yield from side.ip_sets
            yield from side.not_ip_sets
            yield from side.ip_port_sets
            yield from side.named_ports
            yield from side.not_named_ports
