"""A configuration in blocks, one of which BIRD may not like.

    text, line of the error --without--> the text without that session, or without that filter
                                         and all the sessions that call it

The renderer writes nothing that BIRD refuses, as far as we know; where we do not, a single
session is lost and not all. A session is never left with a part of its filters.

A block of the first level begins with its head in the first column and ends with a brace there.
"""

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

_HEAD = re.compile(r"(?:protocol bgp (\w+)|function ('bgp_[^']*')\(.*\)) \{")


class _Block(NamedTuple):
    first: int  # lines, from 0; both are of it
    last: int
    session: str  # its name, or
    function: str  # the name in quotes


def without(text: str, line: int) -> tuple[str, tuple[str, ...]] | None:
    """Cut what stands at a line (from 1); return the rest and the sessions that went.

    None if the line is in no session and in no BGPFilter: then nothing can be left out.
    """
    lines = text.split("\n")
    blocks = list(_blocks(lines))
    at = next((one for one in blocks if one.first < line <= one.last + 1), None)
    if at is None:
        return None
    gone = [at]
    if at.function:
        gone += [
            one
            for one in blocks
            if one.session and any(at.function in lines[i] for i in range(one.first, one.last))
        ]
    cut = {i for one in gone for i in range(one.first, one.last + 1)}
    rest = "\n".join(one for i, one in enumerate(lines) if i not in cut)
    return rest, tuple(one.session for one in gone if one.session)


def left_out_notes(left_out: Mapping[str, str]) -> list[str]:
    """Say in comments what is not there, and why."""
    return [" ".join(f"# left out: {name}: {why}".split()) for name, why in left_out.items()]


def _blocks(lines: list[str]) -> Iterator[_Block]:
    """Yield sessions and functions of BGPFilters."""
    first, head = 0, None
    for i, line in enumerate(lines):
        if found := _HEAD.fullmatch(line):
            first, head = i, found
        elif line == "}" and head is not None:
            yield _Block(first, i, head[1] or "", head[2] or "")
            head = None
