"""The endpoint and the profile that a container leaves, as the original writes them."""

import json

import pytest

from calico.cni.endpoint import Plug, network_profile, workload_endpoint
from calico.cni.identity import parse_identity
from calico.cni.settings import parse_config
from calico.core.model.codec import encode

NOW = 1_785_578_402 * 10**9


def request(cni_args="", **more):

    environment = {"CNI_CONTAINERID": "4f0c2b7de1a9", "CNI_IFNAME": "eth0", "CNI_ARGS": cni_args}
    config = {
        "cniVersion": "1.0.0",
        "name": "net1",
        "type": "calico",
        "ipam": {"type": "calico-ipam"},
        **more,
    }
    return parse_identity(environment, "node-a"), parse_config(json.dumps(config).encode())


def endpoint(cni_args="", **more):

    plug = Plug("cali1a2b3c4d5e6", "9a:3d:12:77:00:41", ("10.65.3.65", "fd00::1"))
    identity, config = request(cni_args, **more)
    return json.loads(encode(workload_endpoint(identity, config, plug, NOW)))


def test_a_pod_with_kubernetes_policy():
    found = endpoint(
        "K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web-0",
        policy={"type": "k8s"},
        args={"cni": {"labels": [{"key": "app", "value": "web"}]}},
    )
    uid = found["metadata"].pop("uid")
    assert len(uid) == 36
    assert found == {
        "kind": "WorkloadEndpoint",
        "apiVersion": "projectcalico.org/v3",
        "metadata": {
            "name": "node--a-k8s-web--0-eth0",
            "namespace": "shop",
            "creationTimestamp": "2026-08-01T10:00:02Z",
            "labels": {
                "app": "web",
                "projectcalico.org/namespace": "shop",
                "projectcalico.org/orchestrator": "k8s",
                "projectcalico.org/serviceaccount": "default",
            },
        },
        "spec": {
            "orchestrator": "k8s",
            "node": "node-a",
            "containerID": "4f0c2b7de1a9",
            "pod": "web-0",
            "endpoint": "eth0",
            "serviceAccountName": "default",
            "ipNetworks": ["10.65.3.65/32", "fd00::1/128"],
            "profiles": ["kns.shop", "ksa.shop.default"],
            "interfaceName": "cali1a2b3c4d5e6",
            "mac": "9a:3d:12:77:00:41",
        },
    }


def test_a_service_account_by_label():
    label = {"key": "projectcalico.org/serviceaccount", "value": "builder"}
    found = endpoint(
        "K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web-0",
        policy={"type": "k8s"},
        args={"cni": {"labels": [label]}},
    )
    assert found["spec"]["profiles"] == ["kns.shop", "ksa.shop.builder"]


def test_a_container():
    found = endpoint()
    assert found["metadata"]["name"] == "node--a-cni-4f0c2b7de1a9-eth0"
    assert found["spec"]["profiles"] == ["net1"]
    assert "pod" not in found["spec"]


@pytest.mark.parametrize(
    ("cni_args", "ingress"),
    [
        ("", {"action": "Allow", "source": {"selector": "has(net1)"}}),
        ("K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web-0", {"action": "Allow"}),
    ],
)
def test_a_networks_own_profile(cni_args, ingress):
    path, record = network_profile(*request(cni_args), NOW)
    spec = json.loads(record)["spec"]
    assert path.endswith("/profiles/net1")
    assert [{k: v for k, v in rule.items() if v} for rule in spec["ingress"]] == [ingress]
    assert [rule["action"] for rule in spec["egress"]] == ["Allow"]
    assert spec["labelsToApply"] == {"net1": ""}
