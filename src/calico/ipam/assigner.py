"""The thread that owns this node's blocks.

    CNI worker --Ticket--+
    CNI worker --Ticket--+--> all that wait --Desk.serve--> one transaction --> answers
    node       --Ticket--+

While one commit is under way the next requests gather, and then share the next commit. So a burst
of thirty pods costs two or three transactions, not thirty that fail against one another. After a
commit that several shared the next waits half a millisecond for as many, since those who were just
answered are about to ask again: or they would share in two halves that take turns.

Ownership: the desk belongs to this thread alone. A requester waits with a deadline; if it gives up,
its request may still be served: a handle that nobody asks for any more is released by who gave up.
"""

import logging
import threading
from collections import deque
from collections.abc import Sequence
from typing import Generic, TypeVar

from calico.datastore.client import Datastore, Unavailable
from calico.ipam.desk import Answer, Desk, Request

WAIT_SECONDS = 30.0
GATHER_SECONDS = 0.0005
BATCH = 30  # requests; each changes about three records, and a commit holds 128

T = TypeVar("T")
log = logging.getLogger(__name__)


class _Ticket(Generic[T]):
    """A request in the queue, and the place where its answer will be."""

    def __init__(self, request: Request[T]) -> None:
        self.request = request
        self.answered = threading.Event()
        self.answer: Answer[T] | None = None

    def fill(self, answer: Answer[T]) -> None:
        self.answer = answer
        self.answered.set()


class Assigner:
    """Serves address requests of one node, many in a commit. Start it, and stop it at the end."""

    def __init__(self, store: Datastore, node: str) -> None:
        self._desk = Desk(store, node)
        self._arrived = threading.Condition()
        self._queue: deque[_Ticket[object]] = deque()
        self._stopped = False
        self._shared = 1  # by how many the last commit was
        self._thread = threading.Thread(target=self._run, name="ipam-assigner", daemon=True)

    def start(self) -> None:
        """Begin to serve."""
        self._thread.start()

    def stop(self) -> None:
        """Serve what waits, then end."""
        with self._arrived:
            self._stopped = True
            self._arrived.notify()
        self._thread.join(WAIT_SECONDS)

    def ask(self, request: Request[T], wait_seconds: float = WAIT_SECONDS) -> tuple[T, int]:
        """Wait for the answer and the revision that made it true.

        Raises IpamError, DatastoreError (Conflict if a record of the requester's own changed).
        """
        ticket = _Ticket(request)
        with self._arrived:
            if self._stopped:
                raise Unavailable("address management has stopped")
            self._queue.append(ticket)  # type: ignore[arg-type]  # the queue takes any answer
            self._arrived.notify()
        if not ticket.answered.wait(wait_seconds) or ticket.answer is None:
            raise Unavailable(f"address management did not answer in {wait_seconds:g} s")
        if isinstance(ticket.answer, Exception):
            raise ticket.answer
        return ticket.answer

    def _run(self) -> None:
        while batch := self._next():
            answers: Sequence[Answer[object]] = ()
            try:
                answers = self._desk.serve([ticket.request for ticket in batch])
            finally:  # a bug ends this thread, but nobody waits for it in vain
                broken = Unavailable("address management has failed; see the log")
                for i, ticket in enumerate(batch):
                    ticket.fill(answers[i] if answers else broken)
                if not answers:
                    self._break()

    def _next(self) -> list[_Ticket[object]]:
        with self._arrived:
            self._arrived.wait_for(lambda: self._queue or self._stopped)
            if self._shared > 1:
                self._arrived.wait_for(self._is_gathered, GATHER_SECONDS)
            self._shared = min(BATCH, len(self._queue))
            return [self._queue.popleft() for _ in range(self._shared)]

    def _is_gathered(self) -> bool:
        return len(self._queue) >= self._shared or self._stopped

    def _break(self) -> None:
        with self._arrived:
            self._stopped = True
            for ticket in self._queue:
                ticket.fill(Unavailable("address management has failed; see the log"))
            self._queue.clear()
