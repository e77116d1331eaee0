"""Cutting what BIRD refuses out of a configuration."""

import pytest

from calico.core.render.bird_blocks import left_out_notes, without

TEXT = """router id 192.0.2.1;
function 'bgp_f_importFilterV4'(bool to_ibgp) {
  reject;
}

function 'bgp_g_importFilterV4'(bool to_ibgp) {
  accept;
}

function calico_export_v4(bool to_ibgp) {
  reject;
}

protocol bgp Global_1 {
  'bgp_f_importFilterV4'(true);
  ipv4 {
  };
}

protocol bgp Node_2 {
  'bgp_g_importFilterV4'(true);
}

protocol bgp Mesh_3 {
  'bgp_f_importFilterV4'(true);
}
"""


def line_of(text, times=1):
    lines = [number for number, line in enumerate(TEXT.split("\n"), 1) if text in line]
    return lines[times - 1]


@pytest.mark.parametrize(
    ("line", "sessions", "stays", "goes"),
    [
        (line_of("Node_2"), ("Node_2",), "Mesh_3", "Node_2"),
        (line_of("ipv4 {"), ("Global_1",), "Node_2", "Global_1"),
        (line_of("ipv4 {") + 2, ("Global_1",), "Node_2", "Global_1"),
        (line_of("bgp_f_"), ("Global_1", "Mesh_3"), "Node_2", "bgp_f_"),
        (line_of("accept"), ("Node_2",), "bgp_f_", "bgp_g_"),
    ],
)
def test_a_session_or_a_filter_with_its_sessions(line, sessions, stays, goes):
    rest, gone = without(TEXT, line)
    assert gone == sessions
    assert stays in rest
    assert goes not in rest
    assert rest.startswith("router id 192.0.2.1;\n")
    assert rest.count("{") == rest.count("}")


@pytest.mark.parametrize("line", [0, 1, 5, line_of("calico_export_v4") + 1, 99])
def test_what_everybody_needs_stays(line):
    assert without(TEXT, line) is None


def test_notes_are_one_line_each():
    notes = left_out_notes({"Global_1": "a\nprotocol bgp evil {"})
    assert notes == ["# left out: Global_1: a protocol bgp evil {"]
