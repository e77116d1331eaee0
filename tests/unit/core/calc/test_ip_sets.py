"""Kinds and members of sets: what definition and class share."""

import pytest

from calico.core.calc.contributors import Contributor, NamedPort
from calico.core.calc.ip_sets import IpSets, ip_set
from calico.core.calc.labels import labelled
from calico.core.calc.set_specs import SetSpec, named_port_set, selector_set, service_set
from calico.core.intent.ip_sets import IpSet
from calico.core.model.keys import ResourceKey
from calico.core.selector.ast import Equals

WEB = labelled({"app": "web"})
HTTP, DNS = NamedPort("http", 6, 80), NamedPort("dns", 17, 53)
UNSAID = NamedPort("http", 0, 8080)


def members(spec, *contributors, profiles=None):
    return ip_set(spec, contributors, profiles or {})


@pytest.mark.parametrize(
    ("why", "brought", "expected"),
    [
        ("hosts", ("10.0.0.1",), IpSet("address", frozenset({"10.0.0.1"}))),
        ("nothing", (), IpSet("address", frozenset())),
        (
            "a CIDR hides what lies in it",
            ("10.0.0.1", "10.0.0.0/8", "10.1.0.0/16", "11.0.0.1"),
            IpSet("net", frozenset({"10.0.0.0/8", "11.0.0.1"})),
        ),
    ],
)
def test_kinds(why, brought, expected):
    assert members(selector_set("app == 'web'"), Contributor(WEB, brought)) == expected, why


@pytest.mark.parametrize(
    ("protocol", "expected"),
    [
        (6, {"10.0.0.1,tcp:80"}),
        (17, set()),
        (None, {"10.0.0.1,tcp:80", "10.0.0.1,tcp:8080"}),
    ],
)
def test_named_ports(protocol, expected):
    spec = named_port_set("", protocol, "http")
    pod = Contributor(WEB, ("10.0.0.1",), (HTTP, DNS, UNSAID))
    assert members(spec, pod) == IpSet("address_port", frozenset(expected))


def test_named_ports_carry_their_protocol():
    spec = named_port_set("has(app)", 17, "dns")
    pod = Contributor(WEB, ("10.0.0.1", "fd00::1"), (DNS,))
    expected = frozenset({"10.0.0.1,udp:53", "fd00::1,udp:53"})
    assert members(spec, pod) == IpSet("address_port", expected)


def test_labels_of_profiles_count():
    pod = Contributor(labelled({}, ("p",)), ("10.0.0.1",))
    spec = selector_set("app == 'web'")
    assert members(spec, pod).members == frozenset()
    assert members(spec, pod, profiles={"p": {"app": "web"}}).members == {"10.0.0.1"}


def test_services_are_empty():
    pod = Contributor(WEB, ("10.0.0.1",), (HTTP,))
    assert members(service_set("n", "s", with_ports=True), pod) == IpSet(
        "address_port", frozenset()
    )
    assert members(service_set("n", "s", with_ports=False), pod) == IpSet("address", frozenset())


def pod_key(name):
    return ResourceKey("WorkloadEndpoint", "n", name)


@pytest.fixture
def view():
    view, spec = IpSets(), SetSpec("web", Equals("app", "web"))
    view.set_spec("web", spec)
    view.set_contributor(pod_key("a"), Contributor(WEB, ("10.0.0.1",)))
    view.flush()
    return view


def test_an_address_of_two_owners_stays_with_one(view):
    view.set_contributor(pod_key("b"), Contributor(WEB, ("10.0.0.1",)))
    assert view.flush() == ({}, {})
    view.set_contributor(pod_key("a"), None)
    assert view.flush() == ({}, {})
    view.set_contributor(pod_key("b"), None)
    assert view.flush() == ({}, {("web", "10.0.0.1"): None})


def test_what_went_and_came_back_is_not_reported(view):
    view.set_contributor(pod_key("a"), None)
    view.set_contributor(pod_key("b"), Contributor(WEB, ("10.0.0.1",)))
    assert view.flush() == ({}, {})


def test_a_set_that_changes_kind_comes_whole(view):
    view.set_contributor(pod_key("b"), Contributor(WEB, ("10.0.0.0/8",)))
    assert view.flush() == ({"web": IpSet("net", frozenset({"10.0.0.0/8"}))}, {})
    view.set_contributor(pod_key("b"), None)
    assert view.flush() == ({"web": IpSet("address", frozenset({"10.0.0.1"}))}, {})


def test_a_cidr_that_goes_uncovers_what_it_hid(view):
    view.set_contributor(pod_key("b"), Contributor(WEB, ("10.0.0.0/8", "11.0.0.0/8")))
    view.flush()
    view.set_contributor(pod_key("c"), Contributor(WEB, ("10.0.0.2",)))
    assert view.flush() == ({}, {})
    view.set_contributor(pod_key("b"), Contributor(WEB, ("11.0.0.0/8",)))
    uncovered = {("web", "10.0.0.1"): True, ("web", "10.0.0.2"): True}
    assert view.flush() == ({}, {**uncovered, ("web", "10.0.0.0/8"): None})
