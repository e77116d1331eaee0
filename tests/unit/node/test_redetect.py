"""The interval, and what is said of readiness."""

import pytest

from calico.core.model.metadata import Metadata
from calico.core.model.node import Node
from calico.core.net.detection import Interface
from calico.node.addresses import Wish, decide
from calico.node.redetect import poll_seconds, report_of
from calico.node.startup import Registered


@pytest.mark.parametrize(
    ("text", "seconds"), [("", 60), ("5m", 300), ("1s", 1), ("soon", 60), ("0s", 60), ("-1s", 60)]
)
def test_interval(text, seconds):
    assert poll_seconds({"AUTODETECT_POLL_INTERVAL": text}) == seconds


def registered(wish, stored, addresses):
    decided = decide(wish, 4, stored, [Interface("eth0", addresses)], lambda *_: "")
    return Registered(Node(metadata=Metadata(name="n1")), {4: decided})


def test_an_address_that_is_gone_is_kept_and_said():
    wish = Wish("IP", "autodetect", "IP_AUTODETECTION_METHOD", "cidr=192.0.2.0/24")
    report = report_of(registered(wish, "192.0.2.1/24", ("198.51.100.1/24",)))
    assert not report.ready
    assert "192.0.2.1/24 (kept as stored: no interface has" in report.detail
    report = report_of(registered(wish, "192.0.2.1/24", ("192.0.2.9/24",)))
    assert report.ready
    assert "IPv4 192.0.2.9/24 (cidr=192.0.2.0/24: first" in report.detail


def test_a_given_address_may_be_elsewhere():
    wish = Wish("IP", "203.0.113.1", "IP_AUTODETECTION_METHOD", "")
    assert report_of(registered(wish, "", ())).ready
