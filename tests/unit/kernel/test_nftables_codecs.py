"""Bytes of keys, ranges and messages, without a kernel."""

import struct
from itertools import count

import pytest

from calico.core.nftables.vocabulary import AnyOf, Is, Rule, Set
from calico.kernel.netlink import attributes
from calico.kernel.nftables_fields import FIELDS, decode_key, encode_key, key_length, wires
from calico.kernel.nftables_intervals import interval, points, ranges
from calico.kernel.nftables_messages import TableMessages
from calico.kernel.nftables_rules import UNENCODABLE, encode_rule, note, notes

ADDRESS, PORT = FIELDS["ip"]["saddr"], FIELDS["ip"]["sport"]


@pytest.mark.parametrize(
    ("family", "fields", "element", "key"),
    [
        ("ip", ("saddr",), ("10.0.0.1",), "0a000001"),
        ("ip", ("sport",), (80,), "0050"),
        ("ip", ("saddr", "l4proto", "sport"), ("10.0.0.1", 6, 80), "0a0000010600000000500000"),
        ("ip", ("iifname",), ("lo",), "6c6f" + 14 * "00"),
        ("ip6", ("saddr", "sport"), ("::1", 80), 15 * "00" + "0100500000"),
    ],
)
def test_keys(family, fields, element, key):
    of = wires(family, fields)
    assert encode_key(of, element) == bytes.fromhex(key)
    assert decode_key(of, bytes.fromhex(key)) == element
    assert key_length(of) == len(key) // 2


@pytest.mark.parametrize(
    ("wire", "value", "first", "end"),
    [
        (ADDRESS, "10.0.0.0/8", "0a000000", "0b000000"),
        (ADDRESS, "10.0.0.1", "0a000001", "0a000002"),
        (ADDRESS, "255.0.0.0/8", "ff000000", None),
        (ADDRESS, "0.0.0.0/0", "00000000", None),
        (ADDRESS, "10.0.0.1-10.0.0.6", "0a000001", "0a000007"),
        (PORT, 80, "0050", "0051"),
        (PORT, (80, 90), "0050", "005b"),
        (PORT, (1, 65535), "0001", None),
    ],
)
def test_intervals(wire, value, first, end):
    ends = bytes.fromhex(end) if end else None
    assert interval(wire, value) == (bytes.fromhex(first), ends)
    assert ranges(wire, points(wire, [value])) == [value]


def test_ranges_that_touch_stay_apart():
    values = ["10.0.0.0/25", "10.0.0.128/26", "10.0.1.0"]
    assert ranges(ADDRESS, reversed(list(points(ADDRESS, values)))) == values


@pytest.mark.parametrize(
    ("wire", "value"),
    [(PORT, (2, 1)), (FIELDS["ip"]["mark"], (1, 2)), (FIELDS["ip"]["iifname"], "cali*")],
)
def test_no_such_interval(wire, value):
    with pytest.raises(ValueError, match=r"ends before|do not sort"):
        interval(wire, value)


@pytest.mark.parametrize(
    ("family", "expression"),
    [
        ("ip", Is("arp_operation", 1)),
        ("arp", Is("saddr", "10.0.0.1")),
        ("ip", Is("saddr", "fd00::1")),
        ("ip", Is("dport", 65536)),
        ("ip", Is("dport", "http")),
        ("ip", Is("iifname", "a-name-of-sixteen")),
        ("ip", Is("iifname", "*")),
        ("ip", AnyOf("mark", ((1, 2),))),
        ("ip", AnyOf("dport", ())),
    ],
)
def test_what_cannot_be_said_is_refused(family, expression):
    with pytest.raises(UNENCODABLE):
        encode_rule(Rule((expression,)), family, count(1))


def test_notes_of_user_data():
    assert notes(note(0, b"abc\0") + note(7, b"") + b"\1") == {0: b"abc\0", 7: b""}


def test_many_elements_take_several_messages():
    messages = TableMessages("ip", "calico")
    elements = {(f"10.{i >> 8}.{i & 255}.1",): True for i in range(10_000)}
    requests = messages.add_elements("s", Set(("saddr",)), elements)
    assert len(requests) > 1
    assert all(len(body) < 1 << 16 for _, _, body in requests)
    assert sum(len(attributes(body, 4)[3]) for _, _, body in requests) == 10_000 * 16
    assert struct.unpack_from("=H", requests[0][2], 4)[0] == len("calico") + 5
