"""Files that people write, read with the place of every word: for errors that name it.

    file --> Field (value, line, path) --> lab/layout.py, lab/config.py

A wrong file gives one error: file, line, path within the file, the value, and what to write
instead. Nothing has been built by then.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml


class LabError(Exception):
    """Something a person can put right; the text says what, where and how."""


class Field:
    """A value in a YAML file: a mapping, a list or a word, and where it stands."""

    def __init__(self, node: yaml.Node, file: str, path: str = "") -> None:
        self._node = node
        self._file = file
        self._path = path

    @property
    def place(self) -> str:
        """Where it stands: "three.yaml, line 7, nodes[0].name"."""
        line = f"{self._file}, line {self._node.start_mark.line + 1}"
        return f"{line}, {self._path}" if self._path else line

    def error(self, problem: str, fix: str) -> LabError:
        """Make the error to raise; `fix` completes the sentence after a colon."""
        return LabError(f"{self.place}: {problem}: {fix}")

    def mapping(self, required: str, optional: str = "") -> Mapping[str, "Field"]:
        """Read a mapping with these keys (space-separated). Raises LabError."""
        found = self.entries()
        known = (*required.split(), *optional.split())
        for key, value in found.items():
            if key not in known:
                raise value.error(f"unknown key {key!r}", f"known here are {', '.join(known)}")
        for key in required.split():
            if key not in found:
                raise self.error(f"{key!r} is missing", f"write {key}: ...")
        return found

    def entries(self) -> Mapping[str, "Field"]:
        """Read a mapping with any keys. Raises LabError."""
        if not isinstance(self._node, yaml.MappingNode):
            raise self.error("a mapping belongs here", "write key: value lines")
        found: dict[str, Field] = {}
        for key_node, value_node in self._node.value:
            key = str(key_node.value)
            path = f"{self._path}.{key}" if self._path else key
            value = Field(value_node, self._file, path)
            if key in found:
                raise value.error(f"{key!r} is written twice", "remove one of them")
            found[key] = value
        return found

    def items(self) -> list["Field"]:
        """Read a list. Raises LabError."""
        if not isinstance(self._node, yaml.SequenceNode):
            raise self.error("a list belongs here", "start each entry with a dash")
        return [
            Field(item, self._file, f"{self._path}[{index}]")
            for index, item in enumerate(self._node.value)
        ]

    def text(self) -> str:
        """Read a word or a number, as it was written; "" for nothing. Raises LabError."""
        if not isinstance(self._node, yaml.ScalarNode):
            raise self.error("a single value belongs here", "write one word after the colon")
        return "" if self._node.tag == "tag:yaml.org,2002:null" else str(self._node.value)

    def number(self, first: int, last: int) -> int:
        """Read a whole number within bounds. Raises LabError."""
        text = self.text()
        if not text.isdecimal() or not first <= int(text) <= last:
            raise self.error(f"{text!r} is not a number", f"write one from {first} to {last}")
        return int(text)

    def content(self) -> Any:  # noqa: ANN401  # whatever was written
        """Read it as plain Python values."""
        return yaml.SafeLoader("").construct_document(self._node)


def read_file(path: Path) -> Field:
    """Read a YAML file that holds one document. Raises LabError."""
    try:
        node = yaml.compose(path.read_text(), Loader=yaml.SafeLoader)
    except OSError as error:
        raise LabError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise LabError(f"{path}: is not UTF-8 text") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}, line {mark.line + 1}" if mark else str(path)
        raise LabError(f"{where}: not YAML: {getattr(error, 'problem', error)}") from error
    if node is None:
        raise LabError(f"{path}: is empty: examples/ holds files that work")
    return Field(node, str(path))
