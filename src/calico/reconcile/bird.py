"""Give BIRD its configuration, and keep the last good one when it does not like a new one.

    the loop --put(text)--> latest --> staged file --check--> rename --> "configure" --> BIRD
                                           ^             `-- refused: is it one session?
                                           |                    | yes          `-- no: the file in
                                           +---- without it ----+              force stays, and why

A thread of its own, since BIRD may be slow, hung or away, and the loop waits for none. Of several
texts put meanwhile only the latest counts. The check is BIRD's own (`bird -p`), so it works while
BIRD is away; a BIRD that starts later reads the file by itself. What BIRD refuses of one session
is left out, so that one bad peer never stops the others; the report names it, in BIRD's words.

The file may hold passwords, so only its owner may read it.

If we crash before the rename, nothing has happened. If we crash after it, BIRD runs the file
before and the file is good; since the first text is always followed by a "configure", the next
agent makes them one again. That costs nothing: BIRD sees that nothing differs.

Ownership: the configuration file and its staged sibling; nothing of BIRD's but that.
Source: bgp-confd 5.2 (stage, check, rename, reconfigure; retries from 250 ms to 5 s).
"""

import logging
import re
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from msgspec import Struct

from calico.core.render.bird_blocks import left_out_notes, without
from calico.kernel.birdc import BirdControl, BirdRefused
from calico.kernel.netlink import KernelError
from calico.kernel.run import ProgramFailed, run

log = logging.getLogger(__name__)

FIRST_RETRY_SECONDS, LAST_RETRY_SECONDS = 0.25, 5.0
CHECK_SECONDS = 10.0
_PLACE = re.compile(r":(\d+):\d+ (.*)")  # file:line:column reason
MOST_LEFT_OUT = 64  # checks of one text; a text that is bad all over is bad


class BirdFiles(Struct, frozen=True):
    """Where BIRD reads its configuration and listens to us."""

    configuration: Path
    control: Path

    @property
    def staged(self) -> Path:
        """The sibling that becomes the configuration once it is found good."""
        return self.configuration.with_name(self.configuration.name + ".staged")


class BirdReport(Struct, frozen=True):
    """How far the latest text has come."""

    in_force: bool = False  # BIRD runs the latest text
    problem: str = ""  # why not, in BIRD's words where they are
    left_out: Mapping[str, str] = {}  # by session or BGPPeer: what is not in it, and why


class _Shortened(Struct, frozen=True):
    whole: str
    text: str
    left_out: Mapping[str, str]


def check_with_bird(configuration: Path) -> None:
    """Have `bird -p` parse a file. Raises KernelError with what it says."""
    run(["bird", "-p", "-c", str(configuration)], deadline_seconds=CHECK_SECONDS)


