"""Ask with real packets who reaches whom: TCP, UDP and ICMP, IPv4 and IPv6, all at once.

    questions --> sockets, each made inside its source's namespace --+
                                                                     +--> epoll --> {question: bool}
    retries: ask again what has no answer ---------------------------+

A socket belongs to the namespace it was made in, wherever it is used afterwards. So this one
process asks for everybody, and no program has to be started in any pod.

True means that the right party itself answered, by its name (or by echoing our identifier). No
answer is False only after it was asked again; what `expected` says shall answer gets more time.
So a busy machine never turns an allowed cell into a denied one.

Each round uses ports and identifiers of its own: a reply to an earlier round, or an entry that
connection tracking kept from it, never answers for this one.
"""

import fcntl
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import monotonic
from typing import Protocol

from msgspec import Struct

from calico.core.analysis.matrix import Party, Question
from calico.kernel import netns
from calico.lab.answers import Answers
from calico.lab.patience import patient

ROUND_SECONDS = 0.35  # how long one round waits for answers
ROUNDS = 2  # rounds before silence means no
PATIENT_ROUNDS = 12  # the same where an answer is expected
FIRST_PORT, LAST_PORT = 40_000, 60_999


class Reachability(Protocol):
    """Who reaches whom: by packets (here), or by thinking (core/analysis/matrix.Expected)."""

    def matrix(self, asked: Sequence[Question]) -> Mapping[Question, bool]:
        """Answer every question."""
        ...


class Origin(Struct, frozen=True):
    """A party, and its network namespace as a path such as /proc/<pid>/ns/net."""

    party: Party
    namespace: Path


class Ports:
    """Hands out source ports, and never the same one soon again, across commands."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def take(self, count: int) -> int:
        """Reserve `count` consecutive numbers; return the first."""
        descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            kept = os.pread(descriptor, 16, 0)
            first = int(kept) if kept else FIRST_PORT
            if first + count > LAST_PORT:
                first = FIRST_PORT
            os.pwrite(descriptor, b"%016d" % (first + count), 0)
        finally:
            os.close(descriptor)
        return first


class Prober:
    """The measuring side of `Reachability`."""

    def __init__(
        self,
        origins: Sequence[Origin],
        ports: Ports,
        expected: Mapping[Question, bool] | None = None,
    ) -> None:
        self._origins = {origin.party.name: origin for origin in origins}
        self._ports = ports
        self._expected = expected or {}

    def matrix(self, asked: Sequence[Question]) -> Mapping[Question, bool]:
        """Ask everything; ask again what is silent. Raises KernelError for a namespace gone."""
        answered: set[Question] = set()
        for number in range(PATIENT_ROUNDS):
            silent = [q for q in asked if q not in answered]
            if number >= ROUNDS:
                silent = [q for q in silent if self._expected.get(q)]
            if not silent:
                break
            answered |= self._round(silent)
        return {question: question in answered for question in asked}

    def _round(self, asked: Sequence[Question]) -> set[Question]:
        answers = Answers()
        first = self._ports.take(len(self._origins) + 1)
        try:
            for index, (name, origin) in enumerate(self._origins.items()):
                mine = [question for question in asked if question.source == name]
                if mine:
                    self._send(origin, mine, first + index, answers)
            return answers.collect(monotonic() + patient(ROUND_SECONDS))
        finally:
            answers.close()

    def _send(self, origin: Origin, asked: Sequence[Question], port: int, answers: Answers) -> None:
        descriptor = netns.open_path(origin.namespace)
        try:
            with netns.inside(descriptor):
                for question in asked:
                    address = self._origins[question.destination].party.address(question.version)
                    source = origin.party.address(question.version)
                    if address and source:
                        answers.ask(question, source, address, port)
        finally:
            os.close(descriptor)
