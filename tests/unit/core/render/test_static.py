import pytest

from calico.core.nftables.vocabulary import (
    Chain,
    Counter,
    Dispatch,
    Hook,
    InSet,
    Is,
    Masquerade,
    Reject,
    ReversePathMissing,
    Rule,
    Snat,
    Verdict,
)
from calico.core.render.settings import RenderSettings
from calico.core.render.static import arp_chains, fixed_chains, nat_outgoing, source_check

DEFAULTS = RenderSettings()
COUNT = Counter()
LEAVING = (
    InSet(("saddr",), "cali40masq-ipam-pools"),
    InSet(("daddr",), "cali40network-ip-pools", negated=True),
)


def jumps(chain):
    return [rule.expressions[-1] for rule in chain.rules]


@pytest.mark.parametrize(
    ("name", "hook", "first"),
    [
        ("raw-PREROUTING", Hook("filter", "prerouting", -300), "raw-cali-PREROUTING"),
        ("filter-INPUT", Hook("filter", "input", 0), "filter-cali-INPUT"),
        ("filter-FORWARD", Hook("filter", "forward", 0), "filter-cali-FORWARD"),
        ("nat-POSTROUTING", Hook("nat", "postrouting", 110), "nat-cali-POSTROUTING"),
    ],
)
def test_hooks(name, hook, first):
    for family in ("ip", "ip6"):
        chain = fixed_chains(family, DEFAULTS)[name]
        assert chain == Chain((Rule((Verdict("jump", first),)),), hook)


def test_no_other_hooks():
    hooked = [name for name, chain in fixed_chains("ip", DEFAULTS).items() if chain.hook]
    assert len(hooked) == 4


def test_unknown_interfaces_are_denied():
    settings = RenderSettings(filter_deny_action="Reject")
    for field, name in (
        ("iifname", "filter-cali-from-wl-dispatch"),
        ("oifname", "filter-cali-to-wl-dispatch"),
    ):
        dispatch, unknown = fixed_chains("ip", settings)[name].rules
        assert dispatch == Rule((Dispatch((field,), name),))
        assert unknown == Rule((COUNT, Reject()), "Unknown interface")


def test_every_prefix_is_guarded():
    settings = RenderSettings(interface_prefixes=("cali", "tap"))
    forward = fixed_chains("ip", settings)["filter-cali-FORWARD"]
    assert [rule.expressions[0] for rule in forward.rules] == [
        Is("iifname", "cali*"),
        Is("iifname", "tap*"),
        Is("oifname", "cali*"),
        Is("oifname", "tap*"),
    ]
    assert len(fixed_chains("ip", settings)["filter-cali-INPUT"].rules) == 2
    assert len(source_check("ip", {}, settings)["raw-cali-PREROUTING"].rules) == 2


@pytest.mark.parametrize(
    ("action", "last"), [("Drop", "drop"), ("Return", "return"), ("Accept", "accept")]
)
def test_to_the_host(action, last):
    chain = fixed_chains("ip", RenderSettings(endpoint_to_host_action=action))[
        "filter-cali-wl-to-host"
    ]
    assert jumps(chain) == [Verdict("jump", "filter-cali-from-wl-dispatch"), Verdict(last)]
    six = fixed_chains("ip6", DEFAULTS)["filter-cali-wl-to-host"]
    assert jumps(six)[0] == Verdict("accept"), "neighbour discovery"


def test_source_check():
    missing = (ReversePathMissing(), COUNT, Verdict("drop"))
    chains = source_check("ip", {"cali1": ("10.0.0.0/8",)}, DEFAULTS)
    assert chains["raw-cali-PREROUTING"] == Chain((Rule((Is("iifname", "cali*"), *missing)),))
    assert chains["raw-cali-rpf-skip"] is None
    spoofers = {
        "cali2": ("fd00::/8", "10.0.0.0/8"),
        "cali1": ("0.0.0.0/0",),
        "cali3": ("fd00::/8",),
    }
    chains = source_check("ip", spoofers, RenderSettings(source_spoofing=True))
    assert jumps(chains["raw-cali-PREROUTING"])[0] == Verdict("jump", "raw-cali-rpf-skip")
    assert [rule.expressions[:-2] for rule in chains["raw-cali-rpf-skip"].rules] == [
        (Is("iifname", "cali1"),),
        (Is("iifname", "cali2"), Is("saddr", "10.0.0.0/8")),
    ]


@pytest.mark.parametrize(
    ("why", "chain", "expected"),
    [
        ("no pool asks", nat_outgoing("ip", None, DEFAULTS, active=False), []),
        (
            "masquerade",
            nat_outgoing("ip", None, DEFAULTS, active=True),
            [(*LEAVING, COUNT, Masquerade(fully_random=True))],
        ),
        (
            "an address is for IPv4",
            nat_outgoing("ip", None, RenderSettings(nat_outgoing_address="192.0.2.1"), active=True),
            [(*LEAVING, COUNT, Snat("192.0.2.1", fully_random=True))],
        ),
        (
            "ports are for TCP and UDP",
            nat_outgoing("ip", None, RenderSettings(nat_port_range=(1, 2)), active=True),
            [
                (Is("l4proto", 6), *LEAVING, COUNT, Masquerade((1, 2), fully_random=True)),
                (Is("l4proto", 17), *LEAVING, COUNT, Masquerade((1, 2), fully_random=True)),
                (*LEAVING, COUNT, Masquerade(fully_random=True)),
            ],
        ),
        (
            "hosts and interface",
            nat_outgoing(
                "ip",
                "net",
                RenderSettings(nat_exclude_hosts=True, nat_outgoing_interface="eth0"),
                active=True,
            ),
            [
                (
                    *LEAVING,
                    InSet(("daddr",), "cali40all-hosts-net-net", negated=True),
                    Is("oifname", "eth0"),
                    COUNT,
                    Masquerade(fully_random=True),
                )
            ],
        ),
    ],
)
def test_nat_outgoing(why, chain, expected):
    assert [rule.expressions for rule in chain.rules] == expected, why


def test_an_ipv4_address_is_not_for_ipv6():
    settings = RenderSettings(nat_outgoing_address="192.0.2.1")
    (rule,) = nat_outgoing("ip6", None, settings, active=True).rules
    assert rule.expressions[-1] == Masquerade(fully_random=True)
    assert rule.expressions[0] == InSet(("saddr",), "cali60masq-ipam-pools")


def test_arp():
    chains = arp_chains()
    assert chains["filter-OUTPUT"].hook == Hook("filter", "output", 0)
    dispatch = Rule((Dispatch(("oifname",), "filter-cali-arp-dispatch"),))
    assert chains["filter-cali-arp-dispatch"] == Chain((dispatch,))
