"""The host's proxy ARP answers for everyone but the workload that asks, on a real kernel."""

import socket
import struct
from contextlib import suppress

import pytest

from calico.core.render.settings import RenderSettings
from calico.kernel import netns
from calico.kernel.run import run
from intents import intent, pod

pytestmark = pytest.mark.netns

ETHERNET_ARP, REQUEST, REPLY = 0x0806, 1, 2
OWN, OTHER = "10.65.0.12", "10.65.0.99"


@pytest.fixture
def proxied(net):
    """Make the host answer for all addresses, as it does while a pod's route is missing."""
    node = net["node"].namespace
    with netns.inside(node):
        run(["sysctl", "-q", "net.ipv4.conf.cali-c.proxy_arp=1"])
        run(["sysctl", "-q", "net.ipv4.neigh.cali-c.proxy_delay=0"])
        run(["ip", "route", "del", OWN, "dev", "cali-c"])
        run(["ip", "route", "add", "10.65.0.0/16", "via", "192.0.2.2"])
    yield net
    with netns.inside(node):
        run(["ip", "route", "del", "10.65.0.0/16", "via", "192.0.2.2"])
        run(["ip", "route", "add", OWN, "dev", "cali-c"])


def is_answered(net, address):
    """Ask who has the address, as pod c; say whether somebody answers."""
    pod_c = net["c"]
    asking = pod_c.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETHERNET_ARP))
    asking.bind(("eth0", ETHERNET_ARP))
    hardware = asking.getsockname()[4]
    body = struct.pack("!HHBBH6s4s6s4s", 1, 0x0800, 6, 4, REQUEST, hardware,
                       socket.inet_aton(OWN), bytes(6), socket.inet_aton(address))  # fmt: skip
    asking.send(b"\xff" * 6 + hardware + struct.pack("!H", ETHERNET_ARP) + body)
    net.beat(pod_c, net["a"])
    net.beat(net["a"], pod_c)
    with suppress(BlockingIOError):
        while True:
            heard = asking.recv(128)[14:]
            if struct.unpack("!H", heard[6:8])[0] == REPLY:
                return heard[14:18] == socket.inet_aton(address)
    return False


def test_the_hosts_proxy_never_claims_the_workloads_own_address(proxied):
    proxied.unload()
    assert is_answered(proxied, OWN), "the kernel would"
    proxied.load(intent(pod(proxied, "c")), RenderSettings())
    assert not is_answered(proxied, OWN)
    assert is_answered(proxied, OTHER)
    proxied.load(intent(pod(proxied, "a")), RenderSettings())
    assert is_answered(proxied, OWN), "nobody's endpoint, nobody's address"
