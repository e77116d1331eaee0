"""Reachability: who reaches whom, by thinking and by packets, with one set of questions.

The world: two machines; "closed" takes nothing on TCP port 80, and all else. The thinking side is
told so by an intent, the measuring side by a kernel's own rules.
"""

import os
from contextlib import ExitStack
from pathlib import Path

import pytest

from calico.core.analysis.matrix import Expected, Party, Port, Question, questions
from calico.core.intent.delta import Intent
from calico.core.intent.endpoints import WorkloadEndpoint
from calico.core.intent.keys import EndpointKey
from calico.core.intent.policies import Profile, Rule, Side
from calico.kernel import netns
from calico.kernel.run import run, spawn
from calico.lab import responder
from calico.lab.probe import Origin, Ports, Prober
from calico.lab.processes import PYTHON, wait_until

OPEN = Party("open", "n1", ("10.9.0.1", "fd09::1"))
CLOSED = Party("closed", "n2", ("10.9.0.2", "fd09::2"))
PARTIES = (OPEN, CLOSED)
ASKED = questions(PARTIES, PARTIES, (Port("icmp"), Port("tcp", 80), Port("udp", 53)))


def thinking():
    allow = Rule("Allow")
    no_web = Rule("Deny", protocol=6, destination=Side(ports=((80, 80),)))
    return Expected(PARTIES, {
        party.node: Intent(
            profiles={"p": Profile((no_web, allow) if party is CLOSED else (allow,), (allow,))},
            endpoints={
                EndpointKey("k8s", party.name, "eth0"): WorkloadEndpoint(
                    "cali1", party.addresses[:1], party.addresses[1:], profiles=("p",)
                )
            },
        )
        for party in PARTIES
    })  # fmt: skip


def machine(party, ending):
    """Make a nameless namespace with a responder in it; return its path here."""
    descriptor = netns.create()
    ending.callback(os.close, descriptor)
    with netns.inside(descriptor):
        child = spawn(
            ("unshare", "-u", *PYTHON, responder.__file__, party.name, "tcp/80", "udp/53")
        )
    ending.callback(child.stop)
    return descriptor


def measuring(tmp_path, ending):
    ends = {party: machine(party, ending) for party in PARTIES}
    for party, descriptor in ends.items():
        with netns.inside(descriptor):
            run(("ip", "-batch", "-"), "link set lo up\n")
            if party is OPEN:
                peer = f"/proc/{os.getpid()}/fd/{ends[CLOSED]}"
                run(("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "eth0",
                     "netns", peer))  # fmt: skip
    for party, descriptor in ends.items():
        with netns.inside(descriptor):
            four, six = party.addresses
            run(("ip", "-batch", "-"), f"address add {four}/24 dev eth0\n"
                f"address add {six}/64 dev eth0 nodad\nlink set eth0 up\n")  # fmt: skip
    with netns.inside(ends[CLOSED]):
        rule = "chain c { type filter hook input priority 0; iifname eth0 tcp dport 80 drop; };"
        run(("nft", "-f", "-"), f"table ip t {{ {rule} }}\ntable ip6 t {{ {rule} }}\n")
    paths = {
        party: Path(f"/proc/{os.getpid()}/fd/{descriptor}") for party, descriptor in ends.items()
    }
    prober = Prober([Origin(*end) for end in paths.items()], Ports(tmp_path / "ports"))
    ready = [question for question in ASKED if question.source == question.destination]
    assert wait_until(lambda: all(prober.matrix(ready).values()), 10)
    return prober


@pytest.fixture(params=["thinking", pytest.param("measuring", marks=pytest.mark.netns)])
def reachability(request, tmp_path):
    if request.param == "thinking":
        yield thinking()
    elif os.geteuid() != 0:
        pytest.skip("needs root: it makes namespaces")
    else:
        with ExitStack() as ending:
            yield measuring(tmp_path, ending)


def test_every_question_is_answered_and_nothing_else(reachability):
    assert list(reachability.matrix(ASKED)) == ASKED
    assert reachability.matrix([]) == {}


def test_what_is_closed_is_closed_in_both_versions_for_all_but_itself(reachability):
    closed = {question for question, ok in reachability.matrix(ASKED).items() if not ok}
    assert closed == {Question("open", "closed", version, "tcp", 80) for version in (4, 6)}


def test_answers_do_not_depend_on_what_was_asked_before(reachability):
    first = reachability.matrix(ASKED)
    for question in ASKED[::5]:
        assert reachability.matrix([question]) == {question: first[question]}


def test_a_party_that_nobody_knows(reachability):
    with pytest.raises(KeyError):
        reachability.matrix([Question("open", "nobody", 4, "icmp", 0)])
