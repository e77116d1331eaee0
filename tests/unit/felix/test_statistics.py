from calico.core.intent.delta import IntentDelta
from calico.core.intent.endpoints import WorkloadEndpoint
from calico.core.intent.keys import EndpointKey, PolicyKey
from calico.core.intent.policies import Policy
from calico.core.model.keys import ResourceKey
from calico.core.model.metadata import Metadata
from calico.core.model.node import Node
from calico.core.nftables.vocabulary import Chain, Rule, Set, TableDelta, Verdict
from calico.felix.statistics import ClusterCounts, NodeCounts
from calico.telemetry.metrics import Metrics

WEB = EndpointKey("k8s", "shop/web", "eth0")
POLICY = PolicyKey("NetworkPolicy", "shop", "web")


def values(metrics):
    lines = (line for line in metrics.exposition().splitlines() if not line.startswith("#"))
    return dict(line.rsplit(" ", 1) for line in lines)


def test_counts_the_cluster():
    metrics = Metrics()
    counts = ClusterCounts(metrics)
    key = ResourceKey("Node", "", "n1")
    counts.set_resource(key, Node(metadata=Metadata(name="n1")))
    counts.set_resource(key, Node(metadata=Metadata(name="n1")))
    counts.set_resource(ResourceKey("IPPool", "", "p"), None)
    assert values(metrics)["felix_cluster_num_hosts"] == "1"
    assert values(metrics)['felix_calc_graph_updates_processed{type="Node"}'] == "2"
    counts.set_resource(key, None)
    assert values(metrics)["felix_cluster_num_hosts"] == "0"


def test_counts_the_node():
    metrics = Metrics()
    counts = NodeCounts(metrics)
    counts.note_intent(
        IntentDelta(
            endpoints={WEB: WorkloadEndpoint("cali1")}, policies={POLICY: Policy("default")}
        )
    )
    assert values(metrics)["felix_active_local_endpoints"] == "1"
    assert values(metrics)["felix_active_local_policies"] == "1"
    counts.note_intent(IntentDelta(endpoints={WEB: None}))
    assert values(metrics)["felix_active_local_endpoints"] == "0"
    assert values(metrics)['felix_int_dataplane_messages{type="endpoint"}'] == "2"


def test_counts_tables():
    metrics = Metrics()
    counts = NodeCounts(metrics)
    rule = Rule((Verdict("drop"),))
    counts.note_table("ip", TableDelta(chains={"a": Chain((rule, rule)), "b": Chain((rule,))}))
    counts.note_table("ip", TableDelta(chains={"a": None}, sets={"s": Set(("saddr",))}))
    counts.note_table("arp", TableDelta(chains={"a": Chain((rule,))}))
    found = values(metrics)
    assert found['felix_nft_chains{ip_version="4"}'] == "1"
    assert found['felix_nft_rules{ip_version="4"}'] == "1"
    assert found['felix_nft_sets{ip_version="4"}'] == "1"
    assert not any('ip_version="6"' in name for name in found)
