"""Each rule of the API about rules, with where the complaint is and what it says."""

import msgspec
import pytest

from calico.core.model.checks import check, check_stored
from calico.core.model.codec import decode


def policy(rule, direction="ingress", kind="GlobalNetworkPolicy"):
    """Put one rule into a policy that is otherwise right."""
    metadata = {"name": "p"} if kind.startswith("Global") else {"name": "p", "namespace": "n"}
    spec = {"tier": "default", direction: [{"action": "Allow", **rule}], "types": ["Ingress"]}
    return {"kind": kind, "metadata": metadata, "spec": spec}


def read(document):
    return decode(document["kind"], msgspec.json.encode(document), strict=True)


TCP = {"protocol": "TCP"}
SERVICE = {"services": {"name": "web", "namespace": "shop"}}
RIGHT = [
    ("nothing but an action", policy({})),
    ("a protocol by number", policy({"protocol": 47})),
    ("a protocol by number as text", policy({"protocol": "6", "source": {"ports": [80]}})),
    ("ports of all forms", policy({**TCP, "source": {"ports": [1, "2:3", "web-1"]}})),
    ("names alone without a protocol", policy({"destination": {"ports": ["web"]}})),
    ("icmp", policy({"protocol": "ICMP", "icmp": {"type": 8, "code": 0}})),
    ("icmp by number", policy({"protocol": 58, "ipVersion": 6, "icmp": {"type": 254}})),
    ("notICMP without a protocol", policy({"notICMP": {"type": 8}})),
    ("both protocols", policy({"protocol": "TCP", "notProtocol": "UDP"})),
    ("nets of one family", policy({"source": {"nets": ["10.0.0.0/8"]}, "ipVersion": 4})),
    ("a catch-all that is not negated", policy({"source": {"nets": ["0.0.0.0/0"]}})),
    ("a service as egress destination", policy({"destination": SERVICE}, "egress")),
    ("a service as ingress source", policy({"source": SERVICE})),
    (
        "a service without namespace in a namespace",
        policy({"source": {"services": {"name": "web"}}}, kind="NetworkPolicy"),
    ),
    ("global() alone", policy({"source": {"namespaceSelector": "global()"}})),
    ("global( ) alone", policy({"source": {"namespaceSelector": " global( ) "}})),
    ("http", policy({"http": {"methods": ["GET"], "paths": [{"exact": "/a"}]}})),
    ("http on TCP", policy({**TCP, "http": {"paths": [{"prefix": "/a/b"}]}})),
    ("service accounts", policy({"source": {"serviceAccounts": {"names": ["a"]}}})),
    ("annotations", policy({"metadata": {"annotations": {"x": "y"}}})),
    ("code 255", policy({"protocol": "ICMP", "icmp": {"type": 0, "code": 255}})),
    ("port 65535", policy({**TCP, "source": {"ports": [65535]}})),
    ("256 nets", policy({"source": {"nets": [f"10.0.{i}.0/24" for i in range(256)]}})),
    ("50 ports", policy({**TCP, "source": {"ports": list(range(1, 51))}})),
    ("an IPv6 net in canonical text", policy({"source": {"nets": ["fd00::/64"]}})),
    ("an IPv6 net in other text", policy({"source": {"nets": ["FD00:0::/64"]}})),
    (
        "notNets beside nets",
        policy({"source": {"nets": ["10.0.0.0/8"], "notNets": ["10.1.0.0/16"]}}),
    ),
]
SOURCE = "spec.ingress[0].source"
DESTINATION = "spec.ingress[0].destination"
WRONG = [
    (policy({"action": "Reject"}), "spec.ingress[0].action", "Allow, Deny, Log or Pass"),
    (policy({"action": ""}), "spec.ingress[0].action", "required"),
    (policy({"ipVersion": 5}), "spec.ingress[0].ipVersion", "4 or 6"),
    (policy({"protocol": "tcp"}), "spec.ingress[0].protocol", "TCP"),
    (policy({"protocol": "IGMP"}), "spec.ingress[0].protocol", "TCP"),
    (policy({"protocol": 0}), "spec.ingress[0].protocol", "1 to 255"),
    (policy({"notProtocol": 0}), "spec.ingress[0].notProtocol", "1 to 255"),
    (policy({"icmp": {"type": 8}}), "spec.ingress[0].icmp", "needs protocol ICMP"),
    (policy({**TCP, "icmp": {"type": 8}}), "spec.ingress[0].icmp", "needs protocol ICMP"),
    (policy({"protocol": "ICMP", "icmp": {"type": 255}}), "spec.ingress[0].icmp.type", "0 to 254"),
    (
        policy({"protocol": "ICMP", "icmp": {"type": 8, "code": 256}}),
        "spec.ingress[0].icmp.code",
        "0 to 255",
    ),
    (
        policy({"protocol": "ICMP", "icmp": {"code": 1}}),
        "spec.ingress[0].icmp.code",
        "needs a type",
    ),
    (policy({"notICMP": {"code": 1}}), "spec.ingress[0].notICMP.code", "needs a type"),
    (policy({"protocol": "ICMP", "ipVersion": 6}), "spec.ingress[0].protocol", "ipVersion 4"),
    (policy({"protocol": "ICMPv6", "ipVersion": 4}), "spec.ingress[0].protocol", "ipVersion 6"),
    (policy({"protocol": 1, "ipVersion": 6}), "spec.ingress[0].protocol", "ipVersion 4"),
    (policy({"notProtocol": "ICMP", "ipVersion": 6}), "spec.ingress[0].notProtocol", "ipVersion 4"),
    (policy({"notProtocol": 58, "ipVersion": 4}), "spec.ingress[0].notProtocol", "ipVersion 6"),
    (policy({"source": {"ports": [80]}}), f"{SOURCE}.ports", "set protocol to TCP"),
    (policy({"destination": {"notPorts": ["1:2"]}}), f"{DESTINATION}.notPorts", "set protocol"),
    (
        policy({"protocol": "ICMP", "destination": {"ports": ["web"]}}),
        f"{DESTINATION}.ports",
        "set protocol to TCP",
    ),
    (policy({"protocol": 47, "source": {"notPorts": [80]}}), f"{SOURCE}.notPorts", "set protocol"),
    (policy({**TCP, "source": {"ports": [0]}}), f"{SOURCE}.ports[0]", "port 0 is out of range"),
    (policy({**TCP, "source": {"ports": ["0:5"]}}), f"{SOURCE}.ports[0]", "port 0 is out of range"),
    (policy({**TCP, "source": {"ports": list(range(1, 52))}}), f"{SOURCE}.ports", "at most 50"),
    (policy({**TCP, "source": {"ports": ["Web"]}}), f"{SOURCE}.ports[0]", "lower case letters"),
    (policy({"source": {"nets": ["10.0.0.1/8"]}}), f"{SOURCE}.nets[0]", "write 10.0.0.0/8"),
    (policy({"source": {"nets": ["10.0.0.1"]}}), f"{SOURCE}.nets[0]", "write 10.0.0.1/32"),
    (policy({"source": {"nets": ["10.0.0/8"]}}), f"{SOURCE}.nets[0]", "not an IP address"),
    (policy({"source": {"nets": ["10.0.0.0/33"]}}), f"{SOURCE}.nets[0]", "0 to 32"),
    (policy({"source": {"nets": ["web"]}}), f"{SOURCE}.nets[0]", "not an IP address"),
    (
        policy({"source": {"nets": ["10.0.0.0/8"]}, "destination": {"nets": ["fd00::/8"]}}),
        f"{DESTINATION}.nets",
        "IPv6 in a rule for IPv4",
    ),
    (policy({"ipVersion": 6, "source": {"notNets": ["10.0.0.0/8"]}}), f"{SOURCE}.notNets", "IPv4"),
    (policy({"source": {"notNets": ["0.0.0.0/0"]}}), f"{SOURCE}.notNets", "never match"),
    (policy({"destination": {"notNets": ["::/0"]}}), f"{DESTINATION}.notNets", "never match"),
    (
        policy({"source": {"nets": [f"10.{i // 256}.{i % 256}.0/24" for i in range(257)]}}),
        f"{SOURCE}.nets",
        "at most 256",
    ),
    (policy({"source": {"selector": "a == 'b"}}), f"{SOURCE}.selector", "(column 6)"),
    (policy({"source": {"notSelector": "a b"}}), f"{SOURCE}.notSelector", "(column 3)"),
    (policy({"source": {"namespaceSelector": "("}}), f"{SOURCE}.namespaceSelector", "(column 2)"),
    (policy({"source": {"selector": "global()"}}), f"{SOURCE}.selector", "namespaceSelector"),
    (
        policy({"source": {"namespaceSelector": "global() && has(a)"}}),
        f"{SOURCE}.namespaceSelector",
        "cannot be combined",
    ),
    (
        policy({"source": {"selector": "has(a) || " * 120 + "has(a)"}}),
        f"{SOURCE}.selector",
        "at most 1024 characters",
    ),
    (
        policy({"source": {"serviceAccounts": {"selector": "!"}}}),
        f"{SOURCE}.serviceAccounts.selector",
        "(column 2)",
    ),
    (policy({"destination": SERVICE}), f"{DESTINATION}.services", "cannot be the destination"),
    (
        policy({"source": SERVICE}, "egress"),
        "spec.egress[0].source.services",
        "cannot be the source",
    ),
    (
        policy({"source": {"services": {"namespace": "shop"}}}),
        f"{SOURCE}.services.name",
        "is required",
    ),
    (
        policy({"source": {"services": {"name": "web"}}}),
        f"{SOURCE}.services.namespace",
        "global policy must say",
    ),
    (
        policy({"source": {**SERVICE, "selector": "all()"}}),
        f"{SOURCE}.services",
        "excludes selector",
    ),
    (policy({"source": {**SERVICE, "notSelector": "all()"}}), f"{SOURCE}.services", "notSelector"),
    (policy({"source": {**SERVICE, "nets": ["10.0.0.0/8"]}}), f"{SOURCE}.services", "nets"),
    (policy({"source": {**SERVICE, "notNets": ["10.0.0.0/8"]}}), f"{SOURCE}.services", "notNets"),
    (
        policy({"source": {**SERVICE, "namespaceSelector": "all()"}}),
        f"{SOURCE}.services",
        "namespaceSelector",
    ),
    (
        policy({"source": {**SERVICE, "serviceAccounts": {"names": ["a"]}}}),
        f"{SOURCE}.services",
        "serviceAccounts",
    ),
    (
        policy({**TCP, "destination": {**SERVICE, "ports": [80]}}, "egress"),
        "spec.egress[0].destination.services",
        "excludes ports",
    ),
    (policy({"http": {"methods": ["GET"]}}, "egress"), "spec.egress[0].http", "ingress rules"),
    (policy({"action": "Deny", "http": {}}), "spec.ingress[0].http", "action Allow"),
    (policy({"protocol": "UDP", "http": {}}), "spec.ingress[0].http", "protocol TCP"),
    (policy({"http": {"methods": ["A", "A"]}}), "spec.ingress[0].http.methods", "more than once"),
    (
        policy({"http": {"methods": [f"M{i}" for i in range(21)]}}),
        "spec.ingress[0].http.methods",
        "at most 20",
    ),
    (policy({"http": {"paths": [{}]}}), "spec.ingress[0].http.paths[0]", "exact or prefix"),
    (
        policy({"http": {"paths": [{"exact": "/a", "prefix": "/b"}]}}),
        "spec.ingress[0].http.paths[0]",
        "exact or prefix",
    ),
    (policy({"http": {"paths": [{"exact": "a"}]}}), "spec.ingress[0].http.paths[0].exact", "/"),
    (
        policy({"http": {"paths": [{"prefix": "/a?b"}]}}),
        "spec.ingress[0].http.paths[0].prefix",
        "?",
    ),
    (
        policy({"metadata": {"annotations": {"a b": "c"}}}),
        "spec.ingress[0].metadata.annotations",
        "the key's name",
    ),
]


