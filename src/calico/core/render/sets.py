"""IP sets and pools as sets of the two families' tables.

    IpSet (both families, text) --> cali40s-..., cali60s-... and each its own members
    Pool                        --> members of cali40masq-ipam-pools, cali40network-ip-pools

Kinds: "address" is a hash of addresses, "address_port" one of (address, protocol, port), "net" an
interval tree: dearer to look up and to change, so only sets that hold a net are of this kind.

Source: felix spec 6.7; felix/dataplane/linux/masq_mgr.go.
"""

from collections.abc import Iterable, Iterator, Mapping
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Final

from calico.core.intent.delta import IntentDelta
from calico.core.intent.ip_sets import IpSet, IpSetKind
from calico.core.intent.nat import Pool
from calico.core.nftables.vocabulary import Element, Family, Set
from calico.core.render.names import (
    ARP,
    FROM_WORKLOAD,
    MASQUERADED_POOLS,
    NETWORK_POOLS,
    TO_WORKLOAD,
    IpFamily,
    set_name,
)
from calico.core.render.tables import ElementKey, Ledger

PROTOCOLS: Final = {"tcp": 6, "udp": 17, "sctp": 132}
SHAPES: Final[Mapping[IpSetKind, Set]] = {
    "address": Set(("saddr",)),
    "net": Set(("saddr",), intervals=True),
    "address_port": Set(("saddr", "l4proto", "sport")),
}


def fixed_sets(family: Family) -> Mapping[str, Set]:
    """List the sets and maps that a table has whatever the intent."""
    if family == "arp":
        return {ARP: Set(("oifname",), verdicts=True)}
    return {
        FROM_WORKLOAD: Set(("iifname",), verdicts=True),
        TO_WORKLOAD: Set(("oifname",), verdicts=True),
        set_name(family, MASQUERADED_POOLS): SHAPES["net"],
        set_name(family, NETWORK_POOLS): SHAPES["net"],
    }


def element(member: str) -> tuple[IpFamily, Element]:
    """Read a member: the family whose table it belongs to, and what it is there."""
    address, _, rest = member.partition(",")
    family: IpFamily = "ip6" if ":" in address else "ip"
    if not rest:
        return family, (address,)
    protocol, _, port = rest.partition(":")
    return family, (address, PROTOCOLS[protocol], int(port))


def pool_elements(pools: Mapping[str, Pool], family: IpFamily) -> set[ElementKey]:
    """List the members of the pool sets; a pool inside another is left out: no set takes both."""
    masqueraded = [pool.cidr for pool in pools.values() if pool.nat_outgoing]
    network = [pool.cidr for pool in pools.values() if pool.workloads]
    return {
        (set_name(family, set_id), (str(net),))
        for set_id, cidrs in ((MASQUERADED_POOLS, masqueraded), (NETWORK_POOLS, network))
        for net in outermost(cidrs)
        if net.version == (4 if family == "ip" else 6)
    }


def outermost(cidrs: Iterable[str]) -> Iterator[IPv4Network | IPv6Network]:
    """Yield the nets that are in no other."""
    kept: list[IPv4Network | IPv6Network] = []
    for net in sorted((ip_network(cidr) for cidr in cidrs), key=lambda net: net.prefixlen):
        if not any(_is_inside(net, other) for other in kept):
            kept.append(net)
            yield net


def _is_inside(net: IPv4Network | IPv6Network, other: IPv4Network | IPv6Network) -> bool:
    if isinstance(net, IPv4Network):
        return isinstance(other, IPv4Network) and net.subnet_of(other)
    return isinstance(other, IPv6Network) and net.subnet_of(other)


class SetMembers:
    """Keeps the IP sets of all families' ledgers as the intent has them."""

    def __init__(self, ledgers: Mapping[IpFamily, Ledger]) -> None:
        self._ledgers = ledgers
        self._members: dict[str, set[str]] = {}
        self._names: dict[str, Mapping[IpFamily, str]] = {}
        self.kinds: dict[str, IpSetKind] = {}  # the same keys as the two above

    def feed(self, delta: IntentDelta) -> set[str]:
        """Accept changes; return the sets that have come, gone or changed kind."""
        turned = set()
        for set_id, ip_set in delta.ip_sets.items():
            old, new = self.kinds.get(set_id), None if ip_set is None else ip_set.kind
            if old != new:
                turned.add(set_id)
                self._drop(set_id)
            if ip_set is not None:
                self._replace(set_id, ip_set)
        for (set_id, member), value in delta.members.items():
            if set_id in self.kinds:
                self._put(set_id, member, is_in=value is not None)
        return turned

    def _replace(self, set_id: str, ip_set: IpSet) -> None:
        """Make a set hold exactly this; cost: its members, and those it had."""
        if set_id not in self.kinds:
            self.kinds[set_id], self._members[set_id] = ip_set.kind, set()
            self._names[set_id] = {
                family: set_name(family, set_id, ip_set.kind) for family in self._ledgers
            }
            for family, ledger in self._ledgers.items():
                ledger.put_set(self._names[set_id][family], SHAPES[ip_set.kind])
        for member in self._members[set_id] - ip_set.members:
            self._put(set_id, member, is_in=False)
        for member in ip_set.members - self._members[set_id]:
            self._put(set_id, member, is_in=True)

    def _drop(self, set_id: str) -> None:
        """Forget a set. Its members go one by one too, in case it comes back before the flush."""
        if set_id not in self.kinds:
            return
        for member in tuple(self._members[set_id]):
            self._put(set_id, member, is_in=False)
        for family, ledger in self._ledgers.items():
            ledger.put_set(self._names[set_id][family], None)
        del self.kinds[set_id], self._members[set_id], self._names[set_id]

    def _put(self, set_id: str, member: str, *, is_in: bool) -> None:
        members = self._members[set_id]
        if is_in == (member in members):
            return
        family, key = element(member)
        if is_in:
            members.add(member)
        else:
            members.discard(member)
        if family in self._ledgers:
            name = self._names[set_id][family]
            self._ledgers[family].put_member(name, key, True if is_in else None)
