"""Which selectors can match given labels at all: asked when an endpoint changes.

    app == "db" && has(env)      filed under  app = db                 it needs that
    has(role) || app in {a, b}   filed under  role, app = a, app = b   it needs one of these
    !has(app)                    filed under  nothing                  it is always tried

Labels are looked up in these files, and only what is found is evaluated. Of several needs that
all must hold, a selector is filed under the one whose files are shortest at that moment.

Source: felix/labelindex/labelrestrictionindex.
"""

from collections.abc import Callable, Hashable, Iterator
from typing import Generic, TypeAlias, TypeVar

from calico.core.calc.labels import Labels

Need: TypeAlias = tuple[str, str | None]  # a label's name, and a value if one is needed
Needs: TypeAlias = frozenset[Need] | None  # labels must hold one of these; None: no telling
Weigh: TypeAlias = Callable[[Needs], int]

Name = TypeVar("Name", bound=Hashable)


class Candidates(Generic[Name]):
    """Selectors' names, filed under what they need."""

    def __init__(self) -> None:
        self._needs: dict[Name, Needs] = {}
        self._files: dict[Need, dict[Name, None]] = {}
        self._always: dict[Name, None] = {}

    def weight(self, needs: Needs) -> int:
        """How many selectors would share the files of these needs."""
        if needs is None:
            return 1 << 60
        return sum(len(self._files.get(need, ())) + 1 for need in needs)

    def add(self, name: Name, needs: Needs) -> None:
        """File a selector."""
        self._needs[name] = needs
        if needs is None:
            self._always[name] = None
        for need in needs or ():
            self._files.setdefault(need, {})[name] = None

    def remove(self, name: Name) -> None:
        """Forget a selector."""
        needs = self._needs.pop(name)
        if needs is None:
            del self._always[name]
        for need in needs or ():
            entry = self._files[need]
            del entry[name]
            if not entry:
                del self._files[need]

    def of(self, labels: Labels) -> Iterator[Name]:
        """List the selectors worth evaluating; one may come more than once."""
        yield from self._always
        for key, value in labels.items():
            yield from self._files.get((key, value), ())
            yield from self._files.get((key, None), ())
