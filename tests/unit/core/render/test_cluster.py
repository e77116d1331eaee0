"""Routes and devices between nodes: their forms, case by case."""

import pytest

from calico.core.intent.routes import Route
from calico.core.intent.tunnels import ClusterRoute, TunnelEnd
from calico.core.render.cluster import ClusterSettings, Wires, cluster_route, devices
from calico.core.render.underlay import HostLink, Underlay

WIRES = Wires({4: "eth0", 6: "eth1"}, 1500)
DEFAULTS = ClusterSettings()
BLOCK, BLOCK6 = "10.65.3.64/26", "fd65::40/122"


@pytest.mark.parametrize(
    ("why", "destination", "way", "route"),
    [
        (
            "VXLAN",
            BLOCK,
            ClusterRoute("vxlan", "10.65.3.64"),
            Route(BLOCK, "vxlan.calico", "10.65.3.64", mtu_bytes=1450, onlink=True),
        ),
        (
            "VXLAN to the end itself",
            "10.65.3.64/32",
            ClusterRoute("vxlan"),
            Route("10.65.3.64/32", "vxlan.calico", scope="link", mtu_bytes=1450),
        ),
        (
            "VXLAN of IPv6",
            BLOCK6,
            ClusterRoute("vxlan", "fd65::40"),
            Route(BLOCK6, "vxlan-v6.calico", "fd65::40", metric=1, mtu_bytes=1430, onlink=True),
        ),
        (
            "IPIP",
            BLOCK,
            ClusterRoute("ipip", "192.0.2.7"),
            Route(BLOCK, "tunl0", "192.0.2.7", protocol=80, mtu_bytes=1480, onlink=True),
        ),
        (
            "plain",
            BLOCK,
            ClusterRoute("plain", "192.0.2.7"),
            Route(BLOCK, "eth0", "192.0.2.7", protocol=80, onlink=True),
        ),
        (
            "plain of IPv6",
            BLOCK6,
            ClusterRoute("plain", "2001:db8::7"),
            Route(BLOCK6, "eth1", "2001:db8::7", protocol=80, metric=1, onlink=True),
        ),
        (
            "own block",
            BLOCK,
            ClusterRoute("blackhole"),
            Route(BLOCK, kind="blackhole", protocol=80),
        ),
    ],
)
def test_forms(why, destination, way, route):
    assert cluster_route(destination, way, WIRES, DEFAULTS) == route, why


def test_another_device_protocol_replaces_both():
    told = ClusterSettings(device_protocol=99)
    for way in (ClusterRoute("vxlan", "10.65.3.64"), ClusterRoute("blackhole")):
        assert cluster_route(BLOCK, way, WIRES, told).protocol == 99


def test_what_needs_the_parent_waits_for_it():
    blind = Wires({4: ""}, 1500)
    assert cluster_route(BLOCK, ClusterRoute("plain", "192.0.2.7"), blind, DEFAULTS) is None
    end = TunnelEnd("192.0.2.1", "10.65.0.1", "66:00:00:00:00:01")
    assert devices({"vxlan4": end}, blind, DEFAULTS) == {}
    assert list(devices({"ipip": end}, blind, DEFAULTS)) == ["tunl0"]


def test_a_told_mtu_counts():
    end = TunnelEnd("192.0.2.1", "10.65.0.1", "66:00:00:00:00:01")
    told = ClusterSettings(vxlan_mtu=1400)
    assert devices({"vxlan4": end}, WIRES, told)["vxlan.calico"].mtu_bytes == 1400


def test_the_mtu_is_that_of_the_links_that_lead_out():
    underlay = Underlay()
    assert underlay.mtu_bytes == 1460
    underlay.set_link("docker0", HostLink(1, 1300, True))
    underlay.set_link("eth0", HostLink(2, 9000, True))
    underlay.set_link("eno1", HostLink(3, 1400, False))
    assert underlay.mtu_bytes == 9000
    underlay.set_link("enp1s0", HostLink(4, 1500, True))
    assert underlay.mtu_bytes == 1500
