"""The records one commit is about: as they were read, and as they shall be.

    get, read_all --> Slot {record, revision} --decide--> wanted --changes--> one commit
                                                  <-- Conflict: what stands there now

Every record that was read and is changed, or was relied upon, is expected at the revision it was
read at. So what is remembered from an earlier commit needs no reading again: if it is old, the
commit fails, says how the record is now, and the decision is made again.

A block that cannot be decoded is kept as one that is nobody's we know and holds no address, so that
it is neither used nor overwritten and the others go on.

Ownership: used by one thread.
"""

import logging
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import TypeAlias

import msgspec

from calico.core.ipam.affinity import owner_parts
from calico.core.ipam.block import written
from calico.core.model import block as model
from calico.core.model.block import Block, BlockAffinity, Handle, IpamConfig
from calico.core.model.keys import (
    BLOCKS_PREFIX,
    HANDLES_PREFIX,
    IPAM_CONFIG_PATH,
    IPAM_PREFIX,
    BlockAffinityKey,
    BlockKey,
    HandleKey,
    affinities_prefix,
    path_of,
)
from calico.datastore.client import (
    Change,
    Conflict,
    Datastore,
    Delete,
    Entry,
    Expect,
    NotFound,
    Put,
)
from calico.ipam.errors import IpamError

log = logging.getLogger(__name__)

Record: TypeAlias = Block | BlockAffinity | Handle | IpamConfig | bytes


class Slot(msgspec.Struct, frozen=True):
    """A record as it was read; None and 0: it does not exist."""

    record: Record | None = None
    revision: int = 0


ABSENT = Slot()


class Ledger:
    """One transaction at a time over a store, with a memory of earlier ones."""

    def __init__(self, store: Datastore) -> None:
        self._store = store
        self._slots: dict[str, Slot] = {}
        self._wanted: dict[str, Record | None] = {}
        self._relied: set[str] = set()
        self._assumed: set[str] = set()  # taken for absent without looking

    def begin(self) -> None:
        """Forget what is wanted; keep what was read."""
        self._assumed.clear()
        self._wanted.clear()
        self._relied.clear()

    def record(self, path: str) -> Record | None:
        """Give a record as it shall be, reading it if it is not known.

        A handle that was looked at is relied upon, whatever comes of it: it is read at another
        moment than the blocks it speaks of, and both must be true at the commit.
        """
        if path.startswith(HANDLES_PREFIX):
            self._relied.add(path)
        if path in self._wanted:
            return self._wanted[path]
        if path not in self._slots:
            self._read(path)
        return self._slots[path].record

    def assume_absent(self, path: str) -> None:
        """Take an unknown record for absent; if it is not, the commit fails and we know it."""
        if path not in self._slots:
            self._slots[path] = ABSENT
            self._assumed.add(path)

    def rely_on(self, path: str) -> None:
        """Let the commit fail unless this record is still as it was read."""
        self._relied.add(path)

    def read_all(self, prefix: str) -> list[str]:
        """Read all under a prefix again; give the paths of what shall exist, in order.

        What is decided already stays as it was when it was decided: if it has changed, the commit
        must fail, not write an old decision over the new record.
        """
        found = {entry.path: entry for entry in self._store.list(prefix).entries}
        for path in {p for p in self._slots if p.startswith(prefix)} | set(found):
            if path not in self._wanted and path not in self._relied:
                self._learn(path, found.get(path))
        return self.known(prefix)

    def known(self, prefix: str) -> list[str]:
        """Give the paths under a prefix that shall exist, of those known, in order."""
        return sorted(
            path
            for path in {*self._slots, *self._wanted}
            if path.startswith(prefix) and self.record(path) is not None
        )

    def put(self, path: str, record: Record) -> None:
        """Want this record."""
        self._wanted[path] = record

    def delete(self, path: str) -> None:
        """Want no such record."""
        self._wanted[path] = None

    @contextmanager
    def all_or_nothing(self) -> Iterator[None]:
        """Undo what was wanted inside if it ends with an exception."""
        wanted, relied = dict(self._wanted), set(self._relied)
        assumed = set(self._assumed)
        try:
            yield
        except BaseException:
            for path in self._assumed - assumed:
                del self._slots[path]
            self._wanted, self._relied, self._assumed = wanted, relied, assumed
            raise

    def changes(self) -> list[Change]:
        """List what to commit: handles, then blocks, then the rest."""
        changed = self._changed()
        relied = (self._relied | self._assumed) - set(changed)
        guards = [Expect(path, self._slot(path).revision) for path in sorted(relied)]
        return [*(self._change(p, changed[p]) for p in sorted(changed, key=_rank)), *guards]

    def committed(self, revision: int) -> None:
        """Remember what the commit made true."""
        for path, record in self._changed().items():
            self._slots[path] = ABSENT if record is None else Slot(record, revision)
        self.begin()

    def learn(self, conflict: Conflict) -> None:
        """Take over how the record that stood in the way is now."""
        self._learn(conflict.path, conflict.actual)

    def forget(self, prefix: str = "") -> None:
        """Drop what was read under a prefix."""
        for path in [p for p in self._slots if p.startswith(prefix)]:
            del self._slots[path]

    def keep(self, paths: Container[str]) -> None:
        """Drop what was read at any other path."""
        self._slots = {path: slot for path, slot in self._slots.items() if path in paths}

    def _slot(self, path: str) -> Slot:
        return self._slots.get(path, ABSENT)

    def _read(self, path: str) -> None:
        try:
            self._learn(path, self._store.get(path))
        except NotFound:
            self._slots[path] = ABSENT

    def _learn(self, path: str, entry: Entry | None) -> None:
        if entry is None:
            self._slots[path] = ABSENT
        elif self._slot(path).revision != entry.revision:
            self._slots[path] = Slot(_decode(path, entry.value), entry.revision)

    def _changed(self) -> dict[str, Record | None]:
        """Give what differs from what was read; a block's number rises once for a commit."""
        changed = {p: r for p, r in self._wanted.items() if r != self._slot(p).record}
        return {p: written(r) if isinstance(r, Block) else r for p, r in changed.items()}

    def _change(self, path: str, record: Record | None) -> Put | Delete:
        expected = self._slot(path).revision
        if record is None:
            return Delete(path, expected)
        return Put(path, record if isinstance(record, bytes) else model.encode(record), expected)


