"""Decide, commit, and decide again if someone else was faster.

    requests --decide, one after the other--> wanted records --one commit--> answers
                  ^                                            |
                  `--- Conflict: learn how the record is now --'

All requests that are served together share one transaction: blocks, handles, affinities, and what
the requesters add (`also`: a WorkloadEndpoint, say, once its addresses are known). A request that
cannot be met is answered with its error and leaves nothing wanted behind; the others go on.

What is remembered makes good decisions cheap, since the commit fails if it is old. A refusal is not
committed, so nothing is refused from memory: what fails is decided again from what is read anew.

If we crash before the commit, nothing has happened; after it, everything has.

Ownership: used by one thread. What is remembered between commits is this node's blocks, their
affinities, the settings, pools, reservations and the node: all are expected unchanged by the commit
that uses them. An answer that needs no commit is given from what was read for it.
Source: shared/spec datastore-etcd 1.9.5 (100 attempts), 1.9.6.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeAlias, TypeVar

from calico.core.ipam.affinity import host
from calico.core.ipam.assign import Assigned, View
from calico.core.ipam.block import normalised
from calico.core.ipam.pools import Choice
from calico.core.model.block import Block, BlockAffinity, Handle
from calico.core.model.keys import HANDLES_PREFIX, IPAM_CONFIG_PATH
from calico.datastore.client import (
    Change,
    Conflict,
    Datastore,
    DatastoreError,
    Delete,
    Put,
    Unwritten,
)
from calico.ipam.errors import Busy, IpamError, NotAllocated
from calico.ipam.ledger import (
    Ledger,
    affinities_of,
    affinity_path,
    block_path,
    blocks_prefix,
    cidr_of,
    handle_path,
)
from calico.ipam.surroundings import (
    POOLS_AND_RESERVATIONS,
    Surroundings,
    node_path,
    read_surroundings,
    settings,
)

ATTEMPTS = 100
MAX_CHANGES = 128  # of a commit
MOST_GUARDS = 24  # of it for pools and reservations; where there are more, they are read every time

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Request(Protocol[T_co]):
    """Something to do at a desk, in one transaction with others."""

    def decide(self, desk: "Desk") -> tuple[T_co, Sequence[Change]]:
        """Want records in the desk's ledger; give the answer and what to commit besides."""
        ...


Answer: TypeAlias = tuple[T, int] | Exception  # what was decided and the commit's revision


