"""Attributes and messages as bytes; the socket itself is tested in integration."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calico.kernel.netlink import (
    NLA_F_NESTED,
    attribute,
    attributes,
    list_items,
    messages,
    nested,
    text,
)

kinds = st.integers(0, 0x3FFF)


@given(st.dictionaries(kinds, st.binary(max_size=40)))
def test_attributes_come_back(values):
    encoded = b"".join(attribute(kind, value) for kind, value in values.items())
    assert len(encoded) % 4 == 0
    assert attributes(encoded) == values
    assert attributes(b"head" + nested(5, encoded), 4) == {5: encoded}


@given(st.lists(st.binary(max_size=9)))
def test_items_come_back_in_order(values):
    assert list_items(b"".join(attribute(1, value) for value in values)) == values


def test_text_ends_with_a_zero():
    assert attributes(text(3, "lo")) == {3: b"lo\0"}


def test_nested_says_so():
    assert struct.unpack_from("=HH", nested(7, b"")) == (4, 7 | NLA_F_NESTED)


@pytest.mark.parametrize("broken", [b"", b"\1", b"\0\0\0\0\0\0\0\0", b"\xff\xff\1\0ab"])
def test_broken_attributes_end(broken):
    assert len(attributes(broken)) <= 1
    assert len(list_items(broken)) <= 2
    assert len(list(messages(broken * 4))) <= 4


def test_a_datagram_is_split():
    def message(kind, body):
        length = 16 + len(body)
        return struct.pack("=IHHII", length, kind, 2, 3, 4) + body + b"\0" * (-length & 3)

    found = list(messages(message(20, b"abc") + message(21, b"")))
    assert found == [(20, 2, 3, 4, b"abc"), (21, 2, 3, 4, b"")]
