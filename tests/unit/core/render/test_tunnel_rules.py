"""What tunnels add to the tables, in nft's own words."""

import pytest

from calico.core.intent.tunnels import TunnelEnd
from calico.core.nftables.text import render_rule
from calico.core.nftables.vocabulary import Chain
from calico.core.render.settings import RenderSettings
from calico.core.render.tunnel_rules import (
    free_ports,
    host_elements,
    host_sets,
    postrouting,
    raw_output,
    taken_in,
    untracked,
)

DEFAULTS = RenderSettings()
END = TunnelEnd("192.0.2.1", "10.65.0.1", "66:00:00:00:00:01")
VXLAN, IPIP = {"vxlan4": END}, {"ipip": END}
SIX = {"vxlan6": TunnelEnd("2001:db8::1", "fd65::1", "66:00:00:00:00:02")}


def texts(rules, family="ip"):
    return [render_rule(rule, family) for rule in rules]


@pytest.mark.parametrize("family", ["ip", "ip6"])
def test_without_tunnels_there_is_nothing(family):
    assert list(taken_in(family, {}, DEFAULTS)) == []
    assert untracked(family, {}, DEFAULTS) == ()
    assert set(raw_output(family, {}, DEFAULTS).values()) == {None}
    assert host_sets(family, {}) == {}
    assert len(postrouting(family, {}, DEFAULTS).rules) == 1


def test_each_family_has_its_own_tunnels():
    assert list(taken_in("ip6", VXLAN, DEFAULTS)) == []
    assert list(taken_in("ip", SIX, DEFAULTS)) == []
    assert untracked("ip", IPIP, DEFAULTS) == (), "connections of IPIP are cheap to follow"
    hosts = ("192.0.2.7", "2001:db8::7")
    assert host_elements("ip", VXLAN | SIX, hosts) == {("cali40all-vxlan-net", ("192.0.2.7",))}
    assert host_elements("ip6", VXLAN | SIX, hosts) == {("cali60all-vxlan-net", ("2001:db8::7",))}
    assert set(host_sets("ip", VXLAN | IPIP)) == {"cali40all-vxlan-net", "cali40all-hosts-net"}


def test_tunnelled_packets_are_taken_from_nodes_only():
    known, others = texts(taken_in("ip", VXLAN, DEFAULTS))
    assert "dport 4789" in known
    assert "@cali40all-vxlan-net" in known
    assert known.split(" comment")[0].endswith("accept")
    assert "@" not in others
    assert others.split(" comment")[0].endswith("drop")
    known, others = texts(taken_in("ip", IPIP, DEFAULTS))
    assert "@cali40all-hosts-net" in known
    assert "local" in known
    assert "local" not in others, "not even to be forwarded"


def test_a_tunnel_has_its_own_source_once_it_has_an_address():
    nat, udp, rest = texts(postrouting("ip", VXLAN, DEFAULTS).rules)
    assert "nat-outgoing" in nat
    assert "4790-65535" in udp
    for rule in (udp, rest):
        assert 'oifname "vxlan.calico"' in rule
        assert "saddr != 10.65.0.1" in rule
    bare = {"vxlan4": TunnelEnd("192.0.2.1")}
    assert len(postrouting("ip", bare, DEFAULTS).rules) == 1
    assert len(postrouting("ip", IPIP, DEFAULTS).rules) == 2, "no port to keep free"


def test_vxlan_is_not_tracked_either_way():
    chains = raw_output("ip", VXLAN, RenderSettings(vxlan_port=8472))
    assert isinstance(chains["raw-OUTPUT"], Chain)
    rules = texts(chains["raw-cali-OUTPUT"].rules)
    assert rules == texts(untracked("ip", VXLAN, RenderSettings(vxlan_port=8472)))
    assert "8472" in rules[0]
    assert "notrack" in rules[0]


@pytest.mark.parametrize(
    ("port", "free"), [(4789, (4790, 65535)), (60000, (1024, 59999)), (8472, (8473, 65535))]
)
def test_the_wider_side_of_the_port_is_used(port, free):
    assert free_ports(port) == free
