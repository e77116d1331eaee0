"""The graph as its users see it."""

from calico.core.calc.graph import Graph
from calico.core.calc.policy_records import DEFAULT_ALLOW
from calico.core.intent.delta import IntentDelta
from calico.core.model.endpoint import WorkloadEndpoint, WorkloadEndpointSpec
from calico.core.model.keys import ResourceKey
from calico.core.model.metadata import Metadata
from calico.core.model.network_set import GlobalNetworkSet, GlobalNetworkSetSpec
from calico.core.model.node import Node
from calico.core.model.policy import GlobalNetworkPolicy, GlobalNetworkPolicySpec
from calico.core.model.profile import Profile, ProfileSpec
from calico.core.model.rule import EntityRule, Rule

FROM_ALL = (Rule(action="Allow", source=EntityRule(selector="has(a)")),)
POD = WorkloadEndpoint(
    metadata=Metadata(name="here-k8s-w-eth0", namespace="n", labels={"a": "1"}),
    spec=WorkloadEndpointSpec(
        orchestrator="k8s",
        node="here",
        pod="w",
        endpoint="eth0",
        ip_networks=("10.0.0.1/32",),
        profiles=("p",),
        interface_name="cali1",
    ),
)
RECORDS = (
    POD,
    Profile(metadata=Metadata(name="p"), spec=ProfileSpec(labels_to_apply={"b": "1"})),
    GlobalNetworkPolicy(
        metadata=Metadata(name="g"), spec=GlobalNetworkPolicySpec(ingress=FROM_ALL)
    ),
    GlobalNetworkSet(
        metadata=Metadata(name="s", labels={"a": "1"}),
        spec=GlobalNetworkSetSpec(("10.0.0.0/8",)),
    ),
)
KEYS = [ResourceKey(r.kind, r.metadata.namespace, r.metadata.name) for r in RECORDS]


def remembered(view, name=""):
    """Yield what a view still holds, by the name of its table."""
    for attribute, value in getattr(view, "__dict__", {}).items():
        path = f"{name}.{attribute}"
        if isinstance(value, dict | set):
            if value:
                yield path, value
        elif type(value).__module__.startswith("calico.core.calc"):
            yield from remembered(value, path)


def test_what_is_gone_is_forgotten():
    graph = Graph("here")
    for key, record in zip(KEYS, RECORDS, strict=True):
        graph.set_resource(key, record)
    assert graph.flush().ip_sets
    for key in KEYS:
        graph.set_resource(key, None)
    graph.flush()
    left = dict(remembered(graph))
    assert left.pop("._rules._profiles").keys() == {DEFAULT_ALLOW}
    assert left == {}


def test_nothing_new_is_an_empty_delta():
    graph = Graph("here")
    assert graph.flush() == IntentDelta()
    graph.set_resource(KEYS[0], POD)
    graph.flush()
    assert graph.flush() == IntentDelta()


def test_other_kinds_and_unknown_removals_are_ignored():
    graph = Graph("here")
    graph.set_resource(ResourceKey("Node", "", "x"), Node())
    for key in KEYS:
        graph.set_resource(key, None)
    assert graph.flush() == IntentDelta()
