"""Which traffic leaves under the node's own address, asked of a real kernel."""

import pytest

from calico.core.intent.ip_sets import IpSet
from calico.core.intent.nat import Pool
from calico.core.render.settings import RenderSettings
from intents import intent, pod
from packets import icmp, tcp, udp

pytestmark = pytest.mark.netns

DEFAULTS = RenderSettings()
POOL = {"10.65.0.0/16": Pool("10.65.0.0/16", nat_outgoing=True)}


@pytest.mark.parametrize("version", [4, 6])
def test_leaves_under_the_nodes_address(net, version):
    pools = POOL | {"fd65::/16": Pool("fd65::/16", nat_outgoing=True)}
    net.load(intent(pod(net, "a"), pod(net, "b"), pools=pools), DEFAULTS)
    node, a = net["node"], net["a"]
    family = udp(9, version).family
    assert net.sends("a", "outside", udp(9, version))[0] == node.address(family)
    assert net.sends("a", "b", udp(9, version))[0] == a.address(family), "not between pods"
    assert net.connect(a, net["outside"], tcp(80, version)), "answers find the way back"


@pytest.mark.parametrize(
    ("why", "pools", "translated"),
    [
        ("no pool asks", {"10.65.0.0/16": Pool("10.65.0.0/16")}, False),
        ("another pool asks", {"10.99.0.0/16": Pool("10.99.0.0/16", nat_outgoing=True)}, False),
        ("to a pool", POOL | {"192.0.2.0/24": Pool("192.0.2.0/24")}, False),
        (
            "to a pool for load balancers alone",
            POOL | {"192.0.2.0/24": Pool("192.0.2.0/24", workloads=False)},
            True,
        ),
        (
            "pools inside pools",
            POOL | {"10.65.0.0/24": Pool("10.65.0.0/24", nat_outgoing=True)},
            True,
        ),
    ],
)
def test_when(net, why, pools, translated):
    net.load(intent(pod(net, "a"), pools=pools), DEFAULTS)
    peer = net.sends("a", "outside", udp(9))
    assert (peer[0] == "192.0.2.1") == translated, why


def test_ports(net):
    net.load(intent(pod(net, "a"), pools=POOL), RenderSettings(nat_port_range=(7000, 7003)))
    for _ in range(3):
        assert 7000 <= net.sends("a", "outside", udp(9))[1] <= 7003
    assert net.sends("a", "outside", icmp())


def test_address(net):
    settings = RenderSettings(nat_outgoing_address="192.0.2.77", nat_port_range=(7000, 7009))
    net.load(intent(pod(net, "a"), pools=POOL), settings)
    assert net.sends("a", "outside", udp(9))[0] == "192.0.2.77"


@pytest.mark.parametrize(("interface", "translated"), [("eth0", True), ("eth1", False)])
def test_interface(net, interface, translated):
    settings = RenderSettings(nat_outgoing_interface=interface)
    net.load(intent(pod(net, "a"), pools=POOL), settings)
    assert (net.sends("a", "outside", udp(9))[0] == "192.0.2.1") == translated


@pytest.mark.parametrize("kind", ["net", "address"])
def test_not_to_hosts(net, kind):
    hosts = {"all-hosts-net": IpSet(kind, frozenset({"192.0.2.2"}))}
    net.load(
        intent(pod(net, "a"), pools=POOL, ip_sets=hosts), RenderSettings(nat_exclude_hosts=True)
    )
    assert net.sends("a", "outside", udp(9))[0] == "10.65.0.10"
    net.load(intent(pod(net, "a"), pools=POOL, ip_sets=hosts), DEFAULTS)
    assert net.sends("a", "outside", udp(9))[0] == "192.0.2.1"
