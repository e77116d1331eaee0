"""Read BIRD's "show protocols all": the sessions, with what went wrong last.

Source: BIRD 2's proto/bgp/bgp.c, bgp_show_proto_info.
"""

from collections.abc import Iterable

from msgspec import Struct

_FIELDS = {
    "BGP state": "state",
    "Neighbor address": "address",
    "Neighbor AS": "neighbor_as",
    "Local AS": "local_as",
    "Last error": "last_error",
}


class Session(Struct, frozen=True):
    """One BGP session; `last_error` is BIRD's text, "Received: Bad peer AS"."""

    name: str
    state: str = ""
    address: str = ""
    neighbor_as: int = 0
    local_as: int = 0
    last_error: str = ""

    @property
    def is_established(self) -> bool:
        """Whether routes are exchanged."""
        return self.state == "Established"


def parse_sessions(lines: Iterable[tuple[int, str]]) -> tuple[Session, ...]:
    """Read the reply to "show protocols all"."""
    found: dict[str, dict[str, str]] = {}
    current: dict[str, str] = {}
    for code, line in lines:
        words = line.split()
        if code == 1002 and len(words) > 1:
            current = found.setdefault(words[0], {}) if words[1] == "BGP" else {}
            continue
        label, separator, value = line.strip().partition(":")
        if separator and label in _FIELDS:
            current.setdefault(_FIELDS[label], value.strip())
    return tuple(_session(name, facts) for name, facts in found.items())


def _session(name: str, facts: dict[str, str]) -> Session:
    return Session(
        name=name,
        state=facts.get("state", ""),
        address=facts.get("address", "").partition("%")[0],
        neighbor_as=_number(facts.get("neighbor_as", "")),
        local_as=_number(facts.get("local_as", "")),
        last_error=facts.get("last_error", ""),
    )


def _number(text: str) -> int:
    return int(text) if text.isdigit() else 0
