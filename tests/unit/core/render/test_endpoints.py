import pytest

from calico.core.intent.endpoints import QosControls, WorkloadEndpoint
from calico.core.intent.keys import PolicyKey
from calico.core.nftables.vocabulary import (
    ConnectionLimit,
    Counter,
    CtState,
    Is,
    Limit,
    Reject,
    SetMark,
    Verdict,
)
from calico.core.render.endpoints import arp_chain, endpoint_chain, group_chain, has_interface
from calico.core.render.names import ProfileKey
from calico.core.render.paths import Path, Step, TierPath
from calico.core.render.settings import RenderSettings

DEFAULTS = RenderSettings()
ACCEPT, PASS = 0x10000, 0x20000
DROP = "drop"


def asks(*names, passing=(), unknown=()):
    return tuple(
        Step(PolicyKey("GlobalNetworkPolicy", "", name), name not in unknown, name in passing)
        for name in names
    )


def outline(chain):
    """A chain in short: marks that must be clear or set, marks cleared, and where it leads."""
    lines = []
    for rule in chain.rules:
        words = []
        for one in rule.expressions:
            match one:
                case Is("mark", 0, False, mask):
                    words.append(f"unless {mask:#x}")
                case Is("mark", mark):
                    words.append(f"if {mark:#x}")
                case SetMark(mask, 0):
                    words.append(f"clear {mask:#x}")
                case Verdict(kind, chain_name):
                    words.append(f"{kind} {chain_name.removeprefix('filter-cali-')}".strip())
                case Counter():
                    pass
                case other:
                    words.append(type(other).__name__)
        lines.append(" ".join(words))
    return lines


OWN = ["CtState accept", "CtState drop"]
ENCAPSULATED = ["clear 0x10000", "Is Is drop", "Is drop"]


def test_nobody_is_asked():
    assert outline(endpoint_chain(Path("egress"), QosControls(), DEFAULTS)) == [*OWN, DROP]


def test_a_short_path_is_inline():
    asked = Path("ingress", (), (Step(ProfileKey("kns.a"), known=True),))
    assert outline(endpoint_chain(asked, QosControls(), DEFAULTS)) == [
        *OWN,
        "jump pri-kns.a",
        DROP,
    ]


def test_a_long_path_is_shared():
    asked = Path("ingress", (TierPath("t", "Deny", asks("a", "b", "c")),))
    own = outline(endpoint_chain(asked, QosControls(), DEFAULTS))
    assert own == [*OWN, f"goto {asked.group_chain.removeprefix('filter-cali-')}"]
    shared = group_chain(asked, DEFAULTS)
    assert outline(shared) == ["jump pi-gnp/a", "jump pi-gnp/b", "jump pi-gnp/c", DROP]
    assert shared.rules[-1].comment == "End of tier t. Drop if no policies passed packet"


def test_egress_policies_leave_marks():
    asked = Path("egress", (TierPath("t", "Deny", asks(*"abcdefg")),))
    assert outline(group_chain(asked, DEFAULTS)) == [
        *ENCAPSULATED,
        "jump po-gnp/a",
        *(f"unless 0x10000 jump po-gnp/{name}" for name in "bcde"),
        "if 0x10000 return",
        "jump po-gnp/f",
        "unless 0x10000 jump po-gnp/g",
        "unless 0x10000 drop",
    ]


def test_what_passes_is_spared_the_rest_of_its_tier():
    asked = Path(
        "egress",
        (
            TierPath("t", "Deny", asks("a", "b", "c", passing="b")),
            TierPath("u", "Pass", asks("d")),
            TierPath("v", "Deny", asks("e", "f", passing="e", unknown="f")),
        ),
        (Step(ProfileKey("kns.a"), known=True), Step(ProfileKey("gone"), known=False)),
    )
    assert outline(group_chain(asked, DEFAULTS)) == [
        *ENCAPSULATED,
        "clear 0x20000",
        "jump po-gnp/a",
        "unless 0x10000 jump po-gnp/b",
        "unless 0x30000 jump po-gnp/c",
        "unless 0x30000 drop",
        "if 0x10000 return",
        "jump po-gnp/d",
        "if 0x10000 return",
        "clear 0x20000",
        "jump po-gnp/e",
        "unless 0x30000 drop",
        "if 0x10000 return",
        "jump pro-kns.a",
        "unless 0x10000 drop",
    ]


def test_ingress_looks_for_passes_alone():
    asked = Path("ingress", (TierPath("t", "Pass", asks("a", "b", "c", passing="a")),))
    assert outline(group_chain(asked, DEFAULTS)) == [
        "clear 0x20000",
        "jump pi-gnp/a",
        "unless 0x20000 jump pi-gnp/b",
        "unless 0x20000 jump pi-gnp/c",
        DROP,
    ]


def test_settings():
    asked = Path("egress", (TierPath("t", "Deny", asks("a")),))
    settings = RenderSettings(
        disable_conntrack_invalid_check=True,
        allow_ipip_from_workloads=True,
        allow_vxlan_from_workloads=True,
        filter_deny_action="Reject",
    )
    chain = endpoint_chain(asked, QosControls(), settings)
    assert outline(chain) == [
        "CtState accept",
        "clear 0x10000",
        "jump po-gnp/a",
        "unless 0x10000 Reject",
    ]


@pytest.mark.parametrize(("direction", "rate", "burst"), [("ingress", 7, 5), ("egress", 9, 11)])
def test_limits(direction, rate, burst):
    qos = QosControls(
        ingress_packet_rate=7,
        egress_packet_rate=9,
        egress_packet_burst=11,
        ingress_max_connections=3,
    )
    rules = endpoint_chain(Path(direction), qos, DEFAULTS).rules
    limit = Limit(rate, burst=burst, over=True)
    assert rules[0].expressions == (limit, Counter(), Verdict("drop"))
    assert rules[1].expressions[0] == CtState(frozenset({"established", "related"}))
    refused = (Is("l4proto", 6), ConnectionLimit(3), Counter(), Reject("tcp-reset"))
    assert (refused in [rule.expressions for rule in rules]) == (direction == "ingress")


def test_arp():
    rules = arp_chain(WorkloadEndpoint("cali1", ("10.0.0.1", "10.0.0.2"))).rules
    assert [rule.expressions[:2] for rule in rules] == [
        (Is("arp_operation", 2), Is("arp_saddr_ip", f"10.0.0.{n}")) for n in (1, 2)
    ]


@pytest.mark.parametrize(
    ("name", "fits"),
    [
        ("cali1", True),
        ("x" * 15, True),
        ("x" * 16, False),
        ("", False),
        ("a/b", False),
        ("c*", False),
        ("c d", False),
        ("cali\n", False),
    ],
)
def test_has_interface(name, fits):
    assert has_interface(WorkloadEndpoint(name)) == fits
