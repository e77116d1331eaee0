"""Refusals, limits and log lines, asked of a real kernel."""

import errno
import socket

import pytest

from calico.core.intent.endpoints import QosControls
from calico.core.intent.ip_sets import IpSet
from calico.core.intent.policies import Rule, Side
from calico.core.nftables.vocabulary import Limit
from calico.core.render.settings import RenderSettings
from calico.kernel import netns
from calico.kernel.run import run
from intents import intent, pod, policies, tier
from packets import tcp, udp

pytestmark = pytest.mark.netns

DEFAULTS = RenderSettings()
ALLOW = Rule("Allow")
HTTP = Rule("Allow", protocol=6, destination=Side(ports=((80, 80),)))
LOG = Rule("Log", protocol=6, destination=Side(ports=((80, 80),)))


def refusal(net, port):
    """How the kernel tells the sender that its packet was refused, if it does."""
    a, b = net["a"], net["b"]
    sender = a.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sender.connect((b.ip4, port))
    sender.send(b"probe")
    net.beat(a, b)
    net.beat(b, a)
    return sender.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)


def test_reject(net):
    pods = pod(net, "a"), pod(net, "b", tier(["p"]))
    held = intent(*pods, policies=policies(p=((HTTP, Rule("Deny", protocol=6)), ())))
    net.load(held, RenderSettings(filter_deny_action="Reject"))
    assert refusal(net, 9) == errno.ECONNREFUSED
    assert net.sends("a", "b", tcp(80))
    net.load(held, DEFAULTS)
    assert refusal(net, 9) == 0


def test_packet_rate(net):
    limits = QosControls(ingress_packet_rate=1, ingress_packet_burst=3)
    net.load(intent(pod(net, "a"), pod(net, "b", qos=limits)), DEFAULTS)
    arrived = [bool(net.sends("a", "b", udp(9))) for _ in range(12)]
    assert arrived[:3] == [True] * 3
    assert not all(arrived)
    assert net.sends("b", "a", udp(9)), "the other direction has no limit"


def test_connections(net):
    limits = QosControls(egress_max_connections=2)
    net.load(intent(pod(net, "a", qos=limits), pod(net, "b")), DEFAULTS)
    a, b = net["a"], net["b"]
    assert [net.connect(a, b, tcp(port)) is not None for port in (81, 82, 83)] == [
        True,
        True,
        False,
    ]
    assert net.sends("a", "b", udp(9)), "TCP alone is counted"


def logged(net):
    with netns.inside(net["node"].namespace):
        listed = run(["nft", "list", "chain", "ip", "calico", "filter-cali-pi-gnp/p"])
    return [line for line in listed.splitlines() if "log prefix" in line]


def test_log(net):
    pods = pod(net, "a"), pod(net, "b", tier(["p"]))
    held = intent(*pods, policies=policies(p=((LOG, ALLOW), ())))
    net.load(held, RenderSettings(log_prefix="%k %n in %t"))
    assert net.sends("a", "b", tcp(80))
    assert net.sends("a", "b", tcp(81))
    (line,) = logged(net)
    assert "packets 1 " in line
    assert 'log prefix "gnp p in default: "' in line


def test_log_is_limited(net):
    pods = pod(net, "a"), pod(net, "b", tier(["p"]))
    held = intent(*pods, policies=policies(p=((LOG, ALLOW), ())))
    net.load(held, RenderSettings(log_limit=Limit(1, "day", 2)))
    for _ in range(4):
        assert net.sends("a", "b", tcp(80)), "a limit on log lines is none on packets"
    (line,) = logged(net)
    assert "packets 2 " in line


def test_one_log_line_a_packet(net):
    port = {"n:80": IpSet("address_port", frozenset({"10.65.0.11,tcp:80"}))}
    both = Side(ports=((80, 81),), named_ports=("n:80",))
    rules = (Rule("Log", protocol=6, destination=both), ALLOW)
    pods = pod(net, "a"), pod(net, "b", tier(["p"]))
    net.load(intent(*pods, policies=policies(p=(rules, ())), ip_sets=port), DEFAULTS)
    assert net.sends("a", "b", tcp(80))
    assert sum("packets 1 " in line for line in logged(net)) == 1
    assert sum("packets 0 " in line for line in logged(net)) == 1
