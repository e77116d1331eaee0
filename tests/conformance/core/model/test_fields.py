"""Our kinds have the fields of Calico's API: all of them, so named, in that order.

    fields.txt   Kind, then one line per JSON path; "always": written even when empty

The list was printed from the types of Calico's own client by reflection.
"""

from pathlib import Path

import pytest
from msgspec import NODEFAULT, inspect

from calico.core.model.registry import KINDS

LINES = (Path(__file__).parent / "fields.txt").read_text().splitlines()


def published():
    kinds, fields = {}, []
    for line in LINES:
        if line.startswith("  "):
            fields.append(line.strip())
        else:
            fields = kinds[line] = []
    return kinds


def paths(wanted, path):
    """Yield the paths below one type, in order."""
    match wanted:
        case inspect.StructType():
            for field in wanted.fields:
                inner = f"{path}.{field.encode_name}" if path else field.encode_name
                always = field.default_factory not in {NODEFAULT, dict}
                if inner not in {"apiVersion", "metadata"}:
                    yield f"{inner} always" if always else inner
                    yield from paths(field.type, inner)
        case inspect.VarTupleType():
            yield from paths(wanted.item_type, f"{path}[]")
        case inspect.UnionType():
            for option in wanted.types:
                yield from paths(option, path)


@pytest.mark.conformance
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_fields(kind):
    ours = list(paths(inspect.type_info(KINDS[kind].type), ""))
    assert ours == published()[kind]
