"""Matrices on a terminal and as JSON."""

import json

from rich.console import Console

from calico.core.analysis.matrix import Expected, Party, Question
from calico.core.analysis.what_if import differences
from calico.core.intent.delta import Intent
from calico.core.intent.endpoints import WorkloadEndpoint
from calico.core.intent.keys import EndpointKey
from calico.lab.cluster import Matrix
from calico.lab.show import matrix_json, show_matrix

A, B = (
    Party("shop/a", "n1", ("10.0.0.1", "fd00::1")),
    Party("shop/b", "n1", ("10.0.0.2", "fd00::2")),
)
PING4, PING6 = (Question("shop/a", "shop/b", version, "icmp", 0) for version in (4, 6))
WEB4, WEB6 = (Question("shop/a", "shop/b", version, "tcp", 80) for version in (4, 6))


def matrix(measured, computed):
    endpoint = WorkloadEndpoint("cali1", ("10.0.0.1",), ("fd00::1",))
    node = Intent(endpoints={EndpointKey("k8s", "shop/a", "eth0"): endpoint})
    expected = Expected([A, B], {"n1": node})
    return Matrix(measured, computed, differences(measured, computed), expected)


def printed(value):
    console = Console(width=120, force_terminal=False)
    with console.capture() as capture:
        show_matrix(console, value)
    return capture.get()


def test_cells_name_what_gets_through():
    everything = dict.fromkeys((PING4, WEB4, PING6, WEB6), True)
    for measured, cell in (
        (everything, "all"),
        (dict.fromkeys(everything, False), "-"),
        ({**everything, PING4: False, PING6: False}, "tcp/80"),
        ({**everything, PING6: False}, "v4:all v6:tcp/80"),
    ):
        text = printed(matrix(measured, measured))
        assert cell in text
        assert "measured = computed in all 4 cells" in text


def test_differences_are_told_with_the_reason():
    measured = {PING4: True, PING6: True, WEB4: False}
    text = printed(matrix(measured, dict.fromkeys(measured, False)))
    assert "measured is not computed in 2 of 3 cells" in text
    assert "shop/a -> shop/b icmp IPv4, icmp IPv6: got through, computed: did not" in text
    assert "no policy and no profile allows it" in text


def test_json():
    told = json.loads(matrix_json(matrix({PING4: True}, {PING4: False})))
    cell = {
        "source": "shop/a",
        "destination": "shop/b",
        "version": 4,
        "protocol": "icmp",
        "port": 0,
    }
    assert told["measured"] == [{**cell, "allowed": True}]
    assert told["computed"] == [{**cell, "allowed": False}]
    [difference] = told["differences"]
    assert (difference["measured"], difference["computed"]) == (True, False)
    assert "no policy and no profile" in difference["reason"]
