"""Which of many prefixes is the most specific one that contains an address.

    {"10.0.0.0/8": a, "10.1.0.0/16": b}.longest("10.1.2.3") -> ("10.1.0.0/16", b)

One dictionary per prefix length; a look-up tries the lengths in use, longest first. Real tables
have a handful of lengths, so this beats a trie of Python objects in time and memory.

Invariant: `longest(p)` is the longest of all entries that contain p.
"""

from collections.abc import Iterator
from typing import Generic, TypeVar

from calico.core.net.prefix import LONGEST, Prefix, parse_prefix

Value = TypeVar("Value")


class PrefixTable(Generic[Value]):
    """A mapping from prefixes, in canonical text, that can be asked by containment."""

    def __init__(self) -> None:
        self._by_length: dict[tuple[int, int], dict[int, tuple[str, Value]]] = {}
        self._lengths: dict[int, list[int]] = {4: [], 6: []}  # in use, longest first

    def set(self, prefix: str, value: Value | None) -> None:
        """Enter a prefix; None means "no such prefix". Raises ValueError."""
        version, network, length = parse_prefix(prefix)
        entries = self._by_length.setdefault((version, length), {})
        if value is None:
            entries.pop(network, None)
        else:
            entries[network] = (prefix, value)
        if not entries:
            del self._by_length[version, length]
        self._lengths[version] = sorted(
            (known for family, known in self._by_length if family == version), reverse=True
        )

    def get(self, prefix: str) -> Value | None:
        """Return the value of exactly this prefix. Raises ValueError."""
        version, network, length = parse_prefix(prefix)
        found = self._by_length.get((version, length), {}).get(network)
        return None if found is None else found[1]

    def longest(self, prefix: str) -> tuple[str, Value] | None:
        """Return the longest entry that contains an address or prefix. Raises ValueError."""
        return next(self.containing(prefix), None)

    def containing(self, prefix: str) -> Iterator[tuple[str, Value]]:
        """Yield all entries that contain an address or prefix, longest first."""
        yield from self._containing(parse_prefix(prefix))

    def _containing(self, wanted: Prefix) -> Iterator[tuple[str, Value]]:
        for length in self._lengths[wanted.version]:
            if length <= wanted.length:
                spare = LONGEST[wanted.version] - length
                network = wanted.network >> spare << spare
                found = self._by_length[wanted.version, length].get(network)
                if found is not None:
                    yield found
