"""RuleSets equals its definition, whatever the story of changes."""

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from calico.core.intent.delta import Intent, IntentDelta
from calico.core.intent.endpoints import QosControls, Tier, WorkloadEndpoint
from calico.core.intent.ip_sets import IpSet
from calico.core.intent.keys import EndpointKey, PolicyKey
from calico.core.intent.nat import Pool
from calico.core.intent.policies import IcmpMatch, Policy, Profile, Rule, Side
from calico.core.intent.tunnels import TunnelEnd
from calico.core.nftables.vocabulary import Dispatch, InSet, Verdict
from calico.core.render.ruleset import RuleSets, rule_sets
from calico.core.render.settings import RenderSettings

# Small alphabets, so that things meet: four policies, two profiles, three interfaces ...
POLICIES = (
    PolicyKey("NetworkPolicy", "shop", "a"),
    PolicyKey("GlobalNetworkPolicy", "", "a"),
    PolicyKey("StagedNetworkPolicy", "shop", "a"),
    PolicyKey("GlobalNetworkPolicy", "", "b"),
)
PROFILES = ("kns.shop", "a")
ENDPOINTS = tuple(EndpointKey("k8s", f"shop/{name}", "eth0") for name in "xyz")
SETS = ("s:1", "s:2", "n:1", "all-hosts-net")
ADDRESSES = ("10.0.0.1", "10.0.0.2", "fd00::1")
NETS = ("10.0.0.0/8", "10.1.0.0/16", "fd00::/8", "0.0.0.0/0")
PORTS = ("10.0.0.1,tcp:80", "fd00::1,udp:53")

some = st.sampled_from


def few(strategy, size=2, at_least=0):
    return st.lists(strategy, min_size=at_least, max_size=size, unique=True).map(tuple)


members = {"address": ADDRESSES, "net": (*ADDRESSES, "10.1.0.0/16"), "address_port": PORTS}
ip_sets = some(tuple(members)).flatmap(
    lambda kind: st.builds(IpSet, st.just(kind), st.frozensets(some(members[kind])))
)
plain = st.just(Side())
reading = st.builds(Side, ip_sets=some([SETS[:1], SETS[:1], SETS[:2]]), nets=few(some(NETS), 1))
on_ports = st.builds(
    Side,
    not_nets=few(some(NETS), 1),
    ports=few(some([(80, 80), (80, 90), (0, 65535)])),
    named_ports=few(some(SETS[2:3]), 1),
)
rules = st.builds(
    Rule,
    action=some(["Allow", "Deny", "Log", "Pass", "Pass"]),
    ip_version=some([None, None, 4, 6]),
    protocol=some([None, None, 1, 6]),
    not_icmp=some([None, None, IcmpMatch(8, 0)]),
    source=plain | reading,
    destination=plain | on_ports,
)
some_rules = few(rules, at_least=1)
policies = st.builds(Policy, st.just("default"), some_rules, some_rules)
profiles = st.builds(Profile, few(rules, 1), few(rules, 1))
judged = few(some(POLICIES), at_least=1)
tiers = st.builds(Tier, some(["default", "t"]), some(["Deny", "Pass"]), judged, judged)
endpoints = st.builds(
    WorkloadEndpoint,
    interface=some(["cali1", "cali2", "cali1", "", "much-too-long-a-name"]),
    ipv4_addresses=some([("10.0.0.1",), ("10.0.0.1",), ()]),
    ipv6_addresses=some([("fd00::1",), ()]),
    tiers=few(tiers, at_least=1),
    profiles=few(some(PROFILES)),
    allowed_source_prefixes=few(some(NETS[:3]), 1),
    qos=st.builds(QosControls, ingress_packet_rate=some([None, None, 5])),
)
pools = st.builds(Pool, some(NETS[:3]), st.booleans(), st.booleans())
ONE = {  # what a delta may bring: where, which keys, which values
    "ip_sets": (some((SETS[0], *SETS)), ip_sets),
    "policies": (some(POLICIES), policies),
    "profiles": (some(PROFILES), profiles),
    "endpoints": (some(ENDPOINTS), endpoints),
    "tunnels": (
        some(["vxlan4", "vxlan6"]),
        st.builds(TunnelEnd, some(ADDRESSES), some(["", "10.0.0.9"])),
    ),
    "hosts": (some(ADDRESSES), st.just(True)),
}


