"""The executable's parts that can be called, and what holds it and the service together."""

import ast
import json
from pathlib import Path

import pytest

import calico
from calico.cni import deferred, plugin, settings
from calico.cni.install import executable, install
from calico.cni.wire import parse_call

SOURCE = Path(plugin.__file__).read_text()


def test_it_knows_what_the_service_knows():
    assert plugin.VERSIONS == settings.VERSIONS
    assert calico.__version__ == plugin.VERSION
    assert Path(plugin.SOCKET) == deferred.DEFAULT_SOCKET
    assert Path(plugin.DELETES) == deferred.DEFAULT_FOLDER


def test_it_imports_three_modules_and_nothing_else():
    imports = [n for n in ast.walk(ast.parse(SOURCE)) if isinstance(n, ast.Import | ast.ImportFrom)]
    assert {alias.name for node in imports for alias in node.names} == {"_socket", "os", "sys"}


@pytest.mark.parametrize(
    ("config", "found"),
    [
        (b'{"agent_socket": "/run/x.sock"}', "/run/x.sock"),
        (b'{"a":1,"agent_socket":"/run/y.sock","b":"c"}', "/run/y.sock"),
        (b'{"name": "agent_socket"}', ""),
        (b'{"agent_socket": 7, "x": "y"}', ""),
        (b'{"agent_socket"', ""),
        (b"", ""),
    ],
)
def test_the_socket_can_be_configured(config, found):
    assert plugin.configured(config, b'"agent_socket"') == found


@pytest.mark.parametrize("text", ["plain", 'a "quoted" \\ one', "line\nand\ttab", "ü \x01"])
def test_quoted_is_json(text):
    assert json.loads(plugin.quoted(text)) == text
    assert json.loads(plugin.failure(11, text, "d"))["msg"] == text


def test_a_request_arrives_as_it_was_packed():
    config = b'{"name":"net1"}\0\0x'
    packed = plugin.packed(("calico-ipam", "CNI_COMMAND=ADD", "CNI_ARGS=A=b;C=d"), config)
    call = parse_call(packed)
    assert call.plugin == "calico-ipam"
    assert call.environment == {"CNI_COMMAND": "ADD", "CNI_ARGS": "A=b;C=d"}
    assert call.config == config
    assert call.namespace == -1


def test_the_installed_file_is_the_source_with_an_interpreter(tmp_path):
    paths = install(tmp_path / "bin", "/usr/bin/python3")
    assert [path.name for path in paths] == ["calico", "calico-ipam"]
    for path in paths:
        assert path.read_text() == f"#!/usr/bin/python3 -ISE\n{SOURCE}"
        assert path.stat().st_mode & 0o777 == 0o755
    assert list((tmp_path / "bin").glob("*.new")) == []
    assert executable("/x").startswith("#!/x -ISE\n")
