"""The socket against the kernel: questions, batches, transactions, refusals."""

import os
import socket
import struct
from errno import ENODEV, ENOENT, EOPNOTSUPP

import pytest

from calico.kernel.netlink import (
    NETLINK_NETFILTER,
    NETLINK_ROUTE,
    KernelError,
    NetlinkOverrun,
    NetlinkSocket,
    attributes,
    text,
)

pytestmark = pytest.mark.netns

GET_LINK, NEW_TABLE, NEW_CHAIN = 18, 10 << 8, 10 << 8 | 3
BEGIN, END = ((kind, 0, struct.pack(">BBH", 0, 0, 10)) for kind in (16, 17))
IPV4_HEAD = struct.pack(">BBH", 2, 0, 0)
TABLE = (NEW_TABLE, 0x400, IPV4_HEAD + text(1, "t"))
NO_TABLE = (NEW_CHAIN, 0x400, IPV4_HEAD + text(1, "nowhere") + text(3, "c"))


def link(index):
    return struct.pack("=BxHiII", 0, 0, index, 0, 0)


@pytest.fixture
def route(netns):
    with NetlinkSocket(NETLINK_ROUTE) as opened:
        yield opened


@pytest.fixture
def netfilter(netns):
    with NetlinkSocket(NETLINK_NETFILTER) as opened:
        yield opened


def test_request(route):
    (answer,) = route.request("look at lo", GET_LINK, 0, link(1))
    assert attributes(answer.body, 16)[3] == b"lo\0"
    with pytest.raises(KernelError, match="look at nothing: No such device") as refused:
        route.request("look at nothing", GET_LINK, 0, link(999))
    assert refused.value.errno == ENODEV


def test_dump(route):
    assert [attributes(m.body, 16)[3] for m in route.dump("list", GET_LINK, link(0))] == [b"lo\0"]
    with pytest.raises(KernelError) as refused:
        route.dump("list the impossible", 255, b"\0" * 16)
    assert refused.value.errno == EOPNOTSUPP


def test_the_kernels_own_sentence_is_kept(route):
    with pytest.raises(KernelError, match=r"Invalid .*: .*[a-z]{4}"):
        route.dump("list strictly", GET_LINK, struct.pack("=BxHiII", 0, 7, 7, 7, 7))


def test_batch_tells_which_failed(route):
    requests = [(GET_LINK, 0, link(999 if i % 1_000 == 0 else 1)) for i in range(2_500)]
    refused = route.batch("many", requests)
    assert sorted(refused) == [0, 1_000, 2_000]
    assert {error.errno for error in refused.values()} == {ENODEV}
    assert route.batch("none", []) == {}


def test_transaction_is_all_or_nothing(netfilter):
    assert netfilter.transaction("t", BEGIN, [], END) == ({}, {})
    refused, _ = netfilter.transaction("t", BEGIN, [TABLE, NO_TABLE, TABLE, NO_TABLE], END)
    assert {index: error.errno for index, error in refused.items()} == {1: ENOENT, 3: ENOENT}
    tables = netfilter.dump("list", NEW_TABLE + 1, IPV4_HEAD)
    assert tables == []
    assert netfilter.transaction("t", BEGIN, [TABLE], END)[0] == {}
    assert len(netfilter.dump("list", NEW_TABLE + 1, IPV4_HEAD)) == 1


def test_echoes_come_by_index(netfilter):
    kind, flags, body = TABLE
    refused, echoes = netfilter.transaction("t", BEGIN, [(kind, flags | 8, body)], END)
    assert refused == {}
    assert attributes(echoes[0].body, 4)[1] == b"t\0"


def test_an_unanswered_question_does_not_confuse_the_next(netfilter):
    netfilter.transaction("t", BEGIN, [NO_TABLE] * 50, END)
    with pytest.raises(KernelError):
        netfilter.request("look", NEW_TABLE + 1, 0, IPV4_HEAD + text(1, "nowhere"))
    assert netfilter.transaction("t", BEGIN, [TABLE], END)[0] == {}


def test_listeners_hear_of_others_and_of_losses(netfilter):
    with NetlinkSocket(NETLINK_NETFILTER) as listener:
        listener.join(7)
        netfilter.transaction("t", BEGIN, [TABLE], END)
        assert {message.port for message in listener.listen()} == {netfilter.port_id}
        same = socket.socket(fileno=os.dup(listener.fileno()))
        same.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        same.close()
        for number in range(200):
            table = NEW_TABLE, 0x400, IPV4_HEAD + text(1, f"t{number}")
            netfilter.transaction("t", BEGIN, [table], END)
        with pytest.raises(NetlinkOverrun):
            listener.listen()
