import msgspec
import pytest

from calico.core.model.codec import decode, encode, go_number
from calico.core.model.duration import Duration, of_seconds, parse_duration
from calico.core.model.metadata import Metadata
from calico.core.model.node import Node, NodeBGPSpec, NodeSpec
from calico.core.model.policy import EntityRule, NetworkPolicy, NetworkPolicySpec, Rule
from calico.core.model.problem import InvalidResource
from calico.core.model.tier import Tier, TierSpec

EMPTY_STATUS = (
    '{"lastUpdated":null,"agent":{"birdV4":{},"birdV6":{}},'
    '"bgp":{"numberEstablishedV4":0,"numberNotEstablishedV4":0,'
    '"numberEstablishedV6":0,"numberNotEstablishedV6":0},"routes":{}}'
)


def node(text):
    return decode("Node", text.encode())


def test_a_resource_made_by_hand():
    policy = NetworkPolicy(
        metadata=Metadata(name="a", namespace="n", labels={"b": "1", "a": "2"}),
        spec=NetworkPolicySpec(
            order=10.0,
            ingress=(Rule(action="Allow", source=EntityRule(selector="a == 'b' && c<d>")),),
        ),
    )
    assert encode(policy).decode() == (
        '{"kind":"NetworkPolicy","apiVersion":"projectcalico.org/v3",'
        '"metadata":{"name":"a","namespace":"n","labels":{"a":"2","b":"1"}},'
        '"spec":{"order":10,"ingress":[{"action":"Allow",'
        '"source":{"selector":"a == \'b\' \\u0026\\u0026 c\\u003cd\\u003e"}}]}}'
    )
    assert decode("NetworkPolicy", encode(policy)) == policy


@pytest.mark.parametrize(
    ("kind", "end"),
    [
        ("Node", '"spec":{},"status":{}}'),
        ("Tier", '"spec":{},"status":{}}'),
        ("KubeControllersConfiguration", '"spec":{"controllers":{}},"status":{}}'),
        ("IPPool", '"spec":{"cidr":""}}'),
        ("CalicoNodeStatus", f'"spec":{{}},"status":{EMPTY_STATUS}}}'),
        ("FelixConfiguration", '"spec":{"bpfLogLevel":""}}'),
        ("IPAMConfiguration", '"spec":{"strictAffinity":false,"autoAllocateBlocks":false}}'),
    ],
)
def test_what_is_always_written(kind, end):
    text = encode(decode(kind, b"{}")).decode()
    assert text == f'{{"kind":"{kind}","apiVersion":"projectcalico.org/v3","metadata":{{}},{end}'


def test_control_characters_and_separators():
    text = '<&>\u2028\u2029\x7fé\t\n\r\b\f\x01"\\/'
    raw = encode(Node(metadata=Metadata(annotations={"a": text}))).decode()
    assert r'{"a":"\u003c\u0026\u003e\u2028\u2029' + "\x7fé" + r'\t\n\r\b\f\u0001\"\\/"}' in raw
    assert decode("Node", raw.encode()).metadata.annotations == {"a": text}


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0.0, "0"),
        (-0.0, "0"),
        (1000000.0, "1000000"),
        (100.5, "100.5"),
        (-5.0, "-5"),
        (0.1, "0.1"),
        (1e16, "10000000000000000"),
        (1e20, "100000000000000000000"),
        (1.2345678901234567e19, "12345678901234567000"),
        (1e21, "1e+21"),
        (1.5e21, "1.5e+21"),
        (1e-6, "0.000001"),
        (1.5e-5, "0.000015"),
        (1e-7, "1e-7"),
        (-2.5e-7, "-2.5e-7"),
        (1.25e-10, "1.25e-10"),
    ],
)
def test_floats_are_written_as_go_writes_them(number, text):
    assert go_number(number) == text
    tier = Tier(spec=TierSpec(order=number))
    assert f'"order":{text}}}' in encode(tier).decode()
    assert decode("Tier", encode(tier)).spec.order == number


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("64512", 64512),
        ('"64512"', 64512),
        ('"1.100"', 65636),
        ('"65535.65535"', 4294967295),
        ("4294967295", 4294967295),
        ("null", None),
    ],
)
def test_as_numbers(text, number):
    assert node(f'{{"spec":{{"bgp":{{"asNumber":{text}}}}}}}') == Node(
        spec=NodeSpec(bgp=NodeBGPSpec(as_number=number))
    )


@pytest.mark.parametrize("text", ["64512.0", '"x"', '"1.2.3"', '"1.65536"', '"4294967296"', '"-1"'])
def test_what_is_no_as_number(text):
    with pytest.raises(InvalidResource) as caught:
        node(f'{{"spec":{{"bgp":{{"asNumber":{text}}}}}}}')
    (problem,) = caught.value.problems
    assert problem.field == "spec.bgp.asNumber"
    assert "expected int" in problem.reason


def test_nulls_mean_absent():
    raw = b'{"metadata":{"creationTimestamp":null,"labels":null},"spec":{"orchRefs":null}}'
    assert decode("Node", raw) == Node()


