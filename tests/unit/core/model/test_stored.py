"""What is filled in, forced and undone between users and the datastore."""

import msgspec
import pytest

from calico.core.model.codec import decode
from calico.core.model.defaults import with_defaults
from calico.core.model.endpoint import WorkloadEndpoint, WorkloadEndpointSpec
from calico.core.model.metadata import Metadata
from calico.core.model.policy import NetworkPolicy, NetworkPolicySpec
from calico.core.model.problem import InvalidResource
from calico.core.model.profile import default_allow
from calico.core.model.stored import from_record, read_form, stored_form, to_record

RULE = {"action": "Allow"}


def filled(kind, spec, **metadata):
    resource = decode(kind, msgspec.json.encode({"metadata": metadata, "spec": spec}))
    return msgspec.json.decode(to_record(with_defaults(resource)))["spec"]


@pytest.mark.parametrize(
    ("kind", "spec", "added"),
    [
        ("NetworkPolicy", {}, {"tier": "default", "types": ["Ingress"]}),
        ("NetworkPolicy", {"egress": [RULE]}, {"tier": "default", "types": ["Egress"]}),
        (
            "GlobalNetworkPolicy",
            {"tier": "t", "ingress": [RULE], "egress": [RULE]},
            {"types": ["Ingress", "Egress"]},
        ),
        ("GlobalNetworkPolicy", {"tier": "t", "types": ["Egress"]}, {}),
        (
            "StagedNetworkPolicy",
            {},
            {"stagedAction": "Set", "tier": "default", "types": ["Ingress"]},
        ),
        ("StagedGlobalNetworkPolicy", {"stagedAction": "Delete"}, {"tier": "default"}),
        ("StagedKubernetesNetworkPolicy", {"podSelector": {}}, {"stagedAction": "Set"}),
        ("Tier", {}, {"order": 1000000, "defaultAction": "Deny"}),
        ("Tier", {"order": 0, "defaultAction": "Pass"}, {}),
        (
            "IPPool",
            {"cidr": "fd00::/64"},
            {
                "vxlanMode": "Never",
                "ipipMode": "Never",
                "blockSize": 122,
                "nodeSelector": "all()",
                "allowedUses": ["Workload", "Tunnel"],
                "assignmentMode": "Automatic",
            },
        ),
        (
            "FelixConfiguration",
            {"bpfLogLevel": ""},
            {
                "nftablesMode": "Auto",
                "nftablesFlowTableOffload": "Disabled",
                "bpfConnectTimeLoadBalancing": "TCP",
                "bpfHostNetworkedNATWithoutCTLB": "Enabled",
                "floatingIPs": "Disabled",
            },
        ),
        (
            "BGPConfiguration",
            {},
            {"logSeverityScreen": "Info", "serviceLoadBalancerAggregation": "Enabled"},
        ),
        (
            "KubeControllersConfiguration",
            {"prometheusMetricsPort": 0},
            {"healthChecks": "Enabled", "controllers": {}},
        ),
        ("HostEndpoint", {"node": "n"}, {}),
    ],
)
def test_defaults(kind, spec, added):
    assert filled(kind, spec) == {**spec, **added}


def test_defaults_of_the_sections_that_are_there():
    controllers = {"node": {}, "loadBalancer": {}, "migration": {}, "policy": {}}
    assert filled("KubeControllersConfiguration", {"controllers": controllers})["controllers"] == {
        "node": {"leakGracePeriod": "15m0s"},
        "loadBalancer": {"assignIPs": "AllServices"},
        "migration": {"policyNameMigrator": "Enabled"},
        "policy": {},
    }


@pytest.mark.parametrize(("switch", "balancing"), [(True, "Enabled"), (False, "Disabled")])
def test_the_old_switch_of_load_balancing_decides_two_settings(switch, balancing):
    spec = filled("FelixConfiguration", {"bpfConnectTimeLoadBalancingEnabled": switch})
    assert spec["bpfConnectTimeLoadBalancing"] == balancing
    assert spec["bpfHostNetworkedNATWithoutCTLB"] == "Disabled"


