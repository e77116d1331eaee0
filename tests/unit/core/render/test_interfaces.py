"""What definition and view share: the forms, and who wins."""

from msgspec.structs import replace

from calico.core.intent.endpoints import WorkloadEndpoint
from calico.core.intent.interfaces import NeighbourKey, Setting
from calico.core.intent.keys import EndpointKey
from calico.core.intent.routes import Route
from calico.core.render.interfaces import InterfaceSettings, interface_intent
from calico.reconcile.route_plan import as_read_back

A, B = (EndpointKey("k8s", f"ns/{name}", "eth0") for name in "ab")
ENDPOINT = WorkloadEndpoint(
    "cali1", ("10.65.0.1",), ("fd00::1",), mac="02-00-00-00-00-0A", revision=7
)
DEFAULT = InterfaceSettings()


def values(intent, interface="cali1"):
    return {setting.name: setting.value for setting in intent.settings[interface]}


def test_one_endpoint():
    intent = interface_intent({A: ENDPOINT}, DEFAULT)
    assert list(intent.routes.values()) == [
        Route("10.65.0.1/32", "cali1", scope="link", protocol=3, metric=1024),
        Route("fd00::1/128", "cali1", protocol=3, metric=1024),
    ]
    assert [as_read_back(r) for r in intent.routes.values()] == list(intent.routes.values())
    assert intent.neighbours == {NeighbourKey("cali1", "10.65.0.1"): "02:00:00:00:00:0a"}
    assert values(intent) == {
        "net/ipv6/conf/cali1/accept_ra": "0",
        "net/ipv4/conf/cali1/route_localnet": "1",
        "net/ipv4/neigh/cali1/proxy_delay": "0",
        "net/ipv4/conf/cali1/proxy_arp": "1",
        "net/ipv4/conf/cali1/forwarding": "1",
        "net/ipv4/conf/cali1/rp_filter": "1",
        "net/ipv6/conf/cali1/proxy_ndp": "1",
        "net/ipv6/conf/cali1/forwarding": "1",
    }
    optional = {setting.name for setting in intent.settings["cali1"] if not setting.is_required}
    assert optional == {"net/ipv6/conf/cali1/accept_ra", "net/ipv4/neigh/cali1/proxy_delay"}


def test_settings_are_heeded():
    config = InterfaceSettings(
        ipv6=False, device_protocol=80, ipv4_metric=7, ipv4_source="192.0.2.1", rp_filter="2"
    )
    intent = interface_intent({A: ENDPOINT}, config)
    assert list(intent.routes.values()) == [
        Route("10.65.0.1/32", "cali1", scope="link", protocol=80, metric=7, source="192.0.2.1")
    ]
    assert values(intent)["net/ipv4/conf/cali1/rp_filter"] == "2"
    assert "net/ipv6/conf/cali1/forwarding" not in values(intent)
    assert Setting("net/ipv6/conf/cali1/accept_ra", "0", False) in intent.settings["cali1"], (
        "even then: a workload must not change the node's routes"
    )


def test_who_may_spoof_is_not_filtered():
    spoofing = replace(ENDPOINT, allowed_source_prefixes=("10.9.0.0/16",))
    for allowed, value in ((True, "0"), (False, "1")):
        intent = interface_intent({A: spoofing}, InterfaceSettings(source_spoofing=allowed))
        assert values(intent)["net/ipv4/conf/cali1/rp_filter"] == value


def test_a_mac_that_is_none():
    for mac in ("", "nonsense", "02:00:00:00:00"):
        assert interface_intent({A: replace(ENDPOINT, mac=mac)}, DEFAULT).neighbours == {}


def test_two_that_claim_an_interface():
    second = replace(ENDPOINT, ipv4_addresses=("10.65.0.2",), revision=9)
    intent = interface_intent({B: second, A: ENDPOINT}, DEFAULT)
    assert intent == interface_intent({A: ENDPOINT}, DEFAULT)


def test_two_that_claim_an_address():
    later = replace(ENDPOINT, interface="cali2", revision=9)
    for one, two in ((ENDPOINT, later), (later, ENDPOINT)):
        intent = interface_intent({A: one, B: two}, DEFAULT)
        assert {route.interface for route in intent.routes.values()} == {"cali2"}
    same_time = replace(later, revision=7)
    intent = interface_intent({B: same_time, A: ENDPOINT}, DEFAULT)
    assert {route.interface for route in intent.routes.values()} == {"cali2"}


def test_names_that_are_no_interfaces():
    for name in ("", "all", "default", "..", ".", "a/b", "x" * 16):
        assert interface_intent({A: replace(ENDPOINT, interface=name)}, DEFAULT).routes == {}
