"""Policies on a real cluster: what packets do is what the analyser says, cell by cell.

Each test also says, in words of its own, what must come out: two wrongs that agree fail.
"""

import pytest

from calico.lab.shape import Namespace

from .documents import (
    allow,
    deny,
    from_namespaces,
    from_selector,
    network_set,
    policy,
    tier,
    to_port,
)

pytestmark = [pytest.mark.netns, pytest.mark.etcd, pytest.mark.bird, pytest.mark.slow]

PODS = {"red/a", "red/b", "blue/a", "blue/b", "green/a"}


def others(*names):
    return PODS - set(names)


def test_without_policy_all_is_open(world):
    got = world.agrees()
    assert all(got.measured.values())


def test_default_deny_of_a_namespace(world):
    world.apply(policy("deny", "blue", selector="all()", types=["Ingress"]))
    got = world.agrees()
    assert got.reached("blue/a") == got.reached("blue/b", "tcp/80") == set()
    assert got.reached("red/a") == others("red/a"), "blue may still ask"


def test_default_deny_of_everything_both_ways(world):
    world.apply(policy("deny", selector="all()", types=["Ingress", "Egress"]))
    got = world.agrees()
    assert {(q.source, q.destination) for q, ok in got.measured.items() if ok} == {
        (name, name) for name in PODS
    }


def test_isolation_by_namespace(world):
    world.apply(
        policy("own", "red", ingress=[allow(**from_selector("all()"))]),
        policy("own", "blue", ingress=[allow(**from_namespaces('team == "blue"'))]),
    )
    got = world.agrees()
    assert got.reached("red/a") == {"red/b"}
    assert got.reached("blue/b", "udp/53") == {"blue/a"}
    assert got.reached("green/a") == others("green/a")


def test_allow_by_label_and_port(world):
    world.apply(
        policy(
            "api",
            "red",
            selector='app == "api"',
            ingress=[
                allow(**from_selector('role == "client"'), **{"protocol": "TCP"}
                      | {"destination": {"ports": [80]}}),
                allow(
                    protocol="UDP",
                    source={"selector": 'role == "client"', "namespaceSelector": "all()"},
                    destination={"ports": [53]},
                ),
            ],
        )
    )  # fmt: skip
    got = world.agrees()
    assert got.reached("red/b", "tcp/80") == {"red/a"}
    assert got.reached("red/b", "tcp/8080") == got.reached("red/b") == set()
    assert got.reached("red/b", "udp/53") == {"red/a", "green/a"}


def test_port_ranges_and_exceptions(world):
    world.apply(
        policy(
            "most",
            selector='app == "web"',
            ingress=[
                allow(protocol="TCP", destination={"ports": ["1:1000"], "notPorts": [79]}),
                allow(protocol="UDP", destination={"notPorts": [53]}),
            ],
        )
    )
    got = world.agrees()
    assert got.reached("blue/a", "tcp/80") == others("blue/a")
    assert got.reached("blue/a", "tcp/8080") == got.reached("blue/a", "udp/53") == set()


def test_egress_to_a_net_with_an_exception(world):
    world.apply(
        policy(
            "office",
            "red",
            selector="all()",
            egress=[
                allow(destination={"nets": ["172.30.9.0/24"], "notNets": ["172.30.9.20/32"]}),
                allow(destination={"nets": ["fd30:9::/64"], "notNets": ["fd30:9::20/128"]}),
            ],
        )
    )
    got = world.agrees(outside=True)
    assert got("red/a", "laptop") is True
    assert got("red/a", "laptop", "tcp/80") is True
    assert got("red/a", "printer") is False
    assert got("red/a", "blue/b") is False
    assert got("blue/b", "printer") is True
    assert got("green/a", "red/a") is True, "answers are no new connections"


def test_network_sets(world):
    world.apply(
        network_set("laptops", ["172.30.9.30/32", "fd30:9::30/128"], {"kind": "laptop"}),
        policy("staff", selector='app == "db"', ingress=[allow(**from_selector("has(kind)"))]),
    )
    got = world.agrees(outside=True)
    assert got.reached("blue/b") - {"node-3"} == {"laptop"}, "its own node is never judged"


def test_a_network_set_that_changes(world):
    world.apply(
        network_set("friends", ["172.30.9.30/32"], {"kind": "friend"}),
        policy("friends", selector='app == "db"',
               ingress=[allow(**from_selector('kind == "friend"'))]),
    )  # fmt: skip
    assert world.agrees(outside=True)("laptop", "blue/b") == {4: True, 6: False}
    world.apply(network_set("friends", ["172.30.9.0/25", "fd30:9::20/128"], {"kind": "friend"}))
    got = world.agrees(outside=True)
    assert got("printer", "blue/b") is True
    assert got("laptop", "blue/b") == {4: True, 6: False}


def test_tiers_and_pass(world):
    world.apply(
        tier("security", 100),
        tier("platform", 200, "Pass"),
        policy("no-green", tier="security", namespaceSelector='team == "blue"',
               ingress=[deny(**from_namespaces('projectcalico.org/name == "green"')),
                        {"action": "Pass"}]),
        policy("look", tier="platform", selector="all()", ingress=[deny(**to_port(8080))]),
        policy("web", "blue", selector="all()", ingress=[allow(**to_port(80, 8080))]),
    )  # fmt: skip
    got = world.agrees()
    assert got.reached("blue/a", "tcp/80") == others("blue/a", "green/a")
    assert got.reached("blue/a", "tcp/8080") == set(), "denied by the second tier"
    assert got.reached("blue/a") == set(), "the end of tier default"
    assert got.reached("red/a", "udp/53") == others("red/a"), "passed, then allowed by the profile"
    assert got.reached("red/a", "tcp/8080") == set()


