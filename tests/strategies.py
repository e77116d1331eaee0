"""What properties draw from: alphabets so small that everything collides with everything.

    updates = {key: resource or None}      batches = lists of updates, each to be one flush

Two labels with two values, a handful of overlapping addresses, three profiles, names that two
records fight over. Collisions are where incremental code goes wrong.
"""

from hypothesis import strategies as st

from calico.core.model.block import Attribute, Block
from calico.core.model.endpoint import (
    EndpointPort,
    HostEndpoint,
    HostEndpointSpec,
    QoSControls,
    WorkloadEndpoint,
    WorkloadEndpointPort,
    WorkloadEndpointSpec,
)
from calico.core.model.keys import BlockKey, ResourceKey
from calico.core.model.metadata import Metadata
from calico.core.model.network_set import (
    GlobalNetworkSet,
    GlobalNetworkSetSpec,
    NetworkSet,
    NetworkSetSpec,
)
from calico.core.model.node import Node, NodeAddress, NodeBGPSpec, NodeSpec
from calico.core.model.policy import (
    GlobalNetworkPolicy,
    GlobalNetworkPolicySpec,
    NetworkPolicy,
    NetworkPolicySpec,
)
from calico.core.model.pool import IPPool, IPPoolSpec
from calico.core.model.profile import Profile, ProfileSpec
from calico.core.model.rule import (
    EntityRule,
    ICMPFields,
    Rule,
    RuleMetadata,
    ServiceAccountMatch,
    ServiceMatch,
)
from calico.core.model.tier import Tier, TierSpec
from calico.core.selector.ast import (
    All,
    And,
    Contains,
    EndsWith,
    Equals,
    Has,
    In,
    Not,
    NotEquals,
    NotIn,
    Or,
    StartsWith,
)

LABEL_KEYS = ("a", "b")
LABEL_VALUES = ("x", "xy", "")
NAMESPACES = ("n1", "n2")
HERE, THERE = "here", "there"
PROFILES = ("p1", "p2", "kns.n1", "projectcalico-default-allow")
TIERS = ("t1", "t2", "default")
ADDRESSES = ("10.0.0.1", "10.0.0.2", "10.1.0.1", "fd00::1")
CIDRS = (
    "0.0.0.0/0",
    "0.0.0.0/1",
    "10.0.0.0/8",
    "10.0.0.0/31",
    "10.0.0.1/32",
    "10.1.0.1",
    "10.1.0.0/16",
    "::/0",
    "fd00::/64",
    "FD00::1/128",
)
SELECTORS = (
    "",
    "all()",
    "all()",
    "a == 'x'",
    "a != 'x'",
    "has(b)",
    "!has(a)",
    "a in {'x', 'xy'} || has(b)",
    "a starts with 'x' && b not in {'x'}",
    "pcns.ns == 'n1'",
    "projectcalico.org/namespace == 'n2'",
)

labels = st.dictionaries(st.sampled_from(LABEL_KEYS), st.sampled_from(LABEL_VALUES))
profile_names = st.lists(st.sampled_from(PROFILES), max_size=2).map(tuple)
order = st.sampled_from((None, 1.0, 2.0))


def few(elements, most=2, least=0):
    return st.lists(elements, min_size=least, max_size=most).map(tuple)


@st.composite
def rarely(draw, rare, usual):
    """Draw the rare value one time in eight; `usual` may be a strategy."""
    if draw(st.integers(0, 7)) == 7:
        return rare
    return draw(usual) if isinstance(usual, st.SearchStrategy) else usual


def _one_label(test, values):
    return st.builds(test, st.sampled_from(LABEL_KEYS), values)


one_value = st.sampled_from(LABEL_VALUES)
some_values = st.sets(one_value).map(lambda values: tuple(sorted(values)))


selectors = st.recursive(
    st.one_of(
        st.just(All()),
        st.builds(Has, st.sampled_from(LABEL_KEYS)),
        *(
            _one_label(test, one_value)
            for test in (Equals, NotEquals, Contains, StartsWith, EndsWith)
        ),
        *(_one_label(test, some_values) for test in (In, NotIn)),
    ),
    lambda inner: st.one_of(
        st.builds(Not, inner),
        st.builds(And, st.tuples(inner, inner)),
        st.builds(Or, st.tuples(inner, inner)),
    ),
    max_leaves=4,
)
selector_texts = st.sampled_from(SELECTORS)

