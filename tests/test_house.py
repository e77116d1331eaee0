"""House rules that no linter can state."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MODULES = [
    path
    for path in sorted((ROOT / "src" / "calico").rglob("*.py"))
    if "etcd_rpc" not in path.parts  # generated
]
BANNED_NAMES = {"utils", "util", "helpers", "common", "base", "manager", "misc"}
STARTS_PROGRAMS = {
    "system",
    "popen",
    "execv",
    "execve",
    "execvp",
    "execl",
    "spawnv",
    "spawnl",
    "fork",
}


def calls(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            yield node.func


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT / "src")))
def test_module(path):
    text = path.read_text()
    tree = ast.parse(text)
    assert ast.get_docstring(tree), "every module says what it is for"
    assert text.count("\n") <= 400, "a module of more than 400 lines is two modules"
    assert path.stem not in BANNED_NAMES, "name it after what it knows"
    core = "core" in path.relative_to(ROOT / "src").parts
    for function in calls(tree):
        owner = function.value.id if isinstance(function.value, ast.Name) else ""
        if path.parts[-2:] != ("kernel", "run.py"):
            assert not (owner == "os" and function.attr in STARTS_PROGRAMS), "only kernel/run.py"
        assert not (core and function.attr in {"now", "today", "utcnow"}), "core has no clock"


def test_no_mocks():
    for path in (ROOT / "tests").rglob("*.py"):
        if path.name != "test_house.py":
            assert "unittest.mock" not in path.read_text(), f"{path}: fakes, never mocks"


def test_every_decision_is_linked():
    architecture = (ROOT / "ARCHITECTURE.md").read_text()
    for decision in (ROOT / "docs" / "adr").glob("[0-9]*.md"):
        assert decision.name in architecture, f"{decision.name} is not linked"