@pytest.mark.parametrize(("why", "document"), RIGHT, ids=[why for why, _ in RIGHT])
def test_right(why, document):
    assert check(read(document)) == (), why
    assert check_stored(read(document)) == (), why


@pytest.mark.parametrize(("document", "path", "says"), WRONG)
def test_wrong(document, path, says):
    found = check(read(document))
    assert [problem.field for problem in found if says in problem.reason] == [path], found


@pytest.mark.parametrize(
    ("rule", "path"),
    [
        ({"action": "Maybe"}, "spec.ingress[0].action"),
        ({"protocol": "none"}, "spec.ingress[0].protocol"),
        ({"source": {"nets": ["x"]}}, f"{SOURCE}.nets[0]"),
        ({"source": {"ports": [80]}}, f"{SOURCE}.ports"),
        ({"source": {"selector": "("}}, f"{SOURCE}.selector"),
        ({"source": {"serviceAccounts": {"selector": "("}}}, f"{SOURCE}.serviceAccounts.selector"),
    ],
)
def test_a_stored_rule_that_cannot_be_obeyed(rule, path):
    assert [problem.field for problem in check_stored(read(policy(rule)))] == [path]


@pytest.mark.parametrize(
    "rule",
    [
        {"protocol": "tcp", "source": {"ports": [80]}},
        {"source": {"nets": ["10.0.0.1/8", "10.0.0.1/8"]}},
        {"source": {"nets": ["10.0.0.1"], "notNets": ["0.0.0.0/0"]}},
        {"destination": {"services": {"name": "web"}}},
        {"http": {"paths": [{}]}},
        {"icmp": {"type": 8}},
    ],
)
def test_a_stored_rule_of_bad_form_is_obeyed(rule):
    assert check_stored(read(policy(rule))) == ()
    assert check(read(policy(rule)))