@pytest.mark.parametrize(
    ("cidr", "stored"),
    [
        ("FD00:0::/64", "fd00::/64"),
        ("10.0.0.1/8", "10.0.0.1/8"),
        ("10.0.0.1", "10.0.0.1"),
        ("x", "x"),
    ],
)
def test_a_pool_is_stored_in_canonical_text_or_left_to_the_checks(cidr, stored):
    assert filled("IPPool", {"cidr": cidr})["cidr"] == stored


def policy(name="web", tier="default", **metadata):
    return NetworkPolicy(
        metadata=Metadata(name=name, namespace="shop", **metadata),
        spec=NetworkPolicySpec(tier=tier),
    )


def test_a_stored_policy_carries_its_name_and_tier():
    stored = stored_form(
        policy(tier="t1", labels={"projectcalico.org/tier": "x"}, annotations={"a": "b"})
    )
    assert stored.metadata.labels == {"projectcalico.org/tier": "t1"}
    assert stored.metadata.annotations == {
        "a": "b",
        "projectcalico.org/metadata": '{"name":"web"}',
    }


def test_a_revision_is_never_stored():
    record = to_record(policy(resource_version="7", self_link="/x"))
    assert b"resourceVersion" not in record
    assert b"selfLink" not in record
    assert from_record("NetworkPolicy", record, 8).metadata.resource_version == "8"


@pytest.mark.parametrize(
    ("name", "tier", "annotation", "read"),
    [
        ("default.web", "default", '{"name":"default.web"}', "default.web"),
        ("default.web", "", None, "web"),
        ("default.web", "default", None, "web"),
        ("default.web", "default", "", "web"),
        ("default.web", "t1", None, "default.web"),
        ("t1.web", "t1", None, "t1.web"),
        ("key", "t1", '{"name":"given","uid":"x"}', "given"),
    ],
)
def test_names_as_users_see_them(name, tier, annotation, read):
    annotations = {} if annotation is None else {"projectcalico.org/metadata": annotation}
    seen = read_form(policy(name, tier, annotations=annotations))
    assert seen.metadata.name == read
    assert seen.metadata.labels == {"projectcalico.org/tier": "default"}
    if annotation:
        assert seen.metadata.annotations == {}


def test_a_broken_name_annotation_is_a_problem_of_that_record():
    with pytest.raises(InvalidResource) as caught:
        read_form(policy(annotations={"projectcalico.org/metadata": "{"}))
    (problem,) = caught.value.problems
    assert problem.field == "metadata.annotations.projectcalico.org/metadata"


@pytest.mark.parametrize("tier", ["default", "t1"])
def test_what_was_stored_reads_back(tier):
    original = policy("default.web", tier, labels={"a": "b"}, annotations={"c": "d"})
    seen = read_form(stored_form(original))
    assert seen.metadata.labels == {"a": "b", "projectcalico.org/tier": tier}
    assert (seen.metadata.name, seen.metadata.annotations) == ("default.web", {"c": "d"})
    assert seen.spec == original.spec


def test_a_workload_endpoint_gets_its_name_and_labels():
    spec = WorkloadEndpointSpec(orchestrator="k8s", node="n-1", pod="web", endpoint="eth0")
    labels = {"a": "b", "projectcalico.org/namespace": "fake"}
    endpoint = WorkloadEndpoint(metadata=Metadata(namespace="shop", labels=labels), spec=spec)
    stored = stored_form(with_defaults(endpoint))
    assert stored.metadata.name == "n--1-k8s-web-eth0"
    assert stored.metadata.labels == {
        "a": "b",
        "projectcalico.org/namespace": "shop",
        "projectcalico.org/orchestrator": "k8s",
    }


def test_the_profile_that_is_never_stored():
    profile = default_allow()
    assert profile.metadata.resource_version == "1"
    assert [rule.action for rule in (*profile.spec.ingress, *profile.spec.egress)] == [
        "Allow",
        "Allow",
    ]
