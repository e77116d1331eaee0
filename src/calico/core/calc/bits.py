"""Sets of small numbers, fit for "and", "or" and "not" over all of them at once.

    few members:  a Python set, some bytes each
    many members: one Python int, bit n for member n; 12.5 KB can say anything about 100,000

Most label values are held by a handful of label sets and a few by thousands; either alone would
waste memory (an int of 12.5 KB for one member) or time.

Source: measurements.md, "Labels x selectors".
"""

from collections.abc import Iterator

FEW = 32
BITS_PER_MEMBER = 256  # above one member per so many numbers an int is the smaller form


class Bits:
    """A mutable set of small non-negative numbers that can be read as an int."""

    __slots__ = ("_dense", "_sparse")

    def __init__(self) -> None:
        self._sparse: set[int] | None = set()
        self._dense = 0

    def add(self, number: int, universe: int) -> None:
        """Add a member; `universe` is how many numbers are in use, to choose the form."""
        if self._sparse is None:
            self._dense |= 1 << number
            return
        self._sparse.add(number)
        if len(self._sparse) > FEW and len(self._sparse) * BITS_PER_MEMBER > universe:
            self._dense, self._sparse = self.as_int(), None

    def discard(self, number: int) -> None:
        """Remove a member if it is there."""
        if self._sparse is None:
            self._dense &= ~(1 << number)
        else:
            self._sparse.discard(number)

    def as_int(self) -> int:
        """Return all members as bits."""
        if self._sparse is None:
            return self._dense
        return as_bits(self._sparse)

    def __bool__(self) -> bool:
        return bool(self._dense if self._sparse is None else self._sparse)


def as_bits(numbers: set[int]) -> int:
    """Return an int with these bits set."""
    bits = 0
    for number in numbers:
        bits |= 1 << number
    return bits


def members(bits: int) -> Iterator[int]:
    """List the numbers of the bits that are set, lowest first. Cost: the length of `bits`."""
    text = bin(bits)[:1:-1]
    position = text.find("1")
    while position >= 0:
        yield position
        position = text.find("1", position + 1)
