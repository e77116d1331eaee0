"""Named states of the datastore, the intent of each, and every walk between them.

The walks hold the graph to the definition; the notes on each world hold the definition to what
Calico does.
"""

import pytest

from calico.core.calc.graph import Graph, computed
from calico.core.calc.intended import intended
from calico.core.intent.endpoints import Tier
from calico.core.intent.ip_sets import IpSet
from calico.core.intent.keys import EndpointKey, PolicyKey
from calico.core.intent.nat import Pool
from calico.core.intent.policies import Profile, Rule
from calico.core.model import rule as model
from calico.core.model.endpoint import WorkloadEndpoint, WorkloadEndpointPort, WorkloadEndpointSpec
from calico.core.model.keys import ResourceKey
from calico.core.model.metadata import Metadata
from calico.core.model.network_set import (
    GlobalNetworkSet,
    GlobalNetworkSetSpec,
    NetworkSet,
    NetworkSetSpec,
)
from calico.core.model.policy import (
    GlobalNetworkPolicy,
    GlobalNetworkPolicySpec,
    NetworkPolicy,
    NetworkPolicySpec,
    StagedNetworkPolicy,
    StagedNetworkPolicySpec,
)
from calico.core.model.pool import IPPool, IPPoolSpec
from calico.core.model.profile import Profile as ProfileRecord
from calico.core.model.profile import ProfileSpec
from calico.core.model.tier import Tier as TierRecord
from calico.core.model.tier import TierSpec
from worlds import CUTS, PATHS, Believer

NODE = "node-a"
WEB = EndpointKey("k8s", "shop/web", "eth0")
WEB_POLICY = PolicyKey("NetworkPolicy", "shop", "web")
ALLOW_ALL = (model.Rule(action="Allow"),)


def world(*records):
    return {ResourceKey(r.kind, r.metadata.namespace, r.metadata.name): r for r in records}


def pod(name, address, node=NODE, namespace="shop", **labels):
    spec = WorkloadEndpointSpec(
        orchestrator="k8s",
        node=node,
        pod=name,
        endpoint="eth0",
        ip_networks=(address,),
        profiles=(f"kns.{namespace}",),
        interface_name=f"cali-{name}",
        ports=(WorkloadEndpointPort("sql", "TCP", 5432), WorkloadEndpointPort("", "TCP", 1)),
    )
    record_name = f"{node.replace('-', '--')}-k8s-{name.replace('-', '--')}-eth0"
    metadata = Metadata(name=record_name, namespace=namespace, labels=labels)
    return WorkloadEndpoint(metadata=metadata, spec=spec)


def namespace(name, **labels):
    given = {"pcns.projectcalico.org/name": name, **{f"pcns.{k}": v for k, v in labels.items()}}
    spec = ProfileSpec(ingress=ALLOW_ALL, egress=ALLOW_ALL, labels_to_apply=given)
    return ProfileRecord(metadata=Metadata(name=f"kns.{name}"), spec=spec)


def policy(name, ingress=(), **parts):
    spec = NetworkPolicySpec(**{"ingress": ingress, "types": ("Ingress",), **parts})
    return NetworkPolicy(metadata=Metadata(name=name, namespace="shop"), spec=spec)


def global_policy(name, **parts):
    spec = GlobalNetworkPolicySpec(**parts)
    return GlobalNetworkPolicy(metadata=Metadata(name=name), spec=spec)


def tier(name, order, action="Deny"):
    return TierRecord(metadata=Metadata(name=name), spec=TierSpec(order, action))


def allow_from(**side):
    return (model.Rule(action="Allow", source=model.EntityRule(**side)),)


WEB_POD = pod("web", "10.0.0.1/32", app="web")
DB_POD = pod("db", "10.0.0.2/32", node="node-b", app="db")
OTHER_POD = pod("db", "10.0.1.2/32", node="node-b", namespace="bank", app="db")
SHOP, BANK = namespace("shop", team="a"), namespace("bank", team="b")
DB_IN = policy("web", allow_from(selector="app == 'db'"))
DB_IN_EVERYWHERE = policy("web", allow_from(selector="app == 'db'", namespace_selector="all()"))
OUTSIDE = GlobalNetworkSet(
    metadata=Metadata(name="outside", labels={"app": "db"}),
    spec=GlobalNetworkSetSpec(("192.0.2.0/24", "192.0.2.7/32")),
)
AROUND = NetworkSet(
    metadata=Metadata(name="around", namespace="shop", labels={"app": "db"}),
    spec=NetworkSetSpec(("10.0.0.0/24", "0.0.0.0/0")),
)