def test_every_net_of_the_wrong_family_is_named():
    nets = ["10.0.0.0/8", "fd00::/8", "10.1.0.0/16", "fd01::/16"]
    found = check(read(policy({"source": {"nets": nets}})))
    assert [problem.value for problem in found] == ["fd00::/8", "fd01::/16"]


@pytest.mark.parametrize("kind", ["Profile", "NetworkPolicy", "StagedGlobalNetworkPolicy"])
def test_rules_of_every_kind_are_looked_at_when_read(kind):
    document = policy({"source": {"nets": ["x"]}}, "egress", kind=kind)
    del document["spec"]["types"], document["spec"]["tier"]
    assert [problem.field for problem in check_stored(read(document))] == [
        "spec.egress[0].source.nets[0]"
    ]


@pytest.mark.parametrize(
    ("kind", "spec", "path"),
    [
        ("IPPool", {"cidr": "x"}, "spec.cidr"),
        ("IPPool", {}, "spec.cidr"),
        ("NetworkSet", {"nets": ["x"]}, "spec.nets[0]"),
        ("GlobalNetworkSet", {"nets": ["10.0.0.0/33"]}, "spec.nets[0]"),
        ("HostEndpoint", {"node": "n"}, "spec.interfaceName"),
        ("HostEndpoint", {"expectedIPs": ["x"]}, "spec.expectedIPs[0]"),
        ("WorkloadEndpoint", {"ipNetworks": ["x"], "interfaceName": "a"}, "spec.ipNetworks[0]"),
        ("WorkloadEndpoint", {}, "spec.interfaceName"),
        (
            "WorkloadEndpoint",
            {"interfaceName": "a", "ports": [{"name": "a", "protocol": "ICMP", "port": 1}]},
            "spec.ports[0].protocol",
        ),
    ],
)
def test_a_stored_record_that_cannot_be_obeyed(kind, spec, path):
    document = {"kind": kind, "metadata": {"name": "x"}, "spec": spec}
    assert [problem.field for problem in check_stored(read(document))] == [path]


def test_a_port_that_nobody_can_name_spoils_no_stored_endpoint():
    spec = {"interfaceName": "a", "ports": [{"name": "", "protocol": "ICMP", "port": 1}]}
    document = {"kind": "WorkloadEndpoint", "metadata": {"name": "x"}, "spec": spec}
    assert check_stored(read(document)) == ()
