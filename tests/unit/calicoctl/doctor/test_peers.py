"""Why a session is down: of several symptoms, the first cause."""

import pytest
from msgspec.structs import replace

from calico.calicoctl.doctor.facts import Peer, Probe
from calico.calicoctl.doctor.peers import peer_findings
from calico.calicoctl.doctor.sessions import Session, parse_sessions

DOWN = Session("Mesh_192_0_2_2", "Active", "192.0.2.2", 64512, 64512)
WAY = Probe(route="dev eth0", is_on_link=True, answers_ping=True, tcp="connected")
PEER = Peer("192.0.2.2", "n2", session=DOWN, probe=WAY)


def said(error):
    return {"session": replace(DOWN, last_error=error)}


def way(**changes):
    return {"probe": replace(WAY, **changes)}


@pytest.mark.parametrize(
    ("changes", "why", "fix"),
    [
        (way(is_local=True), "wrong address: 192.0.2.2 is an address of this machine", "set IP"),
        (way(route=""), "no route", "ip route add 192.0.2.2"),
        (
            way(answers_ping=False, tcp="no answer", neighbour="FAILED"),
            "nobody answers at 192.0.2.2 (dev eth0)", "start n2",
        ),
        (
            way(answers_ping=False, tcp="no answer", neighbour="REACHABLE"),
            "answers neither ping nor TCP 179", "let ICMP and TCP 179 pass",
        ),
        (
            way(answers_ping=False, tcp="no answer", is_on_link=False),
            "answers neither", "start n2",
        ),
        (way(tcp="refused"), "BIRD does not run there", "start calico-node on n2"),
        (way(tcp="refused", answers_ping=False), "BIRD does not run there", "calico-node on n2"),
        ({"trouble": "wrong AS: 1 is not 2", "fix": "mend"}, "wrong AS: 1 is not 2", "mend"),
        (
            said("Received: Bad peer AS"),
            "wrong AS (Received: Bad peer AS): this node speaks as AS 64512", "asNumber",
        ),
        (way(tcp="no answer"), "MD5 passwords differ (this side has none)", "same password"),
        (
            {**way(tcp="no answer"), "has_password": True},
            "(this side has a password)", "same password",
        ),
        (said("Received: Invalid next hop"), "next hop that this node cannot", "nextHopMode"),
        (said("BGP Error: Hold timer expired"), "stopped coming", "low MTU"),
        (said("Received: Administrative shutdown"), "by hand", "enable"),
        (said("Received: Connection rejected"), "knows no session", "configure"),
        (said("Socket: reset"), "session is Active; BIRD's last error: Socket: reset", "wait"),
        (said(""), "BIRD names no error", "wait ten seconds"),
        ({"session": None}, "BIRD has no session with it", "configuration is not applied"),
    ],
)  # fmt: skip
def test_the_cause_is_named_with_its_fix(changes, why, fix):
    found = list(peer_findings(replace(PEER, **changes), bird_answers=True))
    assert [(one.severity, one.what) for one in found] == [("error", "peer n2 192.0.2.2")]
    assert why in found[0].why
    assert fix in found[0].fix


def test_a_bird_that_is_silent_is_not_said_of_every_peer():
    assert list(peer_findings(replace(PEER, session=None), bird_answers=False)) == []


@pytest.mark.parametrize(
    ("needed", "largest", "severities"),
    [
        (0, 1500, ["ok"]),
        (1500, 0, ["ok"]),
        (1500, 1500, ["ok", "ok"]),
        (1500, 1450, ["ok", "error"]),
    ],
)
def test_path_mtu(needed, largest, severities):
    up = replace(DOWN, state="Established")
    peer = replace(PEER, session=up, needed_bytes=needed, probe=Probe(largest_bytes=largest))
    found = list(peer_findings(peer, bird_answers=True))
    assert [one.severity for one in found] == severities
    if severities[-1] == "error":
        assert "more than 1450 bytes are lost, pods send up to 1500" in found[1].why
        assert "50 bytes less" in found[1].fix


REPLY = [
    (1002, "kernel1    Kernel     master4    up     18:28:32"),
    (1006, "  Channel ipv4"),
    (1006, "    Last error:       not of a session"),
    (1002, "Mesh_192_0_2_2 BGP        ---        start  18:41:49      Active        Received: x"),
    (1006, "  BGP state:          Active"),
    (1006, "    Neighbor address: 192.0.2.2"),
    (1006, "    Neighbor AS:      65001"),
    (1006, "    Local AS:         64512"),
    (1006, "    Last error:       Received: Bad peer AS"),
    (1006, "  Channel ipv4"),
    (1006, "    BGP Next hop:   192.0.2.1"),
    (1002, "Mesh_fe80__1 BGP        ---        up     18:41:49      Established"),
    (1006, "  BGP state:          Established"),
    (1006, "    Neighbor address: fe80::1%eth0"),
]


def test_sessions_are_read_from_birds_words():
    assert parse_sessions(REPLY) == (
        Session("Mesh_192_0_2_2", "Active", "192.0.2.2", 65001, 64512, "Received: Bad peer AS"),
        Session("Mesh_fe80__1", "Established", "fe80::1"),
    )
