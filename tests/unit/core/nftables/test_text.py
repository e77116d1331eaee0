import pytest

from calico.core.nftables.changes import Contents
from calico.core.nftables.text import render_rule, render_table
from calico.core.nftables.vocabulary import (
    AnyOf,
    Chain,
    Counter,
    Dispatch,
    Hook,
    InSet,
    Is,
    Limit,
    Log,
    Masquerade,
    Reject,
    Rule,
    Set,
    SetMark,
    Snat,
    Verdict,
)


@pytest.mark.parametrize(
    ("family", "rule", "text"),
    [
        (
            "ip",
            Rule((Is("iifname", "cali*"), Counter(), Verdict("jump", "c")), "why"),
            'iifname "cali*" counter jump c comment "why"',
        ),
        ("ip", Rule((Is("saddr", "10.0.0.0/8", negated=True),)), "ip saddr != 10.0.0.0/8"),
        ("ip6", Rule((Is("daddr", "fd00::1"), Reject())), "ip6 daddr fd00::1 reject"),
        ("ip6", Rule((Is("l4proto", 58), Is("icmp_type", 1))), "meta l4proto 58 icmpv6 type 1"),
        ("ip", Rule((Is("mark", 16, mask=255),)), "meta mark & 0xff == 0x10"),
        ("ip", Rule((AnyOf("dport", ((1, 2),), negated=True),)), "th dport != 1-2"),
        ("ip", Rule((AnyOf("dport", (80, (90, 99))),)), "th dport { 80, 90-99 }"),
        ("ip", Rule((InSet(("daddr", "dport"), "s"),)), "ip daddr . th dport @s"),
        ("ip", Rule((Dispatch(("oifname",), "m"),)), "oifname vmap @m"),
        ("ip", Rule((SetMark(0xFF, 0x10),)), "meta mark set meta mark & 0xffffff00 | 0x10"),
        (
            "ip",
            Rule((Limit(5, "minute", 7, over=True),)),
            "limit rate over 5/minute burst 7 packets",
        ),
        ("ip", Rule((Log('a "b"', group=2),)), "log prefix \"a 'b'\" group 2"),
        ("ip", Rule((Masquerade((1, 9), True),)), "masquerade to :1-9 fully-random"),
        ("ip6", Rule((Snat("fd00::1", (1, 9)),)), "snat to [fd00::1]:1-9"),
    ],
)
def test_rules(family, rule, text):
    assert render_rule(rule, family) == text


def test_a_table():
    contents = Contents(
        {"f": Chain((Rule((Verdict("drop"),)),), Hook("filter", "forward", -5, "drop"))},
        {"s": Set(("saddr",), intervals=True), "m": Set(("iifname", "saddr"), verdicts=True)},
        {"s": {("10.0.0.0/8",): True}, "m": {("cali1", "10.0.0.1"): Verdict("goto", "f")}},
    )
    assert (
        render_table("ip", "calico", contents).expandtabs(1)
        == """\
table ip calico {
 map m {
  type ifname . ipv4_addr : verdict
  elements = { "cali1" . 10.0.0.1 : goto f }
 }
 set s {
  type ipv4_addr
  flags interval
  elements = { 10.0.0.0/8 }
 }
 chain f {
  type filter hook forward priority -5; policy drop;
  drop
 }
}
"""
    )
