"""Rules become rules over sets; the ids are those that Calico gives to the same rules."""

import pytest

from calico.core.calc.rule_conversion import converted_rules
from calico.core.intent.policies import IcmpMatch, Side
from calico.core.intent.policies import Rule as Converted
from calico.core.model.rule import EntityRule, ICMPFields, Rule, RuleMetadata, ServiceMatch

DB = "s:7s8faML9g_5vfRV-tLIoHnFBfmj939aZRvv3pw"  # app == 'db', in namespace shop
DB_HTTP = "n:z7r8LAQR3dZ8R7G3k0GoFOnqP2HxVCuMqzvtZA"  # its tcp port http
ANY_HTTP = "n:cl9_Kgeu4H0OGLbhovVR3NBLUOZscKeMK1Mu4A"  # that of anyone
HAS_X = "s:PvZGPL1dAgzo6vXmSYhpGFUIgcBYO2i2LBZJSA"
SERVICE = "svcnoport:WbTW3C0KFRNWM2YFjRuq5jDGCPvda0SKUr26ug"  # shop/web


def converted(rule, namespace=""):
    rules, sets = converted_rules((rule,), namespace)
    return rules[0], {spec.id for spec in sets}


@pytest.mark.parametrize(
    ("why", "namespace", "side", "expected", "sets"),
    [
        ("a selector", "shop", {"selector": "app == 'db'"}, Side(ip_sets=(DB,)), {DB}),
        (
            "names only: the selector is in the set of ports",
            "shop",
            {"selector": "app == 'db'", "ports": ("http",)},
            Side(named_ports=(DB_HTTP,)),
            {DB_HTTP},
        ),
        (
            "names or numbers: it is asked besides",
            "shop",
            {"selector": "app == 'db'", "ports": ("http", 80, "1:9")},
            Side(ip_sets=(DB,), ports=((80, 80), (1, 9)), named_ports=(DB_HTTP,)),
            {DB, DB_HTTP},
        ),
        (
            "negated names are those of the positive selector",
            "shop",
            {"selector": "app == 'db'", "not_ports": ("http", 443)},
            Side(ip_sets=(DB,), not_ports=((443, 443),), not_named_ports=(DB_HTTP,)),
            {DB, DB_HTTP},
        ),
        (
            "names without a selector are anyone's",
            "shop",
            {"not_ports": ("http",)},
            Side(not_named_ports=(ANY_HTTP,)),
            {ANY_HTTP},
        ),
        ("a negation alone", "", {"not_selector": "has(x)"}, Side(not_ip_sets=(HAS_X,)), {HAS_X}),
        (
            "a service, as a source",
            "",
            {"services": ServiceMatch("web", "shop")},
            Side(ip_sets=(SERVICE,)),
            {SERVICE},
        ),
    ],
)
def test_a_side(why, namespace, side, expected, sets):
    rule = Rule(action="Allow", protocol="TCP", source=EntityRule(**side))
    assert converted(rule, namespace) == (
        Converted("Allow", protocol=6, source=expected),
        sets,
    ), why


def test_a_service_as_a_destination_has_ports():
    side = EntityRule(services=ServiceMatch("web", "shop"))
    rule, sets = converted(Rule(action="Allow", destination=side))
    (only,) = sets
    assert only.startswith("svc:")
    assert rule.destination == Side(ip_port_sets=(only,))


def nets(*texts):
    return EntityRule(nets=texts)


@pytest.mark.parametrize(
    ("why", "rule", "version"),
    [
        ("any", Rule(), None),
        ("as it says", Rule(ip_version=6), 6),
        ("ICMP by name", Rule(protocol="ICMP"), 4),
        ("ICMPv6 by name", Rule(protocol="ICMPv6"), 6),
        ("1 by number says nothing", Rule(protocol=1), None),
        ("but a type does", Rule(protocol=1, icmp=ICMPFields(8)), 4),
        ("also a negated one", Rule(protocol=58, not_icmp=ICMPFields(128)), 6),
        ("an empty match is none", Rule(protocol=1, icmp=ICMPFields()), None),
        ("its nets", Rule(source=nets("10.0.0.0/8")), 4),
        ("its nets on the other side", Rule(destination=nets("fd00::/8")), 6),
        ("negated nets too", Rule(source=EntityRule(not_nets=("fd00::/8",))), 6),
        ("nets of both", Rule(source=nets("fd00::/8", "10.0.0.0/8")), None),
    ],
)
def test_ip_version(why, rule, version):
    rule = Rule(**{f: getattr(rule, f) for f in rule.__struct_fields__} | {"action": "Deny"})
    assert converted(rule)[0].ip_version == version, why


def test_nets_are_masked_and_of_the_rule_s_version():
    side = nets("10.1.2.3/8", "192.0.2.1", "FD00::1/16")
    rule = Rule(action="Deny", ip_version=4, source=side)
    assert converted(rule)[0].source.nets == ("10.0.0.0/8", "192.0.2.1/32")


def test_a_rule_that_can_match_nothing_stays_one():
    rule = Rule(action="Deny", ip_version=4, source=nets("fd00::/8"))
    assert converted(rule)[0] == Converted("Deny", 4, source=Side(nets=("fd00::/8",)))


def test_the_rest():
    rule = Rule(
        action="Pass",
        protocol="UDPLite",
        not_protocol=17,
        icmp=ICMPFields(8, 0),
        not_icmp=ICMPFields(3),
        metadata=RuleMetadata({"b": "2", "a": "1"}),
    )
    assert converted(rule)[0] == Converted(
        "Pass",
        protocol=136,
        not_protocol=17,
        icmp=IcmpMatch(8, 0),
        not_icmp=IcmpMatch(3),
        annotations=(("a", "1"), ("b", "2")),
    )


@pytest.mark.parametrize(
    "rule",
    [
        Rule(action="Perhaps"),
        Rule(action="Allow", protocol="unheard-of"),
        Rule(action="Allow", source=nets("10.0.0.0/99")),
        Rule(action="Allow", source=EntityRule(selector="a ==")),
        Rule(action="Allow", source=EntityRule(ports=("9:1",))),
    ],
)
def test_what_cannot_be_read_is_refused(rule):
    with pytest.raises(ValueError, match=r".+"):
        converted_rules((rule,), "")
