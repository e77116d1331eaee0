"""Who uses what, both ways round: the index behind "a change touches its users and no one else".

replace(user, what it uses now) --> what has gained its first user or lost its last
of(used)                        --> its users
"""

from collections.abc import Hashable, Iterable
from collections.abc import Set as AbstractSet
from typing import Generic, TypeVar

User = TypeVar("User", bound=Hashable)
Used = TypeVar("Used", bound=Hashable)


class Users(Generic[User, Used]):
    """A many-to-many relation, kept from the user's side."""

    def __init__(self) -> None:
        self._uses: dict[User, tuple[Used, ...]] = {}  # only users that use something
        self._users: dict[Used, set[User]] = {}  # no empty sets

    def of(self, used: Used) -> AbstractSet[User]:
        """Give the users of one thing; only valid until the next `replace`."""
        return self._users.get(used, set())

    def replace(self, user: User, uses: Iterable[Used]) -> set[Used]:
        """Say what a user uses from now on; return what came into use or fell out of it."""
        old, new = frozenset(self._uses.pop(user, ())), frozenset(uses)
        if new:
            self._uses[user] = tuple(new)  # a quarter of what sets cost, and most are small
        turned: set[Used] = set()
        for used in new - old:
            if used not in self._users:
                self._users[used] = set()
                turned.add(used)
            self._users[used].add(user)
        for used in old - new:
            self._users[used].discard(user)
            if not self._users[used]:
                del self._users[used]
                turned.add(used)
        return turned
