"""Why a peer's session is down, or its wire too narrow: facts in, findings out.

    Peer --peer_findings--> Finding

Of several symptoms the first cause is named: no way there, nobody there, records that disagree,
nobody who listens, a firewall or a password, and last what BIRD says.
"""

from collections.abc import Iterator
from typing import NamedTuple

from calico.calicoctl.doctor.facts import Finding, Peer


class _Cause(NamedTuple):
    why: str
    fix: str


def peer_findings(peer: Peer, *, bird_answers: bool) -> Iterator[Finding]:
    """Judge one peer."""
    if peer.is_established:
        yield Finding("ok", peer.title, "session is established")
    elif cause := _unreachable(peer) or _refused(peer) or _said(peer, bird_answers=bird_answers):
        yield Finding("error", peer.title, cause.why, cause.fix)
    yield from _path_mtu(peer)


def _unreachable(peer: Peer) -> _Cause | None:
    probe, name = peer.probe, peer.node or "the peer"
    if probe.is_local:
        return _Cause(
            f"wrong address: {peer.address} is an address of this machine",
            f"register {name} with its own: set IP of its calico-node and start it again",
        )
    if not probe.route:
        return _Cause(
            "no route: this machine knows no way there",
            f"ip route add {peer.address} via <gateway>, or correct the address of {name}",
        )
    if probe.answers_ping or probe.tcp in {"connected", "refused"}:
        return None
    if probe.is_on_link and probe.neighbour not in {"REACHABLE", "STALE", "DELAY", "PERMANENT"}:
        return _Cause(
            f"nobody answers at {peer.address} ({probe.route}): {name} is down, is not on this "
            "wire, or is registered with a wrong address",
            f"start {name} and plug it in; or see its own `calicoctl node doctor` for its address",
        )
    return _Cause(
        f"answers neither ping nor TCP {peer.port} ({probe.route})",
        f"start {name}; let ICMP and TCP {peer.port} pass on the way, back too",
    )


def _refused(peer: Peer) -> _Cause | None:
    name = peer.node or "the peer"
    if peer.probe.tcp == "refused":
        return _Cause(
            f"refuses TCP {peer.port}: BIRD does not run there, or listens on another port",
            f"start calico-node on {name}; compare listenPort in the BGPConfigurations",
        )
    if peer.trouble:
        return _Cause(peer.trouble, peer.fix)
    if "Bad peer AS" in (peer.session.last_error if peer.session else ""):
        return _bad_as(peer)
    if peer.probe.tcp == "no answer":
        ours = "this side has a password" if peer.has_password else "this side has none"
        return _Cause(
            f"answers ping, but not TCP {peer.port}: a firewall drops it, or the MD5 passwords "
            f"differ ({ours})",
            f"let TCP {peer.port} pass between the two; give both sides the same password",
        )
    return None


def _bad_as(peer: Peer) -> _Cause:
    if peer.session is None:  # a session said so
        return _Cause("wrong AS", "compare the AS numbers")
    return _Cause(
        f"wrong AS ({peer.session.last_error}): this node speaks as AS {peer.session.local_as} and "
        f"expects AS {peer.session.neighbor_as}",
        "set asNumber (Node, BGPPeer or BGPConfiguration) to what the other side is configured "
        "with",
    )


_SAID = {
    "nvalid next hop": (
        "it sends routes with a next hop that this node cannot reach",
        "let the two share a subnet, or set nextHopMode: Self on its BGPPeer",
    ),
    "old timer expired": (
        "its messages stopped coming",
        "look for loss or a low MTU on the way, and for a machine that is overloaded",
    ),
    "dministrative": ("it was shut down there by hand", "enable the session on the other side"),
    "onnection rejected": (
        "it knows no session with this node's address",
        "configure the session there, with this node's address",
    ),
    "o route to host": ("no machine answers there", "start it, or correct its address"),
}


def _said(peer: Peer, *, bird_answers: bool) -> _Cause | None:
    if peer.session is None:
        if not bird_answers:
            return None  # said once, for BIRD itself
        return _Cause(
            "BIRD has no session with it, though the records ask for one",
            "see BIRD in the agent's readiness, and calico-node's log: its configuration is not "
            "applied",
        )
    error = peer.session.last_error
    for words, (meaning, fix) in _SAID.items():
        if words in error:
            return _Cause(f"{meaning} ({error})", fix)
    state = peer.session.state or "down"
    told = f"; BIRD's last error: {error}" if error else "; BIRD names no error"
    return _Cause(
        f"session is {state}{told}",
        "wait ten seconds and look again; then compare both sides' `calicoctl node doctor`",
    )


def _path_mtu(peer: Peer) -> Iterator[Finding]:
    needed, largest = peer.needed_bytes, peer.probe.largest_bytes
    if not needed or not largest:
        return
    what = f"path MTU {peer.node} {peer.address}"
    if largest >= needed:
        yield Finding("ok", what, f"{needed} bytes, a pod's largest packet, pass whole")
        return
    yield Finding(
        "error", what,
        f"packets of more than {largest} bytes are lost, pods send up to {needed} (with what "
        "tunnels add): large answers hang",
        f"raise the MTU of the network between the two to {needed}, or set veth_mtu / "
        f"FelixConfiguration mtu so that pods get {needed - largest} bytes less, and restart pods",
    )  # fmt: skip