def test_unknown_fields_are_dropped_unless_strict():
    raw = (
        b'{"kind":"NetworkPolicy","apiVersion":"projectcalico.org/v3","extra":1,'
        b'"spec":{"selectr":"x","ingress":[{"action":"Allow","source":{"net":["a"]}}]}}'
    )
    assert decode("NetworkPolicy", raw).spec.ingress == (Rule(action="Allow"),)
    with pytest.raises(InvalidResource) as caught:
        decode("NetworkPolicy", raw, strict=True)
    assert [(problem.field, problem.value) for problem in caught.value.problems] == [
        ("extra", "1"),
        ("spec.selectr", "x"),
        ("spec.ingress[0].source.net", '["a"]'),
    ]


def test_a_record_that_says_another_kind_is_read_as_asked():
    assert decode("Node", b'{"kind":"Pod","apiVersion":"v1"}').kind == "Node"


@pytest.mark.parametrize(
    ("raw", "field", "says"),
    [
        (b"", "", "not JSON"),
        (b"{", "", "not JSON"),
        (b'{"metadata":{"name":"\xff"}}', "", "not JSON"),
        (b"[]", "", "expected object"),
        (b'{"spec":{"order":"x"}}', "spec.order", "expected float"),
        (b'{"spec":{"ingress":[{"action":1}]}}', "spec.ingress[0].action", "expected str"),
        (b'{"metadata":{"labels":{"a":1}}}', "metadata.labels[...]", "expected str"),
    ],
)
def test_what_cannot_be_read(raw, field, says):
    with pytest.raises(InvalidResource) as caught:
        decode("NetworkPolicy", raw)
    (problem,) = caught.value.problems
    assert problem.field == field
    assert says in problem.reason


def test_several_problems_are_worded_as_calico_words_them():
    raw = b'{"kind":"Tier","a":1,"b":2}'
    with pytest.raises(InvalidResource) as caught:
        decode("Tier", raw, strict=True)
    reason = "unknown field: it is misspelt or in the wrong place"
    assert str(caught.value) == (
        f"error with the following fields:\n-  a = '1' ({reason})\n-  b = '2' ({reason})"
    )


def test_empty_rule_sides_of_older_releases_are_left_out():
    raw = b'{"spec":{"ingress":[{"action":"Allow","source":{},"destination":{"nets":[]}}]}}'
    policy = decode("GlobalNetworkPolicy", raw)
    assert b'"ingress":[{"action":"Allow"}]' in encode(policy)


def test_scalars_take_the_form_that_is_stored():
    rule = Rule(protocol="6", source=EntityRule(ports=("80", "1:1", "2:4", "web", 5)))
    assert (rule.protocol, rule.source.ports) == (6, (80, 1, "2:4", "web", 5))
    raw = b'{"spec":{"natPortRange":"7:7","istioDSCPMark":"23"}}'
    spec = msgspec.json.decode(encode(decode("FelixConfiguration", raw)))["spec"]
    assert (spec["natPortRange"], spec["istioDSCPMark"]) == (7, 23)


@pytest.mark.parametrize(
    ("text", "nanoseconds", "canonical"),
    [
        ("0", 0, "0s"),
        ("90s", 90 * 10**9, "1m30s"),
        ("5m", 300 * 10**9, "5m0s"),
        ("1h", 3600 * 10**9, "1h0m0s"),
        ("1.5h", 5400 * 10**9, "1h30m0s"),
        ("+1m1.5s", 61_500_000_000, "1m1.5s"),
        ("-90s", -90 * 10**9, "-1m30s"),
        ("1500ms", 1_500_000_000, "1.5s"),
        ("50ms", 50_000_000, "50ms"),
        ("1.5us", 1500, "1.5µs"),
        ("2μs", 2000, "2µs"),
        ("3ns", 3, "3ns"),
        (".5s", 500_000_000, "500ms"),
        ("1.s", 10**9, "1s"),
    ],
)
def test_durations(text, nanoseconds, canonical):
    assert parse_duration(text) == Duration(nanoseconds)
    assert str(Duration(nanoseconds)) == canonical


@pytest.mark.parametrize("text", ["", "-", "s", "1", "1 s", "1x", ".s", "1d", "9999999h"])
def test_what_is_no_duration(text):
    with pytest.raises(ValueError, match=r"not a duration|292 years"):
        parse_duration(text)


def test_durations_in_records():
    raw = b'{"spec":{"reportingInterval":"90s"}}'
    configuration = decode("FelixConfiguration", raw)
    assert configuration.spec.reporting_interval == of_seconds(90)
    assert configuration.spec.reporting_interval.seconds == 90.0
    assert b'"reportingInterval":"1m30s"' in encode(configuration)
    with pytest.raises(InvalidResource, match="write it like 90s"):
        decode("FelixConfiguration", b'{"spec":{"reportingInterval":"soon"}}')
    with pytest.raises(InvalidResource, match="a duration is text"):
        decode("FelixConfiguration", b'{"spec":{"reportingInterval":90}}')
