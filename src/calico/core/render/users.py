"""Who uses what, both ways round: the index behind "a change touches its users and no one else".

replace(user, what it uses now) --> what has gained its first user or lost its last
of(used)                        --> its users
"""

from collections.abc import Hashable, Iterable
from collections.abc import Set as AbstractSet
from typing import Generic, Never, TypeVar

User = TypeVar("User", bound=Hashable)
Used = TypeVar("Used", bound=Hashable)

_NOBODY: dict[Never, None] = {}


class Users(Generic[User, Used]):
    """A many-to-many relation, kept from the user's side."""

    def __init__(self) -> None:
        self._uses: dict[User, tuple[Used, ...]] = {}  # only users that use something
        # no empty ones; dictionaries, since a set of five costs four times a dictionary of five
        self._users: dict[Used, dict[User, None]] = {}

    def of(self, used: Used) -> AbstractSet[User]:
        """Give the users of one thing; only valid until the next `replace`."""
        return self._users.get(used, _NOBODY).keys()

    def replace(self, user: User, uses: Iterable[Used]) -> set[Used]:
        """Say what a user uses from now on; return what came into use or fell out of it."""
        old, new = frozenset(self._uses.pop(user, ())), frozenset(uses)
        if new:
            self._uses[user] = tuple(new)  # a quarter of what sets cost, and most are small
        turned: set[Used] = set()
        for used in new - old:
            if used not in self._users:
                self._users[used] = {}
                turned.add(used)
            self._users[used][user] = None
        for used in old - new:
            del self._users[used][user]
            if not self._users[used]:
                del self._users[used]
                turned.add(used)
        return turned
