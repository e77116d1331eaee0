"""The ends of the tunnels, and who may send through them.

    nodes, own name, tunnels that are on --> own ends      one for each tunnel
                                         --> remote ends   VXLAN: address, MAC, node behind
                                         --> hosts         every node's address; and the own ones

An own end is there as soon as its tunnel is on and the node's address is known: it must be able
to receive before others learn of it. A remote end is there once all of it is known. Two nodes
that claim one tunnel address are a mistake; the smaller name counts.

Source: felix spec 6.9; felix/calc/vxlan_resolver.go.
"""

from collections.abc import Mapping
from typing import Literal, TypeVar

from msgspec import Struct

from calico.core.calc.places import NodeEnd, NodePlace
from calico.core.intent.tunnels import RemoteEnd, RemoteKey, TunnelEnd, TunnelKind

Key = TypeVar("Key")
Value = TypeVar("Value")


class Ends(Struct, frozen=True):
    """All of it at one moment."""

    own: Mapping[TunnelKind, TunnelEnd] = {}
    remote: Mapping[RemoteKey, RemoteEnd] = {}
    hosts: Mapping[str, Literal[True]] = {}
    own_hosts: Mapping[int, str] = {}


class EndsDelta(Struct, frozen=True):
    """What changed; None means "no longer"."""

    own: Mapping[TunnelKind, TunnelEnd | None] = {}
    remote: Mapping[RemoteKey, RemoteEnd | None] = {}
    hosts: Mapping[str, Literal[True] | None] = {}
    own_hosts: Mapping[int, str | None] = {}


def tunnel_ends(own_name: str, nodes: Mapping[str, NodePlace], on: frozenset[TunnelKind]) -> Ends:
    """Define the ends. Without tunnels nobody asks for hosts, and there are none."""
    own: dict[TunnelKind, TunnelEnd] = {}
    remote: dict[RemoteKey, RemoteEnd] = {}
    hosts: dict[str, Literal[True]] = {}
    for kind in sorted(on):
        taken: set[str] = set()
        for name in sorted(nodes):
            end = nodes[name].end(6 if kind == "vxlan6" else 4)
            if not end.address:
                continue
            hosts[end.address] = True
            if name == own_name:
                own[kind] = _own_end(kind, end)
            elif kind != "ipip" and end.vxlan_address and end.vxlan_address not in taken:
                taken.add(end.vxlan_address)
                remote[RemoteKey(kind, name)] = RemoteEnd(
                    end.address, end.vxlan_address, end.vxlan_mac
                )
    here = nodes.get(own_name, NodePlace())
    own_hosts = {v: here.end(v).address for v in (4, 6) if here.end(v).address}
    return Ends(own, remote, hosts, own_hosts)


def _own_end(kind: TunnelKind, end: NodeEnd) -> TunnelEnd:
    if kind == "ipip":
        return TunnelEnd(end.address, end.ipip_address)
    return TunnelEnd(end.address, end.vxlan_address, end.vxlan_mac)


class TunnelEnds:
    """The definition, maintained, at the cost of all nodes when one of them has moved."""

    def __init__(self) -> None:
        self._reported = Ends()

    def flush(
        self, own_name: str, nodes: Mapping[str, NodePlace], on: frozenset[TunnelKind]
    ) -> EndsDelta:
        """Return what changed since the last flush."""
        old, new = self._reported, tunnel_ends(own_name, nodes, on)
        self._reported = new
        return EndsDelta(
            _difference(old.own, new.own),
            _difference(old.remote, new.remote),
            _difference(old.hosts, new.hosts),
            _difference(old.own_hosts, new.own_hosts),
        )


def _difference(old: Mapping[Key, Value], new: Mapping[Key, Value]) -> dict[Key, Value | None]:
    """Say how to get from one to the other."""
    delta: dict[Key, Value | None] = {key: None for key in old if key not in new}
    delta.update({key: value for key, value in new.items() if old.get(key) != value})
    return delta
