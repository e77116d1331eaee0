"""A node with pods, and real packets between them: what tests of rule sets are asked of.

    pod "a" --cali-a--+                            each pod: its own namespace, one address
    pod "b" --cali-b--+-- node --eth0-- outside    per family, default route to the node
    pod "x" --cali-x--+
       every namespace has a second link "beat" to the node, which no rule looks at

Whether a packet was dropped is found without waiting for luck: all links share one CPU's queue,
which is first in, first out. A packet sent later over the "beat" links, across as many hops, has
arrived; so a probe that has not arrived by then never will.
"""

import itertools
import os
import socket
import struct
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field

import pytest

from calico.kernel import netns
from calico.kernel.run import run
from netns import require_root
from tables_agent import TablesAgent, table_texts

DEADLINE_SECONDS = 5.0
BEATS = 6  # hops that a handshake takes, twice over
PROTOCOLS = {"tcp": 6, "udp": 17, "icmp": 1, "icmp6": 58, "sctp": 132, "udplite": 136, "ipip": 4}
POD_NAMES = ("a", "b", "c", "x")

_ports = itertools.cycle(range(20000, 60000))


@dataclass(frozen=True)
class Probe:
    """One packet to send, the first of its flow."""

    protocol: str
    port: int = 0
    version: int = 4
    source_port: int = 0  # 0: one that no flow had before
    source_ip: str = ""  # by hand-made packets only
    to: str = ""  # instead of the destination's address
    type_: int | None = None  # of ICMP; None: echo request
    code: int = 0
    is_by_hand: bool = False

    @property
    def family(self):
        return socket.AF_INET if self.version == 4 else socket.AF_INET6


def tcp(port, version=4, source_port=0):
    return Probe("tcp", port, version, source_port)


def udp(port, version=4, source_port=0, to=""):
    return Probe("udp", port, version, source_port, to=to)


def icmp(type_=8, code=0):
    return Probe("icmp", type_=type_, code=code)


def icmp6(type_=128, code=0):
    return Probe("icmp6", version=6, type_=type_, code=code)


def by_hand(protocol, port=0, source_ip=""):
    return Probe(protocol, port, source_ip=source_ip, is_by_hand=True)


@dataclass
class Host:
    """One namespace and its addresses."""

    name: str
    namespace: int
    ip4: str
    ip6: str
    beat: str
    sockets: list = field(default_factory=list)

    def address(self, family):
        return self.ip4 if family == socket.AF_INET else self.ip6

    def socket(self, family, kind, protocol=0):
        with netns.inside(self.namespace):
            made = socket.socket(family, kind, protocol)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.setblocking(False)
        self.sockets.append(made)
        return made


def mac(number):
    return f"02:00:00:00:00:{number:02x}"


