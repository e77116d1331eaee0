"""Stations and segments, before any Calico: packets pass, files are apart, nothing leaks out."""

import os
from pathlib import Path

import pytest

from calico.core.analysis.matrix import Port, questions
from calico.kernel.run import ProgramFailed, run
from calico.lab.cluster import down
from calico.lab.place import Place
from calico.lab.processes import wait_until

from .conftest import ROOT, make_wires

pytestmark = pytest.mark.netns

PORTS = (Port("icmp"), Port("tcp", 80), Port("udp", 53))


def asked(wires, ports=PORTS):
    return questions(wires.parties, wires.parties, ports)


def reachable(wires, ports=PORTS):
    """Everything that is reached, once the responders are up."""
    everything = asked(wires, ports)
    assert wait_until(lambda: all(wires.prober.matrix(everything).values()), 5)
    return everything


def machine():
    """What this machine's own network and mounts look like."""
    look = (["ip", "-o", "link"], ["ip", "route"], ["nft", "list", "ruleset"], ["ip", "netns"])
    return [run(words) for words in look], Path("/proc/self/mounts").read_text()


def test_every_protocol_passes_the_router_in_both_versions(wires):
    assert len(reachable(wires)) == 24


def test_a_refusal_is_no_answer(wires):
    reachable(wires)
    closed = asked(wires, (Port("tcp", 81), Port("udp", 54)))
    assert set(wires.prober.matrix(closed).values()) == {False}


def test_only_what_is_dropped_is_unreachable(wires):
    everything = reachable(wires)
    rules = """table ip6 t { chain c { type filter hook input priority 0; udp dport 53 drop; }; }
    table ip t { chain c { type filter hook input priority 0; tcp dport 80 reject; }; }"""
    run((*wires.inside("bob"), "nft", "-f", "-"), rules)
    measured = wires.prober.matrix(everything)
    closed = {(q.version, q.protocol) for q, ok in measured.items() if not ok}
    assert closed == {(6, "udp"), (4, "tcp")}
    assert {q.destination for q, ok in measured.items() if not ok} == {"bob"}


def test_an_answer_of_somebody_else_does_not_count(wires):
    everything = reachable(wires)
    rules = """table ip n { chain c { type nat hook prerouting priority -100;
    ip daddr 172.30.2.12 dnat to 172.30.1.11; }; chain o { type nat hook postrouting priority 100;
    masquerade; }; }"""
    run((*wires.inside("gateway"), "nft", "-f", "-"), rules)
    measured = wires.prober.matrix(everything)
    wrong = {(q.protocol, q.version) for q, ok in measured.items() if not ok and q.source != "bob"}
    assert {("tcp", 4), ("udp", 4)} <= wrong


def test_stations_have_files_of_their_own(wires):
    for station in ("alice", "bob"):
        run((*wires.inside(station), "sh", "-c", f"echo {station} > /etc/calico/who"))
        run((*wires.inside(station), "sh", "-c", f"echo {station} > /run/calico/who"))
        assert run((*wires.inside(station), "hostname")).strip() == station
    for station in ("alice", "bob"):
        assert run((*wires.inside(station), "cat", "/etc/calico/who")).strip() == station
        assert run((*wires.inside(station), "cat", "/run/calico/who")).strip() == station
        assert run((*wires.inside(station), "grep", "-c", "^root:", "/etc/passwd")).strip() == "1"
    with pytest.raises(ProgramFailed):
        run((*wires.inside("fabric"), "cat", "/etc/calico/who"))


def test_segments_have_their_mtu(wires):
    assert "mtu 1400" in run((*wires.inside("bob"), "ip", "link", "show", "eth0"))
    assert "mtu 1500" in run((*wires.inside("alice"), "ip", "link", "show", "eth0"))


def test_the_machine_itself_is_left_alone(tmp_path):
    before, mounts = machine()
    name = f"alone-{os.getpid()}"
    try:
        make_wires(name, tmp_path)
        during, _ = machine()
    finally:
        down(Place(ROOT, name))
    assert during == before
    assert machine() == (before, mounts)
    assert not (ROOT / name).exists()


def test_two_labs_do_not_meet(wires, tmp_path):
    everything = reachable(wires)
    other = f"twin-{os.getpid()}"
    try:
        twin = make_wires(other, tmp_path)
        reachable(twin)
        run((*twin.inside("bob"), "ip", "link", "set", "eth0", "down"))
        assert not all(twin.prober.matrix(asked(twin)).values())
        assert all(wires.prober.matrix(everything).values())
    finally:
        down(Place(ROOT, other))
    assert all(wires.prober.matrix(everything).values())
