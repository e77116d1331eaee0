"""Which label sets hold a label, as bits: what a new selector is answered from.

    label set 0  {app: db,  env: prod}        app = db    -> ...001
    label set 1  {app: web, env: prod}        app = web   -> ...010
                                              env = prod  -> ...011
                                              has(app)    -> ...011

A selector over any number of label sets is then a few operations on integers (queries.py).
"""

from collections.abc import Iterator

from calico.core.calc.bits import Bits
from calico.core.calc.labels import Labels


class _Key:
    """The postings of one label name."""

    __slots__ = ("present", "values")

    def __init__(self) -> None:
        self.present = Bits()
        self.values: dict[str, Bits] = {}


class Postings:
    """The label sets, by number, turned inside out."""

    def __init__(self) -> None:
        self._keys: dict[str, _Key] = {}
        self._universe = 0  # one more than the highest number ever used
        self._everything = 0

    def add(self, number: int, labels: Labels) -> None:
        """Post a label set under each of its labels."""
        self._universe = max(self._universe, number + 1)
        self._everything |= 1 << number
        for key, value in labels.items():
            entry = self._keys.get(key)
            if entry is None:
                entry = self._keys[key] = _Key()
            entry.present.add(number, self._universe)
            bits = entry.values.get(value)
            if bits is None:
                bits = entry.values[value] = Bits()
            bits.add(number, self._universe)

    def remove(self, number: int, labels: Labels) -> None:
        """Withdraw a label set, which must have been posted with these labels."""
        self._everything &= ~(1 << number)
        for key, value in labels.items():
            entry = self._keys[key]
            bits = entry.values[value]
            bits.discard(number)
            if not bits:
                del entry.values[value]
            entry.present.discard(number)
            if not entry.values:
                del self._keys[key]

    @property
    def everything(self) -> int:
        """All label sets."""
        return self._everything

    def having(self, key: str) -> int:
        """Return the label sets that have the key."""
        entry = self._keys.get(key)
        return entry.present.as_int() if entry else 0

    def holding(self, key: str, value: str) -> int:
        """Return the label sets whose value of the key is this one."""
        entry = self._keys.get(key)
        bits = entry.values.get(value) if entry else None
        return bits.as_int() if bits else 0

    def values(self, key: str) -> Iterator[tuple[str, int]]:
        """Yield each value of the key, with the label sets that hold it."""
        entry = self._keys.get(key)
        for value, bits in entry.values.items() if entry else ():
            yield value, bits.as_int()
