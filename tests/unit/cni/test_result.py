"""Results in every version of the protocol."""

import json

import pytest

from calico.cni.errors import CniError, DelegateFailed
from calico.cni.result import Dns, Interface, Ip, Result, Route, parse_result, render_result
from calico.cni.settings import VERSIONS

RESULT = Result(
    interfaces=(
        Interface("cali12d4a061371"),
        Interface("eth0", "5a:0e:00:00:00:01", 1450, "/var/run/netns/x"),
    ),
    ips=(Ip("10.65.3.65/32", 1), Ip("fd00::1/128", 1)),
    routes=(Route("10.65.3.65/26"), Route("fd00::1/122")),
)


def rendered(version, result=RESULT):
    return json.loads(render_result(result, version))


def test_the_present_form():
    assert rendered("1.0.0") == {
        "cniVersion": "1.0.0",
        "interfaces": [
            {"name": "cali12d4a061371"},
            {
                "name": "eth0",
                "mac": "5a:0e:00:00:00:01",
                "mtu": 1450,
                "sandbox": "/var/run/netns/x",
            },
        ],
        "ips": [
            {"address": "10.65.3.65/32", "interface": 1},
            {"address": "fd00::1/128", "interface": 1},
        ],
        "routes": [{"dst": "10.65.3.65/26"}, {"dst": "fd00::1/122"}],
    }
    assert render_result(RESULT, "1.1.0").startswith(b'{\n    "cniVersion": "1.1.0",')


@pytest.mark.parametrize("version", ["0.3.0", "0.3.1", "0.4.0"])
def test_addresses_had_versions(version):
    found = rendered(version)
    assert [ip["version"] for ip in found["ips"]] == ["4", "6"]
    assert found["dns"] == {}
    assert "mtu" not in found["interfaces"][1]


@pytest.mark.parametrize("version", ["0.1.0", "0.2.0"])
def test_there_was_one_address_of_each_family(version):
    assert rendered(version) == {
        "cniVersion": version,
        "ip4": {"ip": "10.65.3.65/32", "routes": [{"dst": "10.65.3.65/26"}]},
        "ip6": {"ip": "fd00::1/128", "routes": [{"dst": "fd00::1/122"}]},
        "dns": {},
    }


@pytest.mark.parametrize("version", VERSIONS)
def test_what_is_rendered_can_be_read(version):
    found = parse_result(render_result(RESULT, version), "ourselves")
    assert [ip.address for ip in found.ips] == ["10.65.3.65/32", "fd00::1/128"]
    assert found.routes == RESULT.routes


def test_name_service_is_passed_on():
    result = Result(ips=RESULT.ips, dns=Dns(nameservers=("10.0.0.1",)))
    assert rendered("1.0.0", result)["dns"] == {"nameservers": ["10.0.0.1"]}


def test_what_cannot_be_read():
    with pytest.raises(CniError, match="the result of host-local is unreadable"):
        parse_result(b"oops", "host-local")


def test_another_plugins_error_keeps_its_code():
    error = DelegateFailed(b'{"cniVersion":"1.0.0","code":11,"msg":"later","details":"lock"}')
    assert (error.code, error.message, error.details) == (11, "later", "lock")
    assert DelegateFailed(b"Segmentation fault").details == "Segmentation fault"


def test_errors_are_printed_as_the_original_prints_them():
    printed = CniError(7, 'a "b"', "c").printed()
    assert printed == b'{\n    "code": 7,\n    "msg": "a \\"b\\"",\n    "details": "c"\n}'
    assert json.loads(CniError(4, "x").printed()) == {"code": 4, "msg": "x"}
