"""What changes while the agent runs, and what packets make of it: one agent, one change each."""

import pytest

from calico.core.intent.ip_sets import IpSet
from calico.core.intent.policies import Profile, Rule, Side
from calico.core.render.settings import RenderSettings
from intents import OPEN, intent, pod, policies, tier
from packets import tcp, udp

pytestmark = pytest.mark.netns

ALLOW, DENY, PASS = Rule("Allow"), Rule("Deny"), Rule("Pass")
FROM_SET = Rule("Allow", source=Side(ip_sets=("s:1",)))
A = "10.65.0.10"


@pytest.fixture
def agent(net):
    net.unload()
    with net.agent(RenderSettings()) as started:
        yield started


def ends(net, **more):
    return pod(net, "a"), pod(net, "b", tier(["p", "q"]), **more)


def with_set(net, kind, *members):
    held = policies(p=((FROM_SET,), ()), q=((), ()))
    return intent(*ends(net), policies=held, ip_sets={"s:1": IpSet(kind, frozenset(members))})


def walk(net, agent, steps):
    for why, held, arrives in steps:
        agent.become(held)
        assert bool(net.sends("a", "b", tcp(80))) == arrives, why
        assert bool(net.sends("a", "b", udp(53))) == arrives, why


def test_members_and_kinds_of_a_set(net, agent):
    walk(
        net,
        agent,
        [
            ("not a member", with_set(net, "address", "10.65.0.99"), False),
            ("a member", with_set(net, "address", "10.65.0.99", A), True),
            ("no longer", with_set(net, "address", "10.65.0.99"), False),
            ("in a net of it", with_set(net, "net", "10.65.0.0/24"), True),
            ("in another net", with_set(net, "net", "10.66.0.0/24"), False),
            ("a member again", with_set(net, "address", A), True),
            ("empty", with_set(net, "net"), False),
        ],
    )


def test_rules_of_a_policy(net, agent):
    def having(*rules, q=()):
        return intent(*ends(net), policies=policies(p=(rules, ()), q=(q, ())))

    walk(
        net,
        agent,
        [
            ("allowed", having(ALLOW), True),
            ("denied", having(DENY), False),
            ("its first pass: the tier must look", having(PASS, q=(DENY,)), True),
            ("passes no longer", having(q=(DENY,)), False),
            ("what it reads is not there: drop", having(FROM_SET, ALLOW), False),
            ("allowed again", having(ALLOW), True),
            ("nothing said, the next one allows", having(q=(ALLOW,)), True),
        ],
    )


def test_policies_profiles_and_endpoints_come_and_go(net, agent):
    p_only, q_only = policies(p=((ALLOW,), ())), policies(q=((), ()))
    both = p_only | q_only
    closed = OPEN | {"open": Profile((DENY,), (DENY,))}
    unjudged = pod(net, "a"), pod(net, "b")
    walk(
        net,
        agent,
        [
            ("nobody is known", intent(), False),
            ("no policy: the profile allows", intent(*unjudged), True),
            ("the profile denies", intent(*unjudged, profiles=closed), False),
            ("the profile is gone: deny", intent(*unjudged, profiles={}), False),
            ("the profile is back", intent(*unjudged), True),
            ("judged, q is missing", intent(*ends(net), policies=p_only), True),
            ("judged", intent(*ends(net), policies=both), True),
            (
                "p is missing: deny",
                intent(*ends(net), policies=q_only),
                False,
            ),
            ("judged again", intent(*ends(net), policies=both), True),
            ("the endpoint is gone", intent(pod(net, "a"), policies={}), False),
            ("and back", intent(*ends(net), policies=both), True),
        ],
    )


def test_a_second_agent_changes_nothing_that_is_right(net, agent):
    held = intent(*ends(net), policies=policies(p=((ALLOW,), ()), q=((), ())))
    agent.become(held)
    assert net.sends("a", "b", tcp(80))
    with net.agent(RenderSettings()) as second:
        assert second.become(held) == 0
    with net.agent(RenderSettings(mark_mask=0xFF)) as third:
        assert third.become(held) > 0, "other settings, other rules"
    assert net.sends("a", "b", tcp(80))