@st.composite
def changes(draw):
    """One change: most are of things that exist by now, since there are few names."""
    part = draw(some([*ONE, "policies", "members", "pools"]))
    if part == "members":
        member = draw(st.tuples(some(SETS), some((*ADDRESSES, *PORTS))))
        return part, member, draw(some([True, None]))
    if part == "pools":
        pool = draw(pools)
        return part, pool.cidr, draw(st.just(pool) | st.just(pool) | st.none())
    key, value = ONE[part]
    return part, draw(key), draw(value | value | value | st.none())


def delta(rows):
    """Put changes into one delta; the last of a key counts."""
    parts = {}
    for part, key, value in rows:
        parts.setdefault(part, {})[key] = value
    return IntentDelta(**parts)


# A world to begin with, so that changes meet something.
starts = st.builds(
    IntentDelta,
    endpoints=st.fixed_dictionaries(dict.fromkeys(ENDPOINTS[:2], endpoints)),
    policies=st.fixed_dictionaries(dict.fromkeys(POLICIES[:2], policies)),
    ip_sets=st.fixed_dictionaries(dict.fromkeys((SETS[0], SETS[3]), ip_sets)),
    pools=st.just({"10.0.0.0/8": Pool("10.0.0.0/8", nat_outgoing=True)}),
)
deltas = st.lists(changes(), min_size=1, max_size=3).map(delta)


def put(table, changes):
    for key, value in changes.items():
        if value is None:
            table.pop(key, None)
        else:
            table[key] = value


class World:
    """The intent so far; knows which member changes are legal."""

    def __init__(self):
        self.parts = {
            name: {}
            for name in (
                *("ip_sets", "policies", "profiles", "endpoints", "pools"),
                *("tunnels", "hosts"),
            )
        }

    def accept(self, delta):
        """Return the delta without member changes that no computation would send."""
        for name, table in self.parts.items():
            put(table, getattr(delta, name))
        sets = self.parts["ip_sets"]
        legal = {}
        for (set_id, member), value in delta.members.items():
            held = sets.get(set_id)
            if held is None or member not in members[held.kind]:
                continue
            legal[set_id, member] = value
            changed = held.members | {member} if value else held.members - {member}
            sets[set_id] = IpSet(held.kind, changed)
        return replace(delta, members=legal)

    @property
    def intent(self):
        return Intent(**{name: dict(table) for name, table in self.parts.items()})


class Kernel:
    """Applies table deltas as their contract says."""

    def __init__(self):
        self.chains, self.sets, self.elements = {}, {}, {}

    def apply(self, delta):
        for name, shape in delta.sets.items():
            assert shape != self.sets.get(name), f"set {name} had not changed"
            if shape is None:
                self.elements = {k: v for k, v in self.elements.items() if k[0] != name}
        for name, chain in delta.chains.items():
            assert chain != self.chains.get(name), f"chain {name} had not changed"
        put(self.chains, delta.chains)
        put(self.sets, delta.sets)
        put(self.elements, delta.elements)

    @property
    def expressions(self):
        for chain in self.chains.values():
            for rule in chain.rules:
                yield from rule.expressions

    def jumps(self):
        """Where rules and maps lead."""
        verdicts = [one for one in self.expressions if isinstance(one, Verdict)]
        verdicts += [value for value in self.elements.values() if isinstance(value, Verdict)]
        return {verdict.chain for verdict in verdicts if verdict.chain}

    def lookups(self):
        """What sets and maps rules ask."""
        sets = {one.set_name for one in self.expressions if isinstance(one, InSet)}
        return sets | {one.map_name for one in self.expressions if isinstance(one, Dispatch)}


settings = st.builds(
    RenderSettings,
    ipv6=st.booleans(),
    source_spoofing=st.booleans(),
    nat_exclude_hosts=st.booleans(),
    interface_prefixes=some([("cali",), ("cali", "tap")]),
)


@given(starts, st.lists(st.lists(deltas, min_size=1, max_size=2), max_size=6), settings)
def test_equals_its_definition(first, batches, chosen):
    view, world, kernels = RuleSets(chosen), World(), {}
    for batch in [[first], *batches, [IntentDelta()]]:
        for delta in batch:
            view.feed(world.accept(delta))
        for family, delta in view.flush().items():
            kernels.setdefault(family, Kernel()).apply(delta)
        wanted = rule_sets(world.intent, chosen)
        assert set(kernels) == set(wanted)
        for family, table in wanted.items():
            kernel = kernels[family]
            assert kernel.chains == table.chains
            assert kernel.sets == table.sets
            assert kernel.elements == table.elements
            assert kernel.jumps() <= set(kernel.chains), "a jump to a chain that is not there"
            assert kernel.lookups() <= set(kernel.sets), "a lookup in a set that is not there"
        assert view.flush() == {}
