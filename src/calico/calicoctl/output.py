"""Print resources as calicoctl does: tables, YAML, JSON, custom columns.

    JSON documents --> render_table | render_yaml | render_json --> text

Source: shared/spec calicoctl 7b.3 "Output formats".
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from calico.calicoctl.kinds import BY_KIND, Column, Document, TableContext, field

WIDEST = 2**31 - 1  # as far as the emitter can count: lines are never broken
_GAP, _MINIMUM = 3, 5  # blanks after each column; the least width of one


def render_columns(rows: Sequence[Sequence[str]]) -> str:
    """Lay out cells in columns, blanks after the last one of each line too, as Calico does."""
    widths = [max(_MINIMUM, max(len(row[i]) for row in rows) + _GAP) for i in range(len(rows[0]))]
    lines = ("".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(lines) + "\n"


def render_box(headings: Sequence[str], rows: Sequence[Sequence[str]], right: int = 99) -> str:
    """Draw a table of `+---+`; the cells of the rows from column `right` on stand at the right."""
    every = [[heading.upper() for heading in headings], *rows]
    widths = [max(len(row[i]) for row in every) for i in range(len(headings))]
    line = "+" + "+".join("-" * (width + 2) for width in widths) + "+"

    def drawn(row: Sequence[str], first_right: int) -> str:
        cells = (
            f" {cell.rjust(width) if i >= first_right else cell.ljust(width)} "
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        return "|" + "|".join(cells) + "|"

    body = [drawn(row, right) for row in rows]
    return "\n".join([line, drawn(every[0], 99), line, *body, line]) + "\n"


def render_table(
    kind: str, documents: Iterable[Document], headings: Sequence[str], context: TableContext
) -> str:
    """Print one table of resources of one kind, with a blank line after it."""
    columns = [column_named(kind, heading) for heading in headings]
    rows = [list(headings)]
    rows += [[column(document, context) for column in columns] for document in documents]
    return render_columns(rows) + "\n"


def column_named(kind: str, heading: str) -> Column:
    """Find a column. Raises ValueError with the valid headings."""
    columns: Mapping[str, Column] = BY_KIND[kind].columns
    if heading == "NAMESPACE":
        return field("metadata", "namespace")
    if heading in columns:
        return columns[heading]
    valid = ", ".join(sorted(columns))
    raise ValueError(f"unknown heading {heading}, valid values are: {valid}")


def render_json(documents: Sequence[Document]) -> str:
    """Print one document as itself, several as an array; Go's escapes, no final newline."""
    text = json.dumps(_one_or_many(documents), indent=2, ensure_ascii=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def render_yaml(documents: Sequence[Document]) -> str:
    """Print one document as itself, several as a list; keys sorted, long lines unbroken."""
    import yaml  # noqa: PLC0415  # 20 ms that a table does not need

    class Dumper(yaml.CSafeDumper):  # seven times as fast as the one in Python
        """Quotes with double quotes what would read as another type."""

        def ignore_aliases(self, data: Any) -> bool:  # noqa: ANN401, ARG002  # yaml's signature
            return True

    def represent_text(dumper: Dumper, text: str) -> yaml.ScalarNode:
        looks_like = dumper.resolve(  # type: ignore[no-untyped-call]  # yaml ships no types here
            yaml.ScalarNode, text, (True, False)
        )
        style = None
        if "\n" in text:
            style = "|"
        elif looks_like != "tag:yaml.org,2002:str":
            style = '"'
        return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)

    Dumper.add_representer(str, represent_text)
    value = _one_or_many(documents)
    return str(yaml.dump(value, Dumper=Dumper, width=WIDEST, allow_unicode=True))


def _one_or_many(documents: Sequence[Document]) -> Document | Sequence[Document]:
    return documents[0] if len(documents) == 1 else list(documents)