WORLDS = {
    "one pod": world(WEB_POD, SHOP),
    "one pod, its profile missing": world(WEB_POD),
    "a policy of its namespace": world(WEB_POD, SHOP, DB_POD, OTHER_POD, BANK, DB_IN),
    "a policy over namespaces": world(WEB_POD, SHOP, DB_POD, OTHER_POD, BANK, DB_IN_EVERYWHERE),
    "a set of hosts and a CIDR": world(WEB_POD, SHOP, DB_POD, AROUND, DB_IN),
    "a global set is in no namespace": world(WEB_POD, SHOP, OUTSIDE, DB_IN),
    "named ports": world(
        DB_POD,
        OTHER_POD,
        global_policy(
            "sql",
            ingress=(
                model.Rule(
                    action="Allow",
                    protocol="TCP",
                    destination=model.EntityRule(ports=("sql",), selector="app == 'db'"),
                ),
            ),
            performance_hints=("AssumeNeededOnEveryNode",),
        ),
    ),
    "tiers": world(
        WEB_POD,
        SHOP,
        tier("late", 20.0, "Pass"),
        tier("early", 10.0),
        policy("early.b", tier="early", order=1.0),
        policy("early.a", tier="early"),
        policy("late.p", tier="late", types=("Egress",)),
        policy("lost.p", tier="lost"),
        policy("elsewhere", selector="app == 'db'"),
    ),
    "a policy that every node needs": world(
        global_policy(
            "everywhere",
            selector="nobody == ''",
            ingress=ALLOW_ALL,
            performance_hints=("AssumeNeededOnEveryNode",),
        ),
        global_policy("nowhere", selector="nobody == ''", ingress=ALLOW_ALL),
    ),
    "policies that are not for workloads": world(
        WEB_POD,
        SHOP,
        global_policy("raw", do_not_track=True, apply_on_forward=True, ingress=ALLOW_ALL),
        global_policy("early", pre_dnat=True, apply_on_forward=True, ingress=ALLOW_ALL),
        StagedNetworkPolicy(
            metadata=Metadata(name="trial", namespace="shop"),
            spec=StagedNetworkPolicySpec(tier="default", types=("Ingress",)),
        ),
    ),
    "pools": world(
        IPPool(
            metadata=Metadata(name="a"),
            spec=IPPoolSpec("10.0.0.0/16", nat_outgoing=True, allowed_uses=("Workload",)),
        ),
        IPPool(metadata=Metadata(name="b"), spec=IPPoolSpec("10.0.0.0/16")),
        IPPool(
            metadata=Metadata(name="c"),
            spec=IPPoolSpec("192.0.2.0/24", allowed_uses=("LoadBalancer",)),
        ),
    ),
}


def intent_of(name):
    return intended(WORLDS[name], NODE)


def only_set(name):
    (only,) = intent_of(name).ip_sets.values()
    return only


@pytest.mark.parametrize("cut", CUTS, ids=lambda cut: cut.__name__)
@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.__name__)
def test_every_walk_ends_where_the_definition_says(path, cut):
    graph, believer = Graph(NODE), Believer()
    for updates, at in cut(path(list(WORLDS.values()))):
        for key, value in updates:
            graph.set_resource(key, value)
        believer.apply(graph.flush())
        believer.expect(intended(at, NODE))


@pytest.mark.parametrize("name", WORLDS)
def test_the_fast_answer_is_the_same(name):
    assert computed(WORLDS[name], NODE) == intent_of(name)


def test_one_pod():
    intent = intent_of("one pod")
    endpoint = intent.endpoints[WEB]
    assert endpoint.ipv4_addresses == ("10.0.0.1",)
    assert (endpoint.interface, endpoint.tiers) == ("cali-web", ())
    assert intent.profiles == {"kns.shop": Profile((Rule("Allow"),), (Rule("Allow"),))}


def test_a_missing_profile_denies():
    intent = intent_of("one pod, its profile missing")
    assert intent.profiles == {"kns.shop": Profile((Rule("Deny"),), (Rule("Deny"),))}


def test_a_selector_stays_in_its_namespace_unless_told():
    assert only_set("a policy of its namespace") == IpSet("address", frozenset({"10.0.0.2"}))
    expected = IpSet("address", frozenset({"10.0.0.2", "10.0.1.2"}))
    assert only_set("a policy over namespaces") == expected
    assert only_set("a global set is in no namespace").members == frozenset()


def test_a_cidr_makes_the_set_one_of_nets_without_overlaps():
    expected = IpSet("net", frozenset({"0.0.0.0/1", "128.0.0.0/1"}))
    assert only_set("a set of hosts and a CIDR") == expected


def test_a_named_port_is_of_whoever_the_selector_matches():
    expected = IpSet("address_port", frozenset({"10.0.0.2,tcp:5432", "10.0.1.2,tcp:5432"}))
    assert only_set("named ports") == expected


def test_tiers():
    def key(name):
        return PolicyKey("NetworkPolicy", "shop", name)

    assert intent_of("tiers").endpoints[WEB].tiers == (
        Tier("early", "Deny", ingress=(key("early.b"), key("early.a"))),
        Tier("late", "Pass", egress=(key("late.p"),)),
        Tier("lost", "Deny", ingress=(key("lost.p"),)),
    )
    assert key("elsewhere") not in intent_of("tiers").policies


def test_only_needed_policies_are_there():
    everywhere = PolicyKey("GlobalNetworkPolicy", "", "everywhere")
    assert set(intent_of("a policy that every node needs").policies) == {everywhere}
    intent = intent_of("policies that are not for workloads")
    assert (intent.policies, intent.endpoints[WEB].tiers) == ({}, ())


def test_of_two_pools_with_one_cidr_the_smaller_name_counts():
    assert intent_of("pools").pools == {
        "10.0.0.0/16": Pool("10.0.0.0/16", nat_outgoing=True),
        "192.0.2.0/24": Pool("192.0.2.0/24", workloads=False),
    }
