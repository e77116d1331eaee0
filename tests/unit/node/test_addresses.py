import pytest

from calico.core.net.detection import Interface
from calico.node.addresses import StartupError, decide, wishes

INTERFACES = (Interface("eth0", ("192.0.2.10/24", "2001:db8::10/64")),)


def no_answer(_method, _version):
    return ""


def decided(version, stored="", interfaces=INTERFACES, ask=no_answer, **environment):
    return decide(wishes(environment)[version], version, stored, interfaces, ask)


@pytest.mark.parametrize(
    ("version", "stored", "environment", "address"),
    [
        (4, "", {}, "192.0.2.10/24"),
        (4, "192.0.2.9/24", {}, "192.0.2.9/24"),
        (4, "192.0.2.9/24", {"IP": "autodetect"}, "192.0.2.10/24"),
        (4, "192.0.2.9/24", {"IP": "none"}, "192.0.2.9/24"),
        (4, "", {"IP": "none"}, ""),
        (4, "", {"IP": "192.0.2.10"}, "192.0.2.10/24"),
        (4, "", {"IP": "198.51.100.1"}, "198.51.100.1/32"),
        (4, "", {"IP": "198.51.100.1/26"}, "198.51.100.1/26"),
        (6, "", {}, ""),  # empty never detects IPv6
        (6, "", {"IP6": "autodetect"}, "2001:db8::10/64"),
        (6, "", {"IP6": "2001:db8::10"}, "2001:db8::10/128"),
    ],
)
def test_decides(version, stored, environment, address):
    assert decided(version, stored, **environment).address == address


def test_a_failed_detection_keeps_what_is_stored():
    kept = decided(4, "192.0.2.9/24", interfaces=(), IP="autodetect")
    assert kept.address == "192.0.2.9/24"
    assert "no interface" in kept.how


def test_asks_only_methods_that_need_it():
    asked = []

    def ask(method, version):
        asked.append((method.kind, version))
        return "192.0.2.10"

    found = decided(4, ask=ask, IP="autodetect", IP_AUTODETECTION_METHOD="can-reach=192.0.2.1")
    assert found.address == "192.0.2.10/24"
    assert asked == [("can-reach", 4)]


@pytest.mark.parametrize(
    ("environment", "interfaces", "names"),
    [
        ({"IP": "300.1.1.1"}, INTERFACES, ["IP='300.1.1.1'", "autodetect, none"]),
        ({"IP": "2001:db8::1"}, INTERFACES, ["IP='2001:db8::1'", "IPv4"]),
        (
            {"IP": "autodetect", "IP_AUTODETECTION_METHOD": "best"},
            INTERFACES,
            ["IP_AUTODETECTION_METHOD", "'best'"],
        ),
        (
            {"IP": "autodetect", "IP_AUTODETECTION_METHOD": "interface=wlan0"},
            INTERFACES,
            ["interface=wlan0", "192.0.2.10/24 on eth0", "does not match"],
        ),
        ({"IP": "autodetect"}, (), ["no address at all"]),
    ],
)
def test_refuses_and_names(environment, interfaces, names):
    with pytest.raises(StartupError) as refusal:
        decided(4, interfaces=interfaces, **environment)
    for name in names:
        assert name in str(refusal.value)