class Net:
    """The node, its pods and the world outside."""

    def __init__(self):
        self._stack = ExitStack()
        self._affinity = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {min(self._affinity)})
        self.node = self._host("node", "192.0.2.1", "2001:db8::1", 1)
        self.outside = self._host("outside", "192.0.2.2", "2001:db8::2", 2)
        self._link_outside()
        self.pods = {}
        for number, name in enumerate(POD_NAMES, start=10):
            self.pods[name] = self._host(name, f"10.65.0.{number}", f"fd65::{number}", number)
            self._link_pod(self.pods[name], number)
        with netns.inside(self.node.namespace):
            run(["sysctl", "-q", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"])

    def close(self):
        os.sched_setaffinity(0, self._affinity)
        self._stack.close()

    def _host(self, name, ip4, ip6, number):
        namespace = netns.create()
        self._stack.callback(os.close, namespace)
        host = Host(name, namespace, ip4, ip6, f"172.31.{number}.2")
        self._ip(host, "link set lo up")
        if name == "node":
            host.beat = "172.31.2.1"
            return host
        self._ip(
            self.node,
            f"link add beat{number} address {mac(100)} type veth peer name beat address {mac(101)}"
            f" netns /proc/{os.getpid()}/fd/{namespace}",
            f"addr add 172.31.{number}.1/24 dev beat{number}",
            f"link set beat{number} up",
            f"neigh replace 172.31.{number}.2 lladdr {mac(101)} dev beat{number}",
        )
        self._ip(
            host,
            f"addr add 172.31.{number}.2/24 dev beat",
            "link set beat up",
            f"neigh replace 172.31.{number}.1 lladdr {mac(100)} dev beat",
            f"route add 172.31.0.0/16 via 172.31.{number}.1",
        )
        return host

    def _ip(self, host, *commands):
        with netns.inside(host.namespace):
            run(["ip", "-batch", "-"], "\n".join(commands))

    def _link_outside(self):
        self._ip(
            self.node,
            f"link add eth0 address {mac(1)} type veth peer name eth0 address {mac(2)}"
            f" netns /proc/{os.getpid()}/fd/{self.outside.namespace}",
            "addr add 192.0.2.1/24 dev eth0",
            "addr add 2001:db8::1/64 dev eth0 nodad",
            "link set eth0 up",
            f"neigh replace 192.0.2.2 lladdr {mac(2)} dev eth0",
            f"neigh replace 2001:db8::2 lladdr {mac(2)} dev eth0",
        )
        self._ip(
            self.outside,
            "addr add 192.0.2.2/24 dev eth0",
            "addr add 2001:db8::2/64 dev eth0 nodad",
            "link set eth0 up",
            f"neigh replace 192.0.2.1 lladdr {mac(1)} dev eth0",
            f"neigh replace 2001:db8::1 lladdr {mac(1)} dev eth0",
            "route add 10.65.0.0/16 via 192.0.2.1",
            "route add fd65::/16 via 2001:db8::1",
        )

    def _link_pod(self, pod, number):
        interface = f"cali-{pod.name}"
        self._ip(
            self.node,
            f"link add {interface} address {mac(200)} type veth"
            f" peer name eth0 address {mac(number)} netns /proc/{os.getpid()}/fd/{pod.namespace}",
            f"link set {interface} up",
            f"neigh replace {pod.ip4} lladdr {mac(number)} dev {interface}",
            f"neigh replace {pod.ip6} lladdr {mac(number)} dev {interface}",
            f"route add {pod.ip4} dev {interface}",
            f"route add {pod.ip6} dev {interface}",
        )
        self._ip(
            pod,
            f"addr add {pod.ip4}/32 dev eth0",
            f"addr add {pod.ip6}/128 dev eth0 nodad",
            "link set eth0 up",
            f"neigh replace 169.254.1.1 lladdr {mac(200)} dev eth0",
            f"neigh replace fe80::1 lladdr {mac(200)} dev eth0",
            "route add 169.254.1.1 dev eth0",
            "route add default via 169.254.1.1 dev eth0",
            "route add default via fe80::1 dev eth0",
        )

    def __getitem__(self, name):
        return {"node": self.node, "outside": self.outside, **self.pods}[name]

    def load(self, intent, settings):
        """Start a new agent, which finds what the last one left and brings it to this intent."""
        with self.agent(settings) as agent:
            agent.become(intent)

    @contextmanager
    def agent(self, settings):
        """Start a new agent; it may become one intent after the other."""
        with netns.inside(self.node.namespace):
            agent = TablesAgent(settings)
        try:
            yield agent
        finally:
            agent.close()

    def load_text(self, intent, settings):
        """Let `nft` replace the node's tables by those of this intent."""
        with netns.inside(self.node.namespace):
            for text in table_texts(intent, settings):
                run(["nft", "-f", "-"], text)

    def unload(self):
        with netns.inside(self.node.namespace):
            run(["nft", "flush ruleset"])

    def forget_connections(self):
        with netns.inside(self.node.namespace):
            run(["conntrack", "-F"])

    def close_sockets(self):
        for host in (self.node, self.outside, *self.pods.values()):
            while host.sockets:
                host.sockets.pop().close()

    def beat(self, source, destination):
        """Wait until all that `source` has sent so far has arrived, or never will."""
        receiver = destination.socket(socket.AF_INET, socket.SOCK_DGRAM)
        receiver.settimeout(DEADLINE_SECONDS)
        receiver.bind((destination.beat, 0))
        sender = source.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sender.sendto(b"beat", receiver.getsockname())
        assert receiver.recv(16) == b"beat"

    def sends(self, source, destination, probe):
        """Send the first packet of a new flow; say whether it arrives (UDP: from whom)."""
        source, destination = self[source], self[destination]
        ways = {"tcp": self.connect, "udp": self._udp, "icmp": self._icmp, "icmp6": self._icmp}
        way = self._by_hand if probe.is_by_hand else ways[probe.protocol]
        try:
            return way(source, destination, probe)
        finally:
            self.close_sockets()

    def _udp(self, source, destination, probe):
        address = (probe.to or destination.address(probe.family), probe.port)
        receiver = destination.socket(probe.family, socket.SOCK_DGRAM)
        receiver.bind(address)
        sender = source.socket(probe.family, socket.SOCK_DGRAM)
        sender.bind((source.address(probe.family), probe.source_port or next(_ports)))
        sender.sendto(b"probe", address)
        self.beat(source, destination)
        with suppress(BlockingIOError):
            payload, peer = receiver.recvfrom(64)
            assert payload == b"probe"
            return peer
        return None

    def connect(self, source, destination, probe):
        """Open a TCP connection; return both ends, or None if the way is barred."""
        listener = destination.socket(probe.family, socket.SOCK_STREAM)
        listener.bind((destination.address(probe.family), probe.port))
        listener.listen()
        client = source.socket(probe.family, socket.SOCK_STREAM)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.bind((source.address(probe.family), probe.source_port or next(_ports)))
        client.connect_ex((destination.address(probe.family), probe.port))
        for _ in range(BEATS):
            self.beat(source, destination)
            try:
                server, _ = listener.accept()
            except BlockingIOError:
                continue
            server.setblocking(False)
            server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            destination.sockets.append(server)
            return client, server
        return None

    def carries(self, ends, source, destination):
        """Say whether a connection still carries data."""
        ends[0].send(b"still here")
        self.beat(self[source], self[destination])
        with suppress(BlockingIOError):
            return ends[1].recv(64) == b"still here"
        return False

    def _icmp(self, source, destination, probe):
        number = PROTOCOLS[probe.protocol]
        receiver = destination.socket(probe.family, socket.SOCK_RAW, number)
        sender = source.socket(probe.family, socket.SOCK_RAW, number)
        sender.bind((source.address(probe.family), 0))
        token = b"probe %d" % next(_ports)
        body = struct.pack("!BBHHH", probe.type_, probe.code, 0, next(_ports), 1) + token
        if probe.version == 4:  # the kernel fills in the checksum of ICMPv6 alone
            body = body[:2] + struct.pack("!H", checksum(body)) + body[4:]
        sender.sendto(body, (destination.address(probe.family), 0))
        self.beat(source, destination)
        return any(token in packet for packet in _all(receiver))

    def _by_hand(self, source, destination, probe):
        """Send an IPv4 packet of any protocol, with any source."""
        protocol, source_ip = PROTOCOLS[probe.protocol], probe.source_ip or source.ip4
        receiver = destination.socket(socket.AF_INET, socket.SOCK_RAW, protocol)
        sender = source.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
        body = transport(protocol, next(_ports), probe.port)
        ends = socket.inet_aton(source_ip) + socket.inet_aton(destination.ip4)
        if probe.protocol == "udplite":  # connection tracking sums it up as if it were UDP
            total = checksum(ends + struct.pack("!HH", PROTOCOLS["udp"], len(body)) + body)
            body = body[:6] + struct.pack("!H", total) + body[8:]
        length, number = 20 + len(body), next(_ports) & 0xFFFF
        header = struct.pack("!BBHHHBBH", 0x45, 0, length, number, 0, 64, protocol, 0)
        sender.sendto(header + ends + body, (destination.ip4, 0))
        self.beat(source, destination)
        return any(body in packet for packet in _all(receiver))


def transport(protocol, source_port, port):
    """Make a header that connection tracking takes for the beginning of a flow."""
    token = struct.pack("!I", source_port) * 2
    if protocol == 132:  # SCTP INIT
        init = struct.pack("!BBHIIHHI", 1, 0, 20, 0x1234, 65535, 1, 1, source_port)
        header = struct.pack("!HHI", source_port, port, 0)
        return header + struct.pack("<I", crc32c(header + bytes(4) + init)) + init
    if protocol == 136:  # UDP-Lite
        return struct.pack("!HHHH", source_port, port, 0, 0) + token
    return struct.pack("!HHHH", source_port, port, 8 + len(token), 0) + token


def checksum(data):
    total = sum(struct.unpack(f"!{(len(data) + 1) // 2}H", data + bytes(len(data) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


@pytest.fixture(scope="module")
def node_with_pods():
    """One node for the tests of a module."""
    require_root()
    made = Net()
    yield made
    made.close()


@pytest.fixture
def net(node_with_pods):
    """That node, without the sockets of other tests."""
    yield node_with_pods
    node_with_pods.close_sockets()


def _all(receiver):
    while True:
        try:
            yield receiver.recv(2048)
        except BlockingIOError:
            return