class Desk:
    """Where the address records of a cluster are changed, for one node."""

    def __init__(self, store: Datastore, node: str, now: Callable[[], int] = time.time_ns) -> None:
        self.store = store
        self.node = node
        self.ledger = Ledger(store)
        self.now = 0
        self._clock = now
        self._surroundings: Surroundings | None = None
        self._is_fresh = False  # they were read for this very attempt
        self._loaded: set[str] = set()  # prefixes of affinities that are wholly known
        self._complete: set[int] = set()  # versions of which this attempt knows every block
        self._remembers = False  # something from before the present requests

    @property
    def owner(self) -> str:
        """The node as an owner of blocks."""
        return host(self.node)

    @property
    def surroundings(self) -> Surroundings:
        """Pools and reservations, as the commit of this attempt will expect them."""
        if self._surroundings is None:
            raise AssertionError("known at the start of every attempt")
        return self._surroundings

    def serve(self, requests: Sequence[Request[T]]) -> list[Answer[T]]:
        """Serve all, each with its answer or its error (IpamError, DatastoreError)."""
        answers: dict[int, Answer[T]] = {}
        for _ in range(ATTEMPTS):
            waiting = {i: r for i, r in enumerate(requests) if i not in answers}
            if not waiting:
                break
            answers |= self._attempt(waiting)
        self._tidy()
        busy = Busy(f"gave up after {ATTEMPTS} attempts: too many concurrent IPAM requests")
        return [answers.get(i, busy) for i in range(len(requests))]

    def serve_one(self, request: Request[T]) -> tuple[T, int]:
        """Serve one request; give the answer and the revision, or raise its error."""
        answer = self.serve((request,))[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def view(self, owner: str, version: int, choice: Choice, *, complete: bool) -> View:
        """Show what is known of a version's blocks to who decides."""
        prefix = affinities_of(owner, version)
        if complete and version not in self._complete:
            self._complete.add(version)
            self._loaded.discard(prefix)
            self.ledger.read_all(blocks_prefix(version))
        config = settings(self.ledger)
        affinities = self.affinities(owner, version)
        cidrs = dict.fromkeys(affinities)
        if version in self._complete:
            cidrs |= dict.fromkeys(map(cidr_of, self.ledger.known(blocks_prefix(version))))
        blocks = {cidr: self._block(cidr, config.cooldown_seconds) for cidr in cidrs}
        return View(
            owner=owner,
            config=config,
            choice=choice,
            reserved=self.surroundings.reserved,
            affinities={cidr: affinity.state for cidr, affinity in affinities.items()},
            blocks={cidr: block for cidr, block in blocks.items() if block is not None},
            is_complete=version in self._complete,
            now=self.now,
        )

    def affinities(self, owner: str, version: int) -> Mapping[str, BlockAffinity]:
        """Give an owner's affinities by block, in key order."""
        prefix = affinities_of(owner, version)
        if prefix not in self._loaded:
            self.ledger.read_all(prefix)
            self._loaded.add(prefix)
        found = ((path, self.ledger.record(path)) for path in self.ledger.known(prefix))
        return {cidr_of(path): a for path, a in found if isinstance(a, BlockAffinity)}

    def block(self, cidr: str) -> Block | None:
        """Give a block, its cooled addresses freed; None if there is none."""
        return self._block(cidr, settings(self.ledger).cooldown_seconds)

    def _block(self, cidr: str, cooldown_seconds: int) -> Block | None:
        block = self.ledger.record(block_path(cidr))
        if not isinstance(block, Block):
            return None
        return normalised(block, self.now, cooldown_seconds)

    def settled_block(self, cidr: str) -> Block | None:
        """Give a block for a decision about other records; the commit fails if it changes."""
        self.ledger.rely_on(block_path(cidr))
        return self.block(cidr)

    def want(self, owner: str, assigned: Assigned, handle: str) -> None:
        """Want the records that make an assignment true."""
        for cidr, block in assigned.blocks.items():
            self.ledger.put(block_path(cidr), block)
        for cidr in assigned.claims:
            path = affinity_path(owner, cidr)
            self.ledger.assume_absent(path)
            self.ledger.rely_on(path)  # also if it is confirmed already
            self.ledger.put(path, BlockAffinity(state="confirmed"))
        for cidr in assigned.stale:
            self.ledger.rely_on(block_path(cidr))
            self.ledger.delete(affinity_path(owner, cidr))
        for cidr, former in assigned.evicted.items():
            path = affinity_path(former, cidr)
            self.ledger.rely_on(path)
            if self.ledger.record(path) is not None:
                self.ledger.delete(path)
        if handle:
            self._count(handle, assigned)

    def _count(self, handle: str, assigned: Assigned) -> None:
        """Add an assignment to its handle's record."""
        path = handle_path(handle)
        self.ledger.assume_absent(path)  # as good as always so; else the commit tells us
        record = self.ledger.record(path)
        counts = dict(record.block) if isinstance(record, Handle) else {}
        for given in assigned.addresses:
            counts[given.block] = counts.get(given.block, 0) + 1
        self.ledger.put(path, Handle(block=counts))

    def _attempt(self, waiting: Mapping[int, Request[T]]) -> dict[int, Answer[T]]:
        """Decide and commit once; what is not in the answer is to be tried again."""
        extras: dict[int, Sequence[Change]] = {}
        try:
            self._begin()
            decided, failed = self._decide_all(waiting, extras)
            changes = [*self.ledger.changes(), *(c for many in extras.values() for c in many)]
            if not any(isinstance(change, Put | Delete) for change in changes):
                if not self._is_fresh:
                    self._forget_all()
                    return {}
                revision = 0
            else:
                changes += self._guards()
                if len(changes) > MAX_CHANGES:
                    return self._fewer(waiting)
                revision = self.store.commit(changes)
        except Conflict as conflict:
            return self._lost(conflict, extras)
        except DatastoreError as error:
            self._forget_all()
            return dict.fromkeys(waiting, error)
        self.ledger.committed(revision)
        answers: dict[int, Answer[T]] = {i: (value, revision) for i, value in decided.items()}
        if self._remembers and any(not isinstance(e, NotAllocated) for e in failed.values()):
            self._forget_all()
            return answers
        return answers | failed

    def _begin(self) -> None:
        self.now = self._clock()
        self.ledger.begin()
        self._complete.clear()
        known = self._surroundings
        self._is_fresh = known is None or len(known.guards) > MOST_GUARDS
        if self._is_fresh:
            self._surroundings = read_surroundings(self.store)

    def _guards(self) -> Sequence[Change]:
        guards = self.surroundings.guards
        return guards if len(guards) <= MOST_GUARDS else ()

    def _decide_all(
        self, waiting: Mapping[int, Request[T]], extras: dict[int, Sequence[Change]]
    ) -> tuple[dict[int, T], dict[int, IpamError]]:
        decided: dict[int, T] = {}
        failed: dict[int, IpamError] = {}
        for i, request in waiting.items():
            try:
                with self.ledger.all_or_nothing():
                    decided[i], extras[i] = request.decide(self)
            except IpamError as error:
                failed[i] = error
        return decided, failed

    def _lost(
        self, conflict: Conflict, extras: Mapping[int, Sequence[Change]]
    ) -> dict[int, Answer[T]]:
        """Learn from a lost commit; a requester whose own record has changed must know."""
        for i, changes in extras.items():
            if any(c.path == conflict.path for c in changes if not isinstance(c, Unwritten)):
                return {i: conflict}
        if conflict.path.startswith(POOLS_AND_RESERVATIONS):
            self._surroundings = None
            return {}
        self.ledger.learn(conflict)
        if not conflict.path.startswith(HANDLES_PREFIX):
            self._loaded.clear()
        return {}

    def _fewer(self, waiting: Mapping[int, Request[T]]) -> dict[int, Answer[T]]:
        if len(waiting) == 1:
            error = IpamError(f"the request would change more than {MAX_CHANGES} records at once")
            return dict.fromkeys(waiting, error)
        half = list(waiting.items())[: len(waiting) // 2]
        return self._attempt(dict(half))

    def _tidy(self) -> None:
        """Keep in memory what the next request needs: the owners' blocks, settings, the node."""
        self.ledger.begin()
        self._remembers = True
        paths = [path for prefix in self._loaded for path in self.ledger.known(prefix)]
        self.ledger.keep(
            {
                IPAM_CONFIG_PATH,
                node_path(self.node),
                *paths,
                *(block_path(cidr_of(p)) for p in paths),
            }
        )

    def _forget_all(self) -> None:
        """Begin again with what the store says."""
        self._remembers = False
        self._surroundings = None
        self.ledger.forget()
        self._loaded.clear()
        self.ledger.begin()
