"""What the doctor looks at and what it says, as values.

gathered facts (Machine, Cluster, Peer) --diagnosis, peers--> Finding
"""

from collections.abc import Mapping
from typing import Literal, TypeAlias

from msgspec import Struct

from calico.calicoctl.doctor.rules import Chain
from calico.calicoctl.doctor.sessions import Session
from calico.core.net.detection import Detection, Interface, Version

Severity: TypeAlias = Literal["ok", "note", "warning", "error"]


class Finding(Struct, frozen=True, omit_defaults=True):
    """One thing that was looked at; `fix` is what to do about it."""

    severity: Severity
    what: str
    why: str
    fix: str = ""
    details: tuple[str, ...] = ()


class Address(Struct, frozen=True):
    """How this node's address of one family is found."""

    version: Version
    wish: str  # IP or IP6 of the agent's environment
    detection: Detection | None  # None: nothing is detected
    trouble: str = ""  # what is wrong with the method


class Agent(Struct, frozen=True):
    """The processes of the node."""

    is_running: bool = False
    environment: Mapping[str, str] = {}
    readiness: str = ""  # the page, or why it could not be read
    is_ready: bool | None = None  # None: nobody answers
    health_enabled: bool = False


class NetworkManager(Struct, frozen=True):
    """Whether it runs here, and what its files say of devices it must leave alone."""

    is_running: bool = False
    unmanaged: str = ""


class Bird(Struct, frozen=True):
    """What BIRD says; `trouble` if it does not."""

    sessions: tuple[Session, ...] = ()
    trouble: str = ""
    is_wanted: bool = True


class Machine(Struct, frozen=True):
    """The machine the doctor is on, apart from its peers."""

    node: str
    agent: Agent = Agent()
    interfaces: tuple[Interface, ...] = ()
    pod_mtu_bytes: int = 0  # the greatest of our pods' interfaces; 0: no pods
    addresses: tuple[Address, ...] = ()
    sysctls: Mapping[str, str] = {}
    chains: tuple[Chain, ...] = ()  # of tables that are not ours
    rules_trouble: str = ""
    legacy: Mapping[str, str] = {}  # table of iptables-legacy -> its text
    network_manager: NetworkManager = NetworkManager()
    bird: Bird = Bird()
    md5_refused: int = 0  # segments that the kernel refused for their signature


class Probe(Struct, frozen=True):
    """What packets towards one address met."""

    route: str = ""  # "dev eth0", "via 192.0.2.1 dev eth0"; "" is none
    is_local: bool = False
    is_on_link: bool = False
    neighbour: str = ""  # "REACHABLE", "FAILED" ...
    answers_ping: bool = False
    tcp: str = ""  # "connected", "refused", "no answer", other words; "" was not asked
    largest_bytes: int = 0  # of a packet that came back whole; 0: not measured


class Peer(Struct, frozen=True):
    """One BGP neighbour: what the records say, BIRD's session, and what packets met."""

    address: str
    node: str = ""  # "" for a router outside the cluster
    port: int = 179
    is_intended: bool = True  # False: BIRD has a session that no record asks for
    trouble: str = ""  # what in the records cannot work, and
    fix: str = ""  # what to do about it
    has_password: bool = False
    needed_bytes: int = 0  # a packet of a pod and what tunnels add; 0: not known
    session: Session | None = None
    probe: Probe = Probe()

    @property
    def title(self) -> str:
        """How to call it."""
        return f"peer {self.node} {self.address}" if self.node else f"peer {self.address}"

    @property
    def is_established(self) -> bool:
        """Whether its session carries routes."""
        return self.session is not None and self.session.is_established


class Known(Struct, frozen=True):
    """What the datastore says; `trouble` if it does not answer."""

    own: Mapping[Version, str] = {}  # our addresses as registered, CIDR form
    is_registered: bool = False
    twins: tuple[tuple[str, str], ...] = ()  # (address, node) that others have, too
    networks: tuple[str, ...] = ()  # pools and addresses of nodes: what rules must let pass
    problems: Mapping[str, str] = {}  # BGPPeers that make no sense
    health: Mapping[str, str] = {}  # enabled, host, port by FelixConfiguration
    trouble: str = ""


def uplinks(machine: Machine, known: Known) -> list[str]:
    """Name the interfaces that have the addresses by which others know this node."""
    ours = {text.partition("/")[0] for text in known.own.values()}
    return [
        one.name
        for one in machine.interfaces
        if any(text.partition("/")[0] in ours for text in one.addresses)
    ]
