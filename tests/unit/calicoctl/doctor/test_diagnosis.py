"""One thing wrong with a healthy machine, and what is said of it."""

import pytest
from msgspec.structs import replace

from calico.calicoctl.doctor.command import render
from calico.calicoctl.doctor.diagnosis import machine_findings, not_ready
from calico.calicoctl.doctor.facts import (
    Address,
    Agent,
    Bird,
    Finding,
    Known,
    Machine,
    NetworkManager,
)
from calico.calicoctl.doctor.sessions import Session
from calico.core.net.detection import Interface, detect, parse_method
from calico.telemetry.health import Health, Report

INTERFACES = (
    Interface("lo", ("127.0.0.1/8",)),
    Interface("eth0", ("192.0.2.1/24",)),
    Interface("eth1", ("198.51.100.1/24",)),
    Interface("docker0", ("172.17.0.1/16",)),
)
FOUND = detect(parse_method("cidr=192.0.2.0/24"), INTERFACES, 4)
HEALTHY = Machine(
    node="n1",
    agent=Agent(is_running=True, is_ready=True),
    interfaces=INTERFACES,
    addresses=(Address(4, "IP=autodetect", FOUND), Address(6, "", None)),
    sysctls={"net/ipv4/ip_forward": "1", "net/ipv6/conf/all/forwarding": "0"},
    bird=Bird((Session("Mesh_192_0_2_2", "Established"),)),
)
KNOWN = Known(own={4: "192.0.2.1/24"}, is_registered=True)
DOWN = Bird((Session("Mesh_192_0_2_2", "Active"),))


def bad(machine=HEALTHY, known=KNOWN):
    return [one for one in machine_findings(machine, known) if one.severity != "ok"]


def test_nothing_is_wrong_with_a_healthy_machine():
    assert bad() == []
    found = next(one for one in machine_findings(HEALTHY, KNOWN) if one.what == "IPv4 address")
    assert found.why.startswith("192.0.2.1/24 on eth0: cidr=192.0.2.0/24: first")
    assert found.details == (
        "not 172.17.0.1/16 on docker0: in none of the CIDRs",
        "not 198.51.100.1/24 on eth1: in none of the CIDRs",
    ), "loopback is no candidate to speak of"


def sysctl(name, value):
    return {"sysctls": {**HEALTHY.sysctls, name: value}}


@pytest.mark.parametrize(
    ("machine", "known", "severity", "why", "fix"),
    [
        ({"agent": Agent()}, {}, "error", "calico-node does not run", "start calico-node"),
        (
            {"agent": Agent(is_running=True, is_ready=None)},
            {}, "note", "readiness is not served", "healthEnabled: true",
        ),
        (
            {"agent": Agent(is_running=True, is_ready=None, health_enabled=True,
                            readiness="http://localhost:9099/readiness: refused")},
            {}, "error", "localhost:9099", "log",
        ),
        ({}, {"trouble": "no answer from etcd"}, "error", "no answer from etcd", "ETCD_ENDPOINTS"),
        (
            {}, {"own": {4: "192.0.2.9/24"}},
            "error", "wrong address: Node n1 is registered with 192.0.2.9/24", "IP=autodetect",
        ),
        (
            {}, {"own": {4: "198.51.100.1/24"}},
            "warning", "Node has 198.51.100.1/24, detection now finds 192.0.2.1/24 on eth0",
            "AUTODETECT_POLL_INTERVAL",
        ),
        (
            {}, {"twins": (("192.0.2.1", "n2"),)},
            "error", "192.0.2.1 is registered for Node n2, too", "calicoctl delete node n2",
        ),
        ({}, {"own": {}}, "error", "Node n1 has no address", "IP=autodetect"),
        (
            {}, {"own": {}, "is_registered": False},
            "error", "Node n1 is not registered", "start calico-node",
        ),
        (
            {"addresses": (Address(4, "IP=autodetect", None, "'x=' is no autodetection method"),)},
            {}, "error", "'x=' is no", "correct IP_AUTODETECTION_METHOD",
        ),
        (
            {"addresses": (Address(4, "", detect(parse_method("interface=^en"), INTERFACES, 4)),)},
            {}, "error", "no interface has an IPv4 address that interface=^en accepts",
            "choose another IP_AUTODETECTION_METHOD",
        ),
        ({"bird": Bird(trouble="BIRD does not run here")}, {}, "error", "does not run here", "log"),
        (
            sysctl("net/ipv4/ip_forward", "0"), {},
            "error", "net.ipv4.ip_forward is 0", "sysctl -w net.ipv4.ip_forward=1",
        ),
        (
            sysctl("net/ipv4/conf/eth0/rp_filter", "1"), {},
            "warning", "strict on eth0", "sysctl -w net.ipv4.conf.eth0.rp_filter=2",
        ),
        (
            sysctl("net/ipv4/conf/all/rp_filter", "1"), {}, "warning", "strict on eth0", "eth0",
        ),
        (
            {"legacy": {"ip filter": "*filter\n:FORWARD DROP [0:0]\nCOMMIT\n"}},
            {}, "error", "iptables-legacy are in force", "iptables-legacy-save",
        ),
        (
            {"legacy": {"ip nat": ":OUTPUT ACCEPT [0:0]\n-A OUTPUT -j ACCEPT\n"}},
            {}, "warning", "iptables-legacy are in force", "iptables-legacy-save",
        ),
        (
            {"network_manager": NetworkManager(is_running=True, unmanaged="interface-name:tunl*")},
            {}, "error", "may manage cali*", "unmanaged-devices=interface-name:cali*",
        ),
        (
            {"bird": DOWN, "md5_refused": 3},
            {}, "warning", "refused 3 segments", "the same password",
        ),
        (
            {}, {"problems": {"BGPPeer up": "no such filter"}},
            "error", "no such filter", "calicoctl get bgppeers",
        ),
    ],
)  # fmt: skip
def test_the_one_thing_wrong_is_named_with_its_fix(machine, known, severity, why, fix):
    found = bad(replace(HEALTHY, **machine), replace(KNOWN, **known))
    assert [one.severity for one in found] == [severity], found
    assert why in found[0].why
    assert fix in found[0].fix


