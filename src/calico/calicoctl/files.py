"""Documents of resources, read from files, folders and standard input.

    path or "-" --> YAML or JSON documents --> Document(where, content), one per resource

A file holds documents divided by `---`; each is one resource, a `<Kind>List` or an array of them.

Source: shared/spec calicoctl 7b.3 "Input".
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from msgspec import Struct

SUFFIXES = (".yaml", ".yml", ".json")
LARGEST_BYTES = 10 * 1024 * 1024


class FileError(Exception):
    """A file cannot be read, or is neither YAML nor JSON; says which, where, and what to do."""


class Document(Struct, frozen=True):
    """One resource as written, and where: "web.yaml, line 3"."""

    where: str
    content: dict[str, Any]


class Line(Struct, frozen=True):
    """One value of a mapping, and the line it stands on."""

    value: Any
    number: int


class _Loader(yaml.CSafeLoader):
    """YAML as Kubernetes reads it: times stay text."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, regexp) for tag, regexp in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read_path(path: str, recursive: bool = False) -> list[Document]:
    """Read a file, a folder's .yaml, .yml and .json files, or "-". Raises FileError."""
    if path == "-":
        return list(parse_documents(sys.stdin.read(), "standard input"))
    place = Path(path)
    if not place.is_dir():
        return list(_read_file(place))
    found = sorted(place.rglob("*") if recursive else place.iterdir())
    files = (file for file in found if file.is_file() and file.suffix.lower() in SUFFIXES)
    return [document for file in files for document in _read_file(file)]


def _read_file(path: Path) -> Iterator[Document]:
    try:
        size = path.stat().st_size
        text = path.read_text() if size <= LARGEST_BYTES else ""
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise FileError(f"cannot read {path}: {reason}") from error
    if size > LARGEST_BYTES:
        raise FileError(f"{path} has {size} bytes; at most {LARGEST_BYTES} are read: split it")
    return parse_documents(text, str(path))


def parse_documents(text: str, where: str) -> Iterator[Document]:
    """Split `text` into resources. Raises FileError with the line of what is wrong."""
    try:
        for node in filter(None, yaml.compose_all(text, Loader=_Loader)):
            _refuse_repetition(node, where)
            content = _Loader("").construct_document(node)
            yield from _resources(content, f"{where}, line {node.start_mark.line + 1}")
    except yaml.YAMLError as error:
        raise FileError(_yaml_problem(_better_placed(text, error), where)) from error


def _refuse_repetition(root: yaml.Node, where: str) -> None:
    """Refuse a mapping that has a key twice: the first value would be lost. Raises FileError."""
    waiting, seen = [root], {id(root)}
    while waiting:
        node = waiting.pop()
        if isinstance(node, yaml.MappingNode):
            _refuse_same_keys(node, where)
            below = [one for pair in node.value for one in pair]
        else:
            below = node.value if isinstance(node, yaml.SequenceNode) else []
        waiting.extend(one for one in below if id(one) not in seen)
        seen.update(map(id, below))


def _refuse_same_keys(mapping: yaml.MappingNode, where: str) -> None:
    lines: dict[str, int] = {}
    for key, _ in mapping.value:
        if not isinstance(key, yaml.ScalarNode):
            continue
        line = key.start_mark.line + 1
        if key.value in lines:
            first = lines[key.value]
            raise FileError(f"{where}, line {line}: {key.value} stands on line {first} too")
        lines[key.value] = line


def read_lines(path: str) -> dict[str, Line]:
    """Read a YAML mapping as {key: (value, line)}, first level only. Raises FileError."""
    try:
        text = Path(path).read_text()
    except OSError as error:
        raise FileError(f"cannot read {path}: {error.strerror}") from error
    try:
        node = yaml.compose(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise FileError(_yaml_problem(_better_placed(text, error), path)) from error
    if not isinstance(node, yaml.MappingNode):
        raise FileError(f"{path}: write one `key: value` a line")
    found: dict[str, Line] = {}
    for key_node, value_node in node.value:
        key, line = str(key_node.value), key_node.start_mark.line + 1
        if key in found:
            raise FileError(f"{path}, line {line}: {key} stands on line {found[key].number} too")
        found[key] = Line(_Loader("").construct_document(value_node), line)
    return found


def _resources(content: Any, where: str) -> Iterator[Document]:  # noqa: ANN401  # any YAML
    if content is None:
        return
    if isinstance(content, list):
        for item in content:
            yield from _resources(item, where)
    elif not isinstance(content, dict):
        raise FileError(f"{where}: a resource is a mapping with kind, metadata and spec")
    elif str(content.get("kind", "")).endswith("List") and "items" in content:
        for item in content["items"] or ():
            yield from _resources(item, where)
    else:
        yield Document(where, content)


def _better_placed(text: str, error: yaml.YAMLError) -> yaml.YAMLError:
    """Ask the parser in Python, which is slow and points to the very place."""
    try:
        for _ in yaml.compose_all(text, Loader=yaml.SafeLoader):
            pass
    except yaml.YAMLError as better:
        return better
    return error


def _yaml_problem(error: yaml.YAMLError, where: str) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error)
    line = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
    return f"{where}{line}: neither YAML nor JSON: {problem}"