any_side = st.builds(
    EntityRule,
    nets=rarely(("10.9.9.9/8", "fd00::/64"), st.sampled_from(((), ("192.0.2.1",)))),
    not_nets=rarely(("10.0.0.0/31",), ()),
    selector=selector_texts,
    not_selector=st.sampled_from(("", "", "a == 'x'", "has(b)")),
    namespace_selector=st.sampled_from(("", "", "all()", "global()", "ns == 'n1'")),
    ports=few(st.sampled_from((80, "1:9", "http", "dns"))),
    not_ports=few(st.sampled_from((443, "http")), 1),
    service_accounts=st.sampled_from(
        (None, None, ServiceAccountMatch(names=("s1",)), ServiceAccountMatch(selector="has(a)"))
    ),
    services=rarely(ServiceMatch("svc", "n1"), None),
)
sides = st.one_of(
    st.builds(EntityRule, selector=selector_texts),
    st.builds(EntityRule, selector=selector_texts, ports=st.just(("http",))),
    st.builds(EntityRule, not_selector=selector_texts),
    st.just(EntityRule()),
    any_side,
)
rules = st.builds(
    Rule,
    action=st.sampled_from(("Allow", "Deny", "Log", "Pass")),
    ip_version=st.sampled_from((None, None, 4, 6)),
    protocol=st.sampled_from((None, "TCP", "UDP", 6, "ICMP", "ICMPv6", 1)),
    icmp=st.sampled_from((None, None, ICMPFields(8), ICMPFields())),
    source=sides,
    destination=sides,
    metadata=st.sampled_from((None, None, RuleMetadata({"z": "1", "y": "2"}))),
)
directions = st.sampled_from(((), ("Ingress",), ("Egress",), ("Ingress", "Egress")))
hints = rarely(("AssumeNeededOnEveryNode",), ())


@st.composite
def workload_endpoints(draw):
    namespace, node = draw(st.sampled_from(NAMESPACES)), draw(st.sampled_from((HERE, HERE, THERE)))
    pod = draw(st.sampled_from(("w1", "w2")))
    name = f"{node}-k8s-{pod}-eth0"
    spec = WorkloadEndpointSpec(
        orchestrator="k8s",
        node=node,
        pod=pod,
        endpoint="eth0",
        service_account_name=draw(st.sampled_from(("", "s1"))),
        ip_networks=draw(
            few(st.sampled_from(ADDRESSES).map(_as_host_cidr), least=draw(rarely(0, 1)))
        ),
        profiles=draw(profile_names),
        interface_name=draw(rarely("", st.sampled_from(("cali1", "cali2")))),
        ports=draw(few(workload_ports)),
        allow_spoofed_source_prefixes=draw(rarely(("10.0.0.0/8",), ())),
        qos_controls=draw(st.sampled_from((None, QoSControls(ingress_packet_rate=5)))),
    )
    metadata = Metadata(name=name, namespace=namespace, labels=draw(labels))
    return ResourceKey("WorkloadEndpoint", namespace, name), WorkloadEndpoint(
        metadata=metadata, spec=spec
    )


def _as_host_cidr(address):
    return f"{address}/{128 if ':' in address else 32}"


workload_ports = st.builds(
    WorkloadEndpointPort,
    name=st.sampled_from(("", "http", "dns")),
    protocol=st.sampled_from(("TCP", "UDP", 6)),
    port=st.sampled_from((80, 53)),
)
host_ports = st.builds(
    EndpointPort,
    name=st.sampled_from(("http", "dns")),
    protocol=st.sampled_from(("TCP", "UDP")),
    port=st.sampled_from((80, 53)),
)


def named(kind, names, namespaces=("",), **parts):
    """Draw a key and a resource of a kind whose spec is built of parts."""
    resource_type, spec_type = kind

    @st.composite
    def pair(draw):
        name, namespace = draw(st.sampled_from(names)), draw(st.sampled_from(namespaces))
        metadata = Metadata(name=name, namespace=namespace, labels=draw(labels))
        spec = draw(st.builds(spec_type, **parts))
        resource = resource_type(metadata=metadata, spec=spec)
        return ResourceKey(resource_type.__name__, namespace, name), resource

    return pair()