@pytest.mark.parametrize(
    ("machine", "known"),
    [
        (sysctl("net/ipv4/conf/eth1/rp_filter", "1"), {}),  # not the uplink
        (
            {**sysctl("net/ipv4/conf/all/rp_filter", "1"),
             "sysctls": {"net/ipv4/conf/all/rp_filter": "1", "net/ipv4/conf/eth0/rp_filter": "2"}},
            {},
        ),  # the greater of the two counts
        ({"legacy": {"ip filter": ":FORWARD ACCEPT [0:0]\n"}}, {}),  # loaded, and empty
        ({"network_manager": NetworkManager(True, "x=interface-name:cali*")}, {}),
        ({"md5_refused": 3}, {}),  # all sessions are up: history
        ({"bird": Bird(trouble="none", is_wanted=False)}, {}),
        ({"addresses": (Address(4, "IP=192.0.2.1", None),)}, {}),
    ],
)  # fmt: skip
def test_what_is_harmless_is_not_named(machine, known):
    assert bad(replace(HEALTHY, **machine), replace(KNOWN, **known)) == []


def test_ipv6_forwarding_counts_where_ipv6_is_used():
    known = replace(KNOWN, own={**KNOWN.own, 6: "2001:db8::1/64"})
    machine = replace(HEALTHY, interfaces=(*INTERFACES, Interface("eth2", ("2001:db8::1/64",))))
    assert ["conf.all.forwarding is 0" in one.why for one in bad(machine, known)] == [True]


def test_readiness_is_read_from_the_agents_own_page():
    health = Health()
    for name in ("NodeAddresses", "BIRD", "FelixStartup"):
        health.register(name)
    health.report("FelixStartup", Report(ready=True))
    health.report("NodeAddresses", Report(detail="192.0.2.1 is the address of Node n2 already"))
    assert not_ready(health.table()) == [
        ("BIRD", "reporting non-ready"),
        ("NodeAddresses", "192.0.2.1 is the address of Node n2 already"),
    ]
    agent = Agent(is_running=True, is_ready=False, readiness=health.table())
    assert [one.severity for one in bad(replace(HEALTHY, agent=agent))] == ["error"] * 2
    assert not_ready("") == [("agent", "it does not say why")]


def test_columns():
    text = render("n1", [Finding("ok", "a", "b"), Finding("error", "longer", "c", "d", ("e",))])
    assert text.splitlines() == [
        "ok      a       b",
        "WRONG   longer  c",
        "                e",
        "                fix: d",
        "",
        "n1: 1 wrong",
    ]