def test_the_end_of_a_tier_denies_before_the_next(world):
    world.apply(
        tier("first", 100),
        policy("some", tier="first", selector='app == "db"', ingress=[allow(**to_port(80))]),
        policy("all", selector="all()", ingress=[allow()]),
    )
    got = world.agrees()
    assert got.reached("blue/b", "tcp/80") == others("blue/b")
    assert got.reached("blue/b", "tcp/8080") == set()
    assert got.reached("red/b") == others("red/b")


@pytest.mark.parametrize(
    ("denying", "allowing", "order", "open_"),
    [
        ("a-b", "a", (1, 1), False),  # "a-b//..." comes before "a//..."
        ("a", "a-b", (1, 1), True),
        ("a", "b", (2, 1), True),
        ("b", "a", (1, 2), False),
        ("a", "b", (None, 1), True),  # no order comes last
    ],
)
def test_order_and_ties(world, denying, allowing, order, open_):
    orders = [{} if one is None else {"order": one} for one in order]
    world.apply(
        policy(denying, selector='app == "db"', ingress=[deny()], **orders[0]),
        policy(allowing, selector='app == "db"', ingress=[allow()], **orders[1]),
    )
    assert world.agrees().reached("blue/b") == (others("blue/b") if open_ else set())


def test_rules_of_one_ip_version(world):
    world.apply(
        policy(
            "six",
            selector='app == "db"',
            ingress=[
                allow(ipVersion=6, protocol="TCP", destination={"ports": [80]}),
                allow(ipVersion=4, protocol="UDP"),
                allow(protocol="ICMPv6"),
            ],
        )
    )
    got = world.agrees()
    assert got("red/a", "blue/b", "tcp/80") == {4: False, 6: True}
    assert got("red/a", "blue/b", "udp/53") == {4: True, 6: False}
    assert got("red/a", "blue/b", "icmp") == {4: False, 6: True}
    assert got("red/a", "blue/b", "tcp/8080") is False


def test_icmp_types_and_protocols_by_number(world):
    world.apply(
        policy(
            "ping",
            selector='app == "db"',
            ingress=[
                allow(ipVersion=4, protocol="ICMP", icmp={"type": 8}),
                allow(protocol=17),
                allow(notProtocol="UDP", protocol="TCP", destination={"ports": [8080]}),
            ],
        )
    )
    got = world.agrees()
    assert got("red/a", "blue/b") == {4: True, 6: False}
    assert got.reached("blue/b", "udp/53") == got.reached("blue/b", "tcp/8080") == others("blue/b")
    assert got.reached("blue/b", "tcp/80") == set()


def test_log_goes_on_and_negated_selectors_exclude(world):
    world.apply(
        policy(
            "quiet",
            "blue",
            selector='app == "db"',
            ingress=[
                {"action": "Log"},
                allow(source={"namespaceSelector": "all()", "notSelector": 'role == "client"'}),
            ],
        )
    )
    assert world.agrees().reached("blue/b") == others("blue/b", "red/a", "green/a")


def test_service_accounts_and_selectors_of_policies(world):
    world.apply(
        policy("by-account", "red", serviceAccountSelector='projectcalico.org/name == "default"',
               ingress=[allow(source={"serviceAccounts": {"names": ["default"]}})]),
        policy("by-namespace", namespaceSelector='tier == "back"', ingress=[allow(**to_port(80))]),
    )  # fmt: skip
    got = world.agrees()
    assert got.reached("red/a") == {"red/b"}, "the rule is of namespace red"
    assert got.reached("blue/a", "tcp/80") == others("blue/a")
    assert got.reached("blue/a", "tcp/8080") == set()
    assert got.reached("green/a") == others("green/a")


def test_a_staged_policy_does_nothing(world):
    staged = policy("deny", "blue", selector="all()", types=["Ingress", "Egress"])
    world.apply({**staged, "kind": "StagedNetworkPolicy"})
    assert all(world.agrees().measured.values())


def test_a_namespace_that_gets_another_label(world):
    world.apply(policy("front", selector='app == "db"',
                       ingress=[allow(**from_namespaces('tier == "front"'))]))  # fmt: skip
    assert world.agrees().reached("blue/b") == {"red/a", "red/b"}
    green = next(n for n in world.cluster.topology.namespaces if n.name == "green")
    try:
        world.cluster.add_namespace(Namespace("green", {"tier": "front"}))
        assert world.agrees().reached("blue/b") == {"red/a", "red/b", "green/a"}
    finally:
        world.cluster.add_namespace(green)
    assert world.agrees().reached("blue/b") == {"red/a", "red/b"}


def test_policies_come_and_go(world):
    shut = policy("shut", selector='app == "db"', ingress=[deny()], order=1)
    world.apply(policy("open", selector='app == "db"', ingress=[allow()], order=2))
    for _ in range(2):
        world.apply(shut)
        assert world.agrees().reached("blue/b") == set()
        world.remove(shut)
        assert world.agrees().reached("blue/b") == others("blue/b")
