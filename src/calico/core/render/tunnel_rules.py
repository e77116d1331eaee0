"""What the tables hold for tunnels, besides what they hold anyway.

    raw -300    PREROUTING, OUTPUT  VXLAN is not tracked: each flow inside is, and that is enough
    filter 0    INPUT               tunnelled packets are taken from nodes, and from nobody else
    nat 110     POSTROUTING         what the node itself sends into a tunnel has its end as source

Without a tunnel none of this is there. The nodes are those of the cluster, with and without a
tunnel address: a node may send through a tunnel before all others know of its own end.

Source: policy-semantics 3.6, felix spec 6.6, 6.7; felix/rules/{static,nat}.go.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from msgspec.structs import replace

from calico.core.intent.tunnels import DEVICES, TunnelEnd, TunnelKind
from calico.core.nftables.vocabulary import (
    AddressType,
    Chain,
    Hook,
    InSet,
    Is,
    Masquerade,
    NoTrack,
    Rule,
    Set,
    Span,
    Verdict,
)
from calico.core.render.names import (
    ALL_HOSTS,
    ALL_VXLAN,
    NAT_OUTGOING,
    RAW_OUTPUT,
    IpFamily,
    set_name,
)
from calico.core.render.rules import ACCEPT, COUNT, DROP, deny
from calico.core.render.sets import SHAPES
from calico.core.render.settings import RenderSettings
from calico.core.render.tables import ElementKey

IPIP: Final = Is("l4proto", 4)
UDP: Final = Is("l4proto", 17)
LOWEST_PORT: Final = 1024

Tunnels = Mapping[TunnelKind, TunnelEnd]


def of_family(family: IpFamily, tunnels: Tunnels) -> dict[TunnelKind, TunnelEnd]:
    """Choose the tunnels whose packets are of this family."""
    return {kind: end for kind, end in tunnels.items() if (kind == "vxlan6") == (family == "ip6")}


def host_sets(family: IpFamily, tunnels: Tunnels) -> dict[str, Set]:
    """List the sets of nodes that the rules ask."""
    return {_hosts(family, kind): SHAPES["address"] for kind in of_family(family, tunnels)}


def host_elements(family: IpFamily, tunnels: Tunnels, hosts: Iterable[str]) -> set[ElementKey]:
    """List the members of these sets."""
    addresses = [address for address in hosts if (":" in address) == (family == "ip6")]
    return {(name, (address,)) for name in host_sets(family, tunnels) for address in addresses}


def taken_in(family: IpFamily, tunnels: Tunnels, settings: RenderSettings) -> Iterator[Rule]:
    """Render the rules that INPUT starts with."""
    local = AddressType("daddr", "local")
    own = of_family(family, tunnels)
    if "ipip" in own:
        known = InSet(("saddr",), _hosts(family, "ipip"))
        yield Rule((IPIP, known, local, COUNT, ACCEPT), "Allow IPIP packets from Calico hosts")
        yield Rule((IPIP, COUNT, deny(settings)), "Drop IPIP packets from non-Calico hosts")
    for kind in own.keys() - {"ipip"}:
        known = InSet(("saddr",), _hosts(family, kind))
        sent = (UDP, Is("dport", settings.vxlan_port), local)
        refused = DROP if family == "ip" else deny(settings)
        text = "VXLAN packets from allowed hosts"
        yield Rule((*sent, known, COUNT, ACCEPT), f"Allow {text}")
        yield Rule((*sent, COUNT, refused), f"Drop all but {text}")


def untracked(family: IpFamily, tunnels: Tunnels, settings: RenderSettings) -> tuple[Rule, ...]:
    """Render the rules that raw PREROUTING starts with, and raw OUTPUT consists of."""
    if not of_family(family, tunnels).keys() - {"ipip"}:
        return ()
    return (Rule((UDP, Is("dport", settings.vxlan_port), COUNT, NoTrack())),)


def raw_output(
    family: IpFamily, tunnels: Tunnels, settings: RenderSettings
) -> Mapping[str, Chain | None]:
    """Render raw OUTPUT, which is there for VXLAN only."""
    rules = untracked(family, tunnels, settings)
    if not rules:
        return {"raw-OUTPUT": None, RAW_OUTPUT: None}
    hooked = Chain((Rule((Verdict("jump", RAW_OUTPUT),)),), Hook("filter", "output", -300))
    return {"raw-OUTPUT": hooked, RAW_OUTPUT: Chain(rules)}


def postrouting(family: IpFamily, tunnels: Tunnels, settings: RenderSettings) -> Chain:
    """Render POSTROUTING: pools' masquerade, then that of the node's own words into tunnels.

    "Its own" is a source that is local, but not the tunnel's: the kernel chose it for a
    destination that turned out to be behind the tunnel.
    """
    rules = [Rule((Verdict("jump", NAT_OUTGOING),))]
    own = of_family(family, tunnels)
    ports = free_ports(settings.vxlan_port) if own.keys() - {"ipip"} else None
    for kind, end in sorted(own.items()):
        if not end.address:
            continue
        leaving = (
            Is("oifname", DEVICES[kind]),
            Is("saddr", end.address, negated=True),
            AddressType("saddr", "local"),
        )
        if ports is not None:
            rules.append(Rule((UDP, *leaving, COUNT, Masquerade(ports, fully_random=True))))
        rules.append(Rule((*leaving, COUNT, Masquerade(fully_random=True))))
    return Chain(tuple(rules))


def free_ports(vxlan_port: int) -> Span:
    """Return the wider span of ports beside VXLAN's: a source port must not be taken for it."""
    below, above = (LOWEST_PORT, vxlan_port - 1), (vxlan_port + 1, 65535)
    return above if above[1] - above[0] >= below[1] - below[0] else below


def preceded(rules: Iterable[Rule], chain: Chain) -> Chain:
    """Put rules before a chain's own."""
    return replace(chain, rules=(*rules, *chain.rules))


def _hosts(family: IpFamily, kind: TunnelKind) -> str:
    return set_name(family, ALL_HOSTS if kind == "ipip" else ALL_VXLAN)
