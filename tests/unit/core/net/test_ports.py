import pytest

from calico.core.net.ports import (
    PortSpan,
    canonical_port,
    number_or_name,
    parse_port,
    protocol_number,
)


@pytest.mark.parametrize(
    ("port", "parsed", "stored"),
    [
        (80, PortSpan(80, 80), 80),
        ("80", PortSpan(80, 80), 80),
        ("080", PortSpan(80, 80), 80),
        ("80:80", PortSpan(80, 80), 80),
        ("8000:8010", PortSpan(8000, 8010), "8000:8010"),
        ("web", "web", "web"),
        ("8a", "8a", "8a"),
        (0, PortSpan(0, 0), 0),
        ("65535", PortSpan(65535, 65535), 65535),
    ],
)
def test_read(port, parsed, stored):
    assert parse_port(port) == parsed
    assert canonical_port(port) == stored


@pytest.mark.parametrize(
    ("port", "says"),
    [
        (65536, "port 65536 is out of range; ports are 1 to 65535"),
        ("99999", "port 99999 is out of range"),
        (-1, "port -1 is out of range"),
        ("9:8", "write 8:9"),
        ("1:70000", "port 70000"),
        ("", "is not a port"),
        ("a b", "is not a port"),
        ("1:", "is not a port"),
        ("a" * 129, "is not a port"),
        ("web\n", "is not a port"),
    ],
)
def test_refused(port, says):
    with pytest.raises(ValueError, match=says):
        parse_port(port)
    assert canonical_port(port) == port, "left for the checks to report"


def test_protocols():
    assert [number_or_name(text) for text in ("6", "255", "256", "TCP")] == [6, 255, "256", "TCP"]
    assert [protocol_number(p) for p in ("TCP", "udplite", 47, "x")] == [6, 136, 47, None]
