"""What becomes of the records of this node."""

import pytest

from calico.core.calc.contributors import is_usable
from calico.core.calc.graph import Graph
from calico.core.calc.labels import labelled, workload_endpoint_labels
from calico.core.calc.local_endpoints import (
    LocalEndpoint,
    endpoint_key,
    is_on,
    local_endpoint,
    one_per_interface,
)
from calico.core.calc.settings import CalcSettings
from calico.core.intent.endpoints import QosControls
from calico.core.intent.endpoints import WorkloadEndpoint as Endpoint
from calico.core.intent.keys import EndpointKey
from calico.core.model.endpoint import QoSControls, WorkloadEndpoint, WorkloadEndpointSpec
from calico.core.model.keys import ResourceKey
from calico.core.model.metadata import Metadata

NAME = "node--a-k8s-web--0-eth0"
USABLE = WorkloadEndpointSpec(
    orchestrator="k8s",
    node="node-a",
    pod="web-0",
    endpoint="eth0",
    ip_networks=("10.0.0.1/32", "FD00::1/128"),
    interface_name="cali1",
)


def record(name=NAME, **changes):
    fields = {field: getattr(USABLE, field) for field in USABLE.__struct_fields__}
    spec = WorkloadEndpointSpec(**{**fields, **changes})
    return WorkloadEndpoint(metadata=Metadata(name=name, namespace="shop"), spec=spec)


def test_the_name_says_who_it_is_and_where():
    assert endpoint_key(record()) == EndpointKey("k8s", "shop/web-0", "eth0")
    assert is_on("node-a", record())
    assert not is_on("node-b", record(node="node-b")), "the name decides"


def test_a_record_that_is_not_named_so_is_still_told_apart():
    one, other = record("odd"), record("odder")
    assert is_on("node-a", one)
    assert endpoint_key(one) != endpoint_key(other)


@pytest.mark.parametrize(
    ("why", "changes", "any_source", "expected"),
    [
        ("it has an address and an interface", {}, False, True),
        ("no address", {"ip_networks": ()}, False, False),
        ("no interface", {"interface_name": ""}, False, False),
        ("spoofing, not allowed", {"allow_spoofed_source_prefixes": ("10.0.0.0/8",)}, False, False),
        ("spoofing, allowed", {"allow_spoofed_source_prefixes": ("10.0.0.0/8",)}, True, True),
    ],
)
def test_which_records_count(why, changes, any_source, expected):
    settings = CalcSettings(allow_source_spoofing=any_source)
    assert is_usable(record(**changes), settings) == expected, why


def test_what_the_kernel_side_learns():
    controls = QoSControls(ingress_packet_rate=10, ingress_bandwidth=5, egress_max_connections=7)
    local = local_endpoint(
        record(
            mac="EE:EE:EE:EE:EE:EE",
            profiles=("p",),
            allow_spoofed_source_prefixes=("10.9.9.9/8", "nonsense"),
            qos_controls=controls,
        ),
        revision=9,
    )
    assert local.labels == workload_endpoint_labels(record(profiles=("p",)))
    assert local.endpoint == Endpoint(
        interface="cali1",
        ipv4_addresses=("10.0.0.1",),
        ipv6_addresses=("fd00::1",),
        mac="ee:ee:ee:ee:ee:ee",
        profiles=("p",),
        allowed_source_prefixes=("10.0.0.0/8",),
        qos=QosControls(ingress_packet_rate=10, egress_max_connections=7),
        revision=9,
    )


def test_the_smaller_key_has_the_interface():
    small, large = EndpointKey("k8s", "a/a", "eth0"), EndpointKey("k8s", "a/b", "eth0")
    mine = LocalEndpoint(Endpoint("cali1"), labelled({}))
    other = LocalEndpoint(Endpoint("cali1", mac="x"), labelled({}))
    assert one_per_interface({large: other, small: mine}) == {small: mine}


def test_a_rewritten_record_is_reported_with_its_new_revision():
    graph, key = Graph("node-a"), ResourceKey("WorkloadEndpoint", "shop", NAME)
    graph.set_resource(key, record(), 5)
    graph.flush()
    graph.set_resource(key, record(), 6)
    delta = graph.flush()
    assert [endpoint.revision for endpoint in delta.endpoints.values()] == [6]
    assert (delta.ip_sets, delta.members, delta.policies, delta.profiles) == ({}, {}, {}, {})
    assert graph.flush().endpoints == {}
