"""Echoes and TCP calls between two real namespaces: who answers, and how wide the wire is."""

import os
import socket
from pathlib import Path

import pytest

from calico.calicoctl.doctor.echoes import connect, largest, ping
from calico.kernel.links import Links, Peer
from calico.kernel.netns import inside
from calico.kernel.run import run, spawn
from waiting import wait_until

pytestmark = [pytest.mark.netns, pytest.mark.slow]

THERE = ("192.0.2.2", "2001:db8::2")
NOBODY = ("192.0.2.3", "2001:db8::3")


def make_end(number):
    for address in (f"192.0.2.{number}/24", f"2001:db8::{number}/64"):
        run(["ip", "address", "add", address, "dev", "eth0", *["nodad"][: ":" in address]])
    run(["ip", "link", "set", "eth0", "up"])


@pytest.fixture
def wire(make_namespace):
    """Two namespaces on one wire; the value is the far one, the test is in the near one."""
    near, far = make_namespace(), make_namespace()
    with inside(near):
        with Links() as links:
            links.create_veth("eth0", Peer("eth0", far))
        make_end(1)
        with inside(far):
            make_end(2)
        wait_until(lambda: ping(dict.fromkeys(THERE, 64), 0.2) == set(THERE), what="the wire")
        yield far


def test_who_answers(wire):
    assert ping(dict.fromkeys((*THERE, *NOBODY, "198.51.100.1"), 64), 0.3) == set(THERE)


def test_who_only_asks_does_not_answer(wire):
    with inside(wire):
        rules = "add table ip t; add chain ip t c { type filter hook input priority 0; }; "
        run(["nft", rules + "add rule ip t c icmp type echo-request drop"])
        asking = spawn(["ping", "-q", "-i", "0.05", "192.0.2.1"], log=Path(os.devnull))
    others = [f"198.51.100.{number}" for number in range(15)]
    try:  # its fifteenth request has the number of ours
        assert ping(dict.fromkeys([*others, THERE[0]], 64), 1.5) == set()
    finally:
        asking.stop()


def test_a_wide_wire(wire):
    assert largest(dict.fromkeys(THERE, 1500)) == dict.fromkeys(THERE, 1500)


def test_a_wire_that_narrows_unseen(wire):
    with inside(wire):
        run(["ip", "link", "set", "eth0", "mtu", "1396"])  # a veth end takes 4 bytes more
    assert largest(dict.fromkeys(THERE, 1500)) == dict.fromkeys(THERE, 1400)
    assert largest(dict.fromkeys(THERE, 1400)) == dict.fromkeys(THERE, 1400)


def test_more_than_our_own_interface_takes(wire):
    assert largest(dict.fromkeys(THERE, 1520)) == dict.fromkeys(THERE, 1500)
    assert largest({NOBODY[0]: 1500}) == {NOBODY[0]: 0}


def test_calls(wire):
    with inside(wire):
        listener = socket.create_server(("192.0.2.2", 179))
        rules = "add table ip6 t; add chain ip6 t c { type filter hook input priority 0; }; "
        run(["nft", rules + "add rule ip6 t c tcp dport 179 drop"])
    with listener:
        places = [(THERE[0], 179, "192.0.2.1"), (THERE[1], 179, ""), ("198.51.100.1", 179, "")]
        assert connect(places, 0.3) == {
            THERE[0]: "connected",
            THERE[1]: "no answer",
            "198.51.100.1": "Network is unreachable",
        }
    assert connect([(THERE[0], 179, "")], 0.3) == {THERE[0]: "refused"}
    assert connect([(THERE[0], 179, "192.0.2.9")], 0.3) == {
        THERE[0]: "Cannot assign requested address"
    }
