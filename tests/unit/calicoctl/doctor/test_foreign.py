"""Rules of others, as `nft -a -s list table` prints them, and which of them matter."""

import pytest

from calico.calicoctl.doctor.facts import Known, Machine
from calico.calicoctl.doctor.foreign import foreign_rules
from calico.calicoctl.doctor.rules import parse_chains
from calico.core.net.detection import Interface

LISTING = """\
table ip filter { # handle 1
	set bad { # handle 9
		type ipv4_addr
		elements = { 203.0.113.1, 203.0.113.2,
		203.0.113.3 }
	}

	map ways { # handle 10
		type ifname : verdict
		elements = { "eth7" : jump LATER }
	}

	chain FORWARD { # handle 2
		type filter hook forward priority filter; policy POLICY;
		RULE # handle 7
		counter jump LATER # handle 8
	}

	chain LATER { # handle 3
		ip saddr { 203.0.113.1, 203.0.113.2,
		203.0.113.3 } counter accept # handle 11
		return # handle 12
	}

	chain UNUSED { # handle 4
		drop # handle 13
	}
}
"""


def machine(text):
    interfaces = (Interface("eth0", ("192.0.2.1/24",)),)
    return Machine(node="n1", chains=parse_chains(text), interfaces=interfaces)


KNOWN = Known(
    own={4: "192.0.2.1/24"}, networks=("10.65.0.0/16", "fd65::/64", "192.0.2.1", "192.0.2.2")
)


def judged(rule="accept", policy="accept", listing=LISTING):
    text = listing.replace("RULE", rule).replace("POLICY", policy)
    return list(foreign_rules(machine(text), KNOWN))


def test_a_listing_is_read():
    chains = parse_chains(LISTING.replace("RULE", "accept").replace("POLICY", "drop"))
    assert [(c.table, c.name, c.hook, c.policy) for c in chains] == [
        ("filter", "FORWARD", "forward", "drop"),
        ("filter", "LATER", "", ""),
        ("filter", "UNUSED", "", ""),
    ]
    assert [rule.handle for rule in chains[1].rules] == ["11", "12"]
    assert chains[1].rules[0].text == (
        "ip saddr { 203.0.113.1, 203.0.113.2, 203.0.113.3 } counter accept"
    )


@pytest.mark.parametrize(
    ("rule", "severity"),
    [
        ("drop", "error"),
        ('counter comment "no drop here" drop', "error"),
        ("reject with icmpx admin-prohibited", "error"),
        ('log prefix "x" counter packets 1 bytes 2 drop', "error"),
        ('iifname "cali*" drop', "error"),
        ("ip saddr 10.65.3.0/24 drop", "error"),
        ("ip daddr { 198.51.100.1, 10.0.0.0/8 } drop", "error"),
        ("ip6 saddr fd65::5 drop", "error"),
        ("tcp dport 179 drop", "error"),
        ("tcp dport { 22, 179 } drop", "error"),
        ("meta l4proto udp drop", "warning"),
        ('oifname "eth0" meta l4proto udp drop', "warning"),
        ('iifname "e*" udp length 5 drop', "warning"),
        ('iifname != "docker0" oifname "docker0" drop', "ok"),
        ("ct state invalid drop", "ok"),
        ("ip daddr 10.96.0.5 tcp dport 80 reject", "ok"),
        ("ip saddr 203.0.113.0/24 drop", "ok"),
        ('comment "drop" accept', "ok"),
        ("accept", "ok"),
    ],
)
def test_a_rule_of_the_forward_hook(rule, severity):
    found = judged(rule)
    assert [one.severity for one in found] == [severity], found
    if severity != "ok":
        assert rule in found[0].why
        assert "nft delete rule ip filter FORWARD handle 7" in found[0].fix


def test_policy_drop_unless_pods_are_let_pass():
    found = judged(policy="drop")
    assert [one.severity for one in found] == ["error"]
    assert "iptables -P FORWARD ACCEPT" in found[0].fix
    assert [one.severity for one in judged('iifname "cali*" accept', "drop")] == ["ok"]
    later = LISTING.replace("return #", "ip saddr 10.65.0.0/16 drop #")
    found = judged('iifname "cali*" accept', "drop", later)
    assert [one.severity for one in found] == ["error"], "what names pods is no policy"
    named = LISTING.replace("table ip filter", "table inet mine").replace("FORWARD", "fwd")
    found = judged(policy="drop", listing=named)
    assert 'nft insert rule inet mine fwd iifname "cali*" accept' in found[0].fix


def test_rules_behind_a_jump_count():
    found = judged(listing=LISTING.replace("return # handle 12", "drop # handle 12"))
    assert "nft delete rule ip filter LATER handle 12" in found[0].fix


@pytest.mark.parametrize(
    ("rule", "policy", "severity"),
    [
        ("tcp dport 22 drop", "accept", "ok"),
        ("tcp dport 179 drop", "accept", "error"),
        ("tcp dport 22 accept", "drop", "warning"),
        ("tcp dport { 22, 179 } accept", "drop", "ok"),
    ],
)
def test_the_input_hook_is_about_bgp(rule, policy, severity):
    found = judged(rule, policy, LISTING.replace("hook forward", "hook input"))
    assert [one.severity for one in found] == [severity], found


def test_other_families_and_hooks_are_left_alone():
    for listing in (
        LISTING.replace("table ip ", "table bridge "),
        LISTING.replace("hook forward", "hook egress"),
    ):
        assert [one.severity for one in judged("drop", "drop", listing)] == ["ok"]


def test_what_iptables_mode_left_is_said_once():
    left = LISTING.replace("LATER", "cali-FORWARD").replace("return #", "drop #")
    found = judged(listing=left)
    assert [one.what for one in found] == ["old rules"]
    assert "ip filter" in found[0].why


def test_rules_that_cannot_be_read_are_said():
    found = list(foreign_rules(Machine(node="n1", rules_trouble="no nft"), KNOWN))
    assert [(one.severity, one.why) for one in found] == [("warning", "no nft")]