host_endpoints = named(
    (HostEndpoint, HostEndpointSpec),
    ("h1", "h2"),
    node=st.sampled_from((HERE, THERE)),
    interface_name=st.just("eth0"),
    expected_ips=few(st.sampled_from(ADDRESSES)),
    profiles=profile_names,
    ports=few(host_ports, 1),
)
network_sets = named(
    (NetworkSet, NetworkSetSpec), ("s1", "s2"), NAMESPACES, nets=few(st.sampled_from(CIDRS), 3)
)
global_network_sets = named(
    (GlobalNetworkSet, GlobalNetworkSetSpec), ("s1", "s2"), nets=few(st.sampled_from(CIDRS), 3)
)
network_policies = named(
    (NetworkPolicy, NetworkPolicySpec),
    ("a", "a-b"),
    NAMESPACES,
    tier=st.sampled_from(("", *TIERS)),
    order=order,
    ingress=few(rules, 1),
    egress=few(rules, 1),
    selector=selector_texts,
    types=directions,
    service_account_selector=st.sampled_from(("", "", "has(sa)")),
    performance_hints=hints,
)
global_network_policies = named(
    (GlobalNetworkPolicy, GlobalNetworkPolicySpec),
    ("a", "a-b"),
    tier=st.sampled_from(("", *TIERS)),
    order=order,
    ingress=few(rules, 1),
    egress=few(rules, 1),
    selector=selector_texts,
    types=directions,
    do_not_track=rarely(True, False),
    pre_dnat=rarely(True, False),
    namespace_selector=st.sampled_from(("", "", "all()", "ns == 'n1'")),
    performance_hints=hints,
)
tiers = named(
    (Tier, TierSpec),
    TIERS,
    order=order,
    default_action=st.sampled_from((None, "Deny", "Pass")),
)
profiles = named(
    (Profile, ProfileSpec),
    PROFILES,
    ingress=few(rules, 1),
    egress=few(rules, 1),
    labels_to_apply=st.dictionaries(
        st.sampled_from(("a", "pcns.ns", "pcsa.sa")), st.sampled_from(("x", "n1"))
    ),
)
pools = named(
    (IPPool, IPPoolSpec),
    ("i1", "i2"),
    cidr=st.sampled_from(("10.0.0.0/16", "10.1.0.0/16", "fd00::/64")),
    nat_outgoing=st.booleans(),
    allowed_uses=st.sampled_from(((), ("Workload", "Tunnel"), ("LoadBalancer",))),
    vxlan_mode=st.sampled_from(("", "Never", "Always", "CrossSubnet")),
    ipip_mode=st.sampled_from(("", "Never", "Always", "CrossSubnet")),
)
NODE_NAMES = (HERE, THERE, "third")
nodes = named(
    (Node, NodeSpec),
    NODE_NAMES,
    bgp=st.one_of(
        st.none(),
        st.just(NodeBGPSpec()),
        st.builds(
            NodeBGPSpec,
            ipv4_address=st.sampled_from(("", "192.0.2.1/24", "192.0.2.2/24", "198.51.100.1/24")),
            ipv6_address=st.sampled_from(("", "2001:db8::1/64", "2001:db8::2/64")),
            ipv4_ipip_tunnel_addr=st.sampled_from(("", "10.0.0.1", "10.1.0.1")),
        ),
    ),
    ipv4_vxlan_tunnel_addr=st.sampled_from(("", "10.0.0.1", "10.0.0.2", "10.1.0.1", "no address")),
    ipv6_vxlan_tunnel_addr=st.sampled_from(("", "fd00::1")),
    vxlan_tunnel_mac_addr=st.sampled_from(("", "66:00:00:00:00:01")),
    addresses=few(st.builds(NodeAddress, st.just("203.0.113.9"), st.just("InternalIP")), 1),
)
resources = st.one_of(
    workload_endpoints(),
    workload_endpoints(),
    workload_endpoints(),
    host_endpoints,
    network_sets,
    global_network_sets,
    network_policies,
    network_policies,
    global_network_policies,
    tiers,
    profiles,
    pools,
    nodes,
)
updates = st.tuples(resources, st.sampled_from((True, True, True, False))).map(
    lambda drawn: (drawn[0][0], drawn[0][1] if drawn[1] else None)
)
some_updates = st.lists(updates, min_size=1, max_size=4)
whole_worlds = st.lists(resources, min_size=4, max_size=16)
# Most of a story happens in a world that is already there.
batches = st.tuples(whole_worlds, st.lists(some_updates, max_size=8)).map(
    lambda drawn: [drawn[0], *drawn[1]]
)


@st.composite
def blocks(draw):
    """A block of four addresses, or of one that may lie in another."""
    cidr = draw(st.sampled_from(("10.0.0.0/30", "10.0.0.1/32", "10.1.0.0/30", "fd00::/126")))
    owner = draw(st.sampled_from((None, "virtual:x", *(f"host:{name}" for name in NODE_NAMES))))
    holders = draw(few(st.sampled_from((*NODE_NAMES, "unknown", "")), 2))
    count = 1 if cidr.endswith("/32") else 4
    allocations = st.sampled_from((None, *range(len(holders))))
    block = Block(
        cidr=cidr,
        affinity=owner,
        allocations=tuple(draw(allocations) for _ in range(count)),
        unallocated=(),
        attributes=tuple(Attribute("h", {"node": name} if name else None) for name in holders),
    )
    return BlockKey(cidr), block


block_updates = st.tuples(blocks(), st.booleans()).map(
    lambda drawn: (drawn[0][0], drawn[0][1] if drawn[1] else None)
)
node_updates = st.tuples(nodes, st.sampled_from((True, True, False))).map(
    lambda drawn: (drawn[0][0], drawn[0][1] if drawn[1] else None)
)
pool_updates = st.tuples(pools, st.sampled_from((True, True, False))).map(
    lambda drawn: (drawn[0][0], drawn[0][1] if drawn[1] else None)
)
place_updates = st.lists(
    st.one_of(block_updates, node_updates, pool_updates, updates), min_size=1, max_size=6
)