class BirdOwner:
    """One per node. `put` and `report` may be called by any thread."""

    def __init__(self, files: BirdFiles, check: Callable[[Path], None] = check_with_bird) -> None:
        self._files, self._check = files, check
        self._changed = threading.Condition()
        self._latest: str | None = None
        self._left_out: Mapping[str, str] = {}  # of the latest, before BIRD has seen it
        self._stopped = False
        self._report = BirdReport()
        self._good: bytes | None = None  # what BIRD has taken, or what was there before us
        self._shortened = _Shortened("", "", {})  # the last text that was, and to what
        self._thread = threading.Thread(target=self._run, name="bird-owner", daemon=True)

    def start(self) -> None:
        """Start to work on what is put."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread; BIRD goes on with what it has."""
        with self._changed:
            self._stopped = True
            self._changed.notify()
        if self._thread.ident is not None:
            self._thread.join()

    def put(self, text: str, left_out: Mapping[str, str] | None = None) -> None:
        """Hand over the configuration that is intended now, and what is not in it; never waits."""
        with self._changed:
            if text != self._latest:
                self._latest, self._left_out = text, left_out or {}
                self._report = BirdReport()
                self._changed.notify()

    def report(self) -> BirdReport:
        """Tell how far the latest text has come."""
        with self._changed:
            return self._report

    def _run(self) -> None:
        tried: str | None = None
        pause: float | None = None  # None: nothing to try again
        while (text := self._next(tried, pause)) is not None:
            try:
                left_out = {**self._left_out, **self._attempt(text)}
                report, again = BirdReport(in_force=True, left_out=left_out), False
            except (KernelError, OSError) as error:
                report, again = BirdReport(problem=str(error)), not _is_final(error)
            if not again:
                pause = None
            elif pause is None or text != tried:
                pause = FIRST_RETRY_SECONDS
            else:
                pause = min(2 * pause, LAST_RETRY_SECONDS)
            tried = text
            self._tell(text, report)

    def _next(self, tried: str | None, pause: float | None) -> str | None:
        """Wait for another text, or until it is time to try again; None: stop."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or self._latest != tried, pause)
            return None if self._stopped else self._latest

    def _attempt(self, text: str) -> Mapping[str, str]:
        """Bring a text into force, but for the sessions returned. Raises KernelError or OSError."""
        files = self._files
        on_disk = files.configuration.read_bytes() if files.configuration.exists() else None
        if self._good is None:
            self._good = on_disk
        left_out: Mapping[str, str] = {}
        if text == self._shortened.whole:
            text, left_out = self._shortened.text, self._shortened.left_out
        if on_disk != text.encode():
            files.configuration.parent.mkdir(parents=True, exist_ok=True)
            text, left_out = self._checked(text, left_out)
            files.staged.rename(files.configuration)
        content = text.encode()
        try:
            with BirdControl(files.control) as bird:
                bird.configure()
        except BirdRefused:
            if self._good is not None:  # for the BIRD that starts next
                _write(files.staged, self._good)
                files.staged.rename(files.configuration)
            raise
        self._good = content
        return left_out

    def _checked(self, whole: str, already: Mapping[str, str]) -> tuple[str, Mapping[str, str]]:
        """Stage as much of a text as BIRD takes. Raises KernelError or OSError."""
        text, left_out = whole, dict(already)
        while True:
            _write(self._files.staged, text.encode())
            try:
                self._check(self._files.staged)
            except ProgramFailed as error:
                shorter = _without_the_refused(text, error)
                if shorter is None or len(left_out) >= MOST_LEFT_OUT:
                    raise
                text, refused = shorter
                text = "\n".join([text, *left_out_notes(refused)])
                left_out |= refused
            else:
                self._shortened = _Shortened(whole, text, left_out)
                return text, left_out

    def _tell(self, text: str, report: BirdReport) -> None:
        with self._changed:
            if text != self._latest:
                return
            is_news, self._report = report != self._report, report
        if not is_news:
            return
        if report.in_force:
            log.info("bird configured", extra={"bytes": len(text)})
            for name, reason in report.left_out.items():
                log.warning("left out of bird", extra={"session": name, "reason": reason})
        else:
            log.warning("bird not configured", extra={"error": report.problem})


def _is_final(error: KernelError | OSError) -> bool:
    """Tell whether only another text can help."""
    if isinstance(error, ProgramFailed):
        return error.status == 1  # bird -p has read it and does not like it
    return isinstance(error, BirdRefused)


def _without_the_refused(text: str, error: ProgramFailed) -> tuple[str, Mapping[str, str]] | None:
    """Cut the session or BGPFilter at which BIRD stopped; None if it is neither."""
    place = _PLACE.search(error.err or error.out)
    shorter = without(text, int(place[1])) if place else None
    if place is None or shorter is None:
        return None
    rest, sessions = shorter
    return rest, dict.fromkeys(sessions, f"BIRD refuses it: {place[2]}")


def _write(path: Path, content: bytes) -> None:
    """Write a file that only its owner may read."""
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_bytes(content)
