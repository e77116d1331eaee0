"""Which labels selectors see."""

import pytest

from calico.core.calc.labels import (
    effective_labels,
    host_endpoint_labels,
    labelled,
    network_set_labels,
    workload_endpoint_labels,
)
from calico.core.model.endpoint import (
    HostEndpoint,
    HostEndpointSpec,
    WorkloadEndpoint,
    WorkloadEndpointSpec,
)
from calico.core.model.metadata import Metadata
from calico.core.model.network_set import GlobalNetworkSet, NetworkSet

PROFILES = {"p": {"a": "p", "b": "p"}, "q": {"a": "q", "c": "q"}}


@pytest.mark.parametrize(
    ("why", "subject", "expected"),
    [
        ("own labels alone", labelled({"a": "own"}), {"a": "own"}),
        ("own ones win", labelled({"a": "own"}, ("p",)), {"a": "own", "b": "p"}),
        ("then the first profile", labelled({}, ("q", "p")), {"a": "q", "b": "p", "c": "q"}),
        ("unknown profiles give nothing", labelled({}, ("x",)), {}),
    ],
)
def test_effective_labels(why, subject, expected):
    assert effective_labels(subject, PROFILES) == expected, why


def test_equal_labels_are_equal_in_any_order():
    assert labelled({"a": "1", "b": "2"}) == labelled({"b": "2", "a": "1"})


def test_a_pod_cannot_say_where_it_is():
    lies = {
        "app": "web",
        "pcns.team": "admin",
        "pcsa.role": "admin",
        "projectcalico.org/namespace": "kube-system",
    }
    endpoint = WorkloadEndpoint(
        metadata=Metadata(name="x", namespace="shop", labels=lies),
        spec=WorkloadEndpointSpec(
            orchestrator="k8s", service_account_name="s" * 70, profiles=("kns.shop",)
        ),
    )
    subject = workload_endpoint_labels(endpoint)
    assert subject.profiles == ("kns.shop",)
    assert dict(subject.own) == {
        "app": "web",
        "projectcalico.org/namespace": "shop",
        "projectcalico.org/orchestrator": "k8s",
        "projectcalico.org/serviceaccount": "s" * 70,
    }


def test_a_network_set_stands_in_its_namespace():
    metadata = Metadata(name="s", namespace="shop", labels={"a": "1"})
    expected = labelled({"a": "1", "projectcalico.org/namespace": "shop"}, ("kns.shop",))
    assert network_set_labels(NetworkSet(metadata=metadata)) == expected


def test_a_global_network_set_and_a_host_stand_for_themselves():
    metadata = Metadata(name="s", labels={"pcns.a": "1"})
    assert network_set_labels(GlobalNetworkSet(metadata=metadata)) == labelled({"pcns.a": "1"})
    host = HostEndpoint(metadata=metadata, spec=HostEndpointSpec(profiles=("p",)))
    assert host_endpoint_labels(host) == labelled({"pcns.a": "1"}, ("p",))
