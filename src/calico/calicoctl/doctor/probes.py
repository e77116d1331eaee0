"""Send packets to the peers, and ask the kernel about the ways to them.

    Peer --probed--> Peer with Probe: route, ping, TCP where no session stands, path MTU

A peer whose session is established is not called by TCP: a second call is only noise to it.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from calico.calicoctl.doctor.echoes import connect, largest, ping
from calico.calicoctl.doctor.facts import Peer, Probe
from calico.core.net.detection import Version
from calico.kernel.run import ProgramFailed, run

_SMALL_BYTES = 64


def probed(peers: Sequence[Peer], own: Mapping[Version, str]) -> list[Peer]:
    """Probe all peers at once; `own` are our addresses that an interface has."""
    routes = {peer.address: _route(peer.address) for peer in peers}
    reachable = [peer for peer in peers if routes[peer.address]]
    answering = ping({peer.address: _SMALL_BYTES for peer in reachable})
    tcp = connect(
        (peer.address, peer.port, own.get(6 if ":" in peer.address else 4, ""))
        for peer in reachable
        if not peer.is_established and peer.is_intended
    )
    wanted = {p.address: p.needed_bytes for p in reachable
              if p.needed_bytes and p.address in answering}  # fmt: skip
    widths = largest(wanted) if wanted else {}
    found = []
    for peer in peers:
        route = routes[peer.address]
        gateway, device = route.get("gateway", ""), route.get("dev", "")
        way = f"via {gateway} dev {device}" if gateway else f"dev {device}"
        probe = Probe(
            route=way if route else "",
            is_local=route.get("type") == "local",
            is_on_link=bool(route) and not gateway,
            neighbour="" if peer.address in answering or not route else _neighbour(peer.address),
            answers_ping=peer.address in answering,
            tcp=tcp.get(peer.address, ""),
            largest_bytes=widths.get(peer.address, 0),
        )
        found.append(replace(peer, probe=probe))
    return found


def _route(address: str) -> dict[str, Any]:
    found = _ip(["route", "get", address])
    if not found or found[0].get("type") in {"unreachable", "blackhole", "prohibit"}:
        return {}
    return found[0]


def _neighbour(address: str) -> str:
    found = _ip(["neigh", "show", "to", address])
    return " ".join(found[0].get("state", ())) if found else ""


def _ip(words: Sequence[str]) -> list[dict[str, Any]]:
    try:
        answer = json.loads(run(["ip", "-j", *words]) or "[]")
    except (ProgramFailed, ValueError):
        return []
    return [one for one in answer if isinstance(one, dict)]