@lru_cache(maxsize=4_096)
def block_path(cidr: str) -> str:
    """Give the path of a block's record; asked for every block of a node by every request."""
    return path_of(BlockKey(cidr))


def blocks_prefix(version: int) -> str:
    """Give the prefix of all blocks of one version."""
    return f"{BLOCKS_PREFIX}ipv{version}/block/"


def affinities_of(owner: str, version: int) -> str:
    """Give the prefix of an owner's affinities of one version."""
    return f"{affinities_prefix(*owner_parts(owner))}ipv{version}/block/"


def affinity_path(owner: str, cidr: str) -> str:
    """Give the path of an owner's affinity to a block."""
    return path_of(BlockAffinityKey(*owner_parts(owner), cidr))


def handle_path(handle: str) -> str:
    """Give the path of a handle's record."""
    return path_of(HandleKey(handle))


def cidr_of(path: str) -> str:
    """Give the block that a block's or an affinity's path is about."""
    return path.rpartition("/")[2].replace("-", "/")


def _decode(path: str, value: bytes) -> Record:
    if not path.startswith(IPAM_PREFIX):
        return value
    try:
        return _decoder(path)(value)
    except msgspec.MsgspecError as error:
        log.warning("record is unreadable", extra={"path": path, "reason": str(error)})
        if not path.startswith(BLOCKS_PREFIX):
            raise IpamError(f"the record {path} is unreadable: {error}") from error
        return Block(cidr=cidr_of(path), affinity="unreadable", allocations=(), unallocated=())


def _decoder(path: str) -> Callable[[bytes], Record]:
    if path == IPAM_CONFIG_PATH:
        return model.decode_config
    if path.startswith(HANDLES_PREFIX):
        return model.decode_handle
    return model.decode_block if path.startswith(BLOCKS_PREFIX) else model.decode_affinity


def _rank(path: str) -> tuple[int, str]:
    kinds = (HANDLES_PREFIX, BLOCKS_PREFIX)
    return next((i for i, kind in enumerate(kinds) if path.startswith(kind)), len(kinds)), path
