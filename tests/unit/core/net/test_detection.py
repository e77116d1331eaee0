import pytest

from calico.core.net.detection import Interface, detect, parse_method

INTERFACES = (
    Interface("lo", ("127.0.0.1/8", "10.9.9.9/32")),
    Interface("eth0", ("192.0.2.10/24", "2001:db8::10/64", "fe80::1/64")),
    Interface("eth1", ("169.254.7.7/16", "198.51.100.7/24")),
    Interface("cali123", ("203.0.113.9/32",)),
)


@pytest.mark.parametrize(
    ("method", "version", "chosen"),
    [
        ("first-found", 4, "198.51.100.7/24"),  # from the end of the kernel's list
        ("", 4, "198.51.100.7/24"),
        ("first-found", 6, "2001:db8::10/64"),
        ("interface=eth0", 4, "192.0.2.10/24"),
        ("interface=ens.*, th0", 4, "192.0.2.10/24"),  # unanchored
        ("interface=lo", 4, "10.9.9.9/32"),  # named: excludes nothing
        ("skip-interface=eth1", 4, "192.0.2.10/24"),
        ("cidr=192.0.2.0/24", 4, "192.0.2.10/24"),
        ("cidr=203.0.113.0/24,10.0.0.0/8", 4, "203.0.113.9/32"),
    ],
)
def test_chooses(method, version, chosen):
    assert detect(parse_method(method), INTERFACES, version).chosen.address == chosen


def test_asks_the_world():
    method = parse_method("can-reach=192.0.2.1")
    found = detect(method, INTERFACES, 4, known_address="192.0.2.10")
    assert (found.chosen.address, found.chosen.interface) == ("192.0.2.10/24", "eth0")
    assert "can-reach=192.0.2.1" in found.reason
    assert detect(method, INTERFACES, 4).chosen is None
    elsewhere = detect(method, INTERFACES, 4, known_address="10.1.1.1")
    assert elsewhere.chosen is None
    assert "10.1.1.1" in elsewhere.reason


def test_says_why_not():
    nothing = detect(parse_method("interface=wlan"), INTERFACES, 4)
    assert nothing.chosen is None
    assert "interface=wlan" in nothing.reason
    reasons = {candidate.address: candidate.refused for candidate in nothing.considered}
    assert reasons["192.0.2.10/24"] == "interface name does not match"
    refused = detect(parse_method("first-found"), INTERFACES, 4).considered
    assert {c.address: c.refused for c in refused}["169.254.7.7/16"].startswith("not a global")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("best", "'best'"),
        ("interface=", "'interface='"),
        ("interface=[", "'['"),
        ("cidr=10.0.0.0/33", "'10.0.0.0/33'"),
        ("can-reach=", "'can-reach='"),
    ],
)
def test_refuses_and_names(text, names):
    with pytest.raises(ValueError, match=r"autodetection|regular|CIDR") as refusal:
        parse_method(text)
    assert names in str(refusal.value)
