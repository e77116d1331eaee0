"""Start other programs; nothing else in Calico does.

    run(args)    wait for the answer, within a deadline --> what it printed
    spawn(args)  leave it running --> Process: poll, wait, send_signal, stop
    foreground(args)  lend it our terminal until it ends --> its exit status

A program starts in the network namespace of the thread that starts it. `run` kills what outlives
its deadline, so a tool that hangs costs its deadline and no more.

    KernelError
     `-- ProgramFailed   arguments, exit status (None: no answer in time), what it printed
"""

import errno
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from calico.kernel.netlink import KernelError

_STOP_SECONDS = 5.0


class ProgramFailed(KernelError):
    """A program that could not be started, ended with an error, or did not end in time."""

    def __init__(
        self, args: Sequence[str], status: int | None, out: str = "", err: str = ""
    ) -> None:
        super().__init__(" ".join(args), errno.ETIMEDOUT if status is None else errno.EIO)
        self.arguments = tuple(args)
        self.status = status
        self.out = out
        self.err = err
        said = err.strip() or out.strip()
        ended = "no answer in time" if status is None else f"exit status {status}"
        self.reason = f"{ended}: {said}" if said else ended
        self.args = (f"{self.operation}: {self.reason}",)


def run(
    args: Sequence[str],
    stdin: str = "",
    *,
    deadline_seconds: float = 10.0,
    environment: Mapping[str, str] | None = None,
) -> str:
    """Run to the end and return what it printed; `environment` replaces ours.

    Raises ProgramFailed if it cannot be started, exits with an error, or takes too long.
    """
    try:
        done = subprocess.run(
            args,
            input=stdin,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=deadline_seconds,
            env=environment,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ProgramFailed(args, None) from error
    except OSError as error:
        raise ProgramFailed(args, 127, err=str(error)) from error
    if done.returncode:
        raise ProgramFailed(args, done.returncode, done.stdout, done.stderr)
    return done.stdout


class Process:
    """A program that we started and that has not been waited for yet."""

    def __init__(self, child: "subprocess.Popen[bytes]") -> None:
        self._child = child
        self.pid = child.pid

    def poll(self) -> int | None:
        """Return the exit status (negative: the signal), or None while it runs."""
        return self._child.poll()

    def wait(self, deadline_seconds: float) -> int | None:
        """Wait until it ends; None if it has not by then."""
        try:
            return self._child.wait(deadline_seconds)
        except subprocess.TimeoutExpired:
            return None

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        self._child.send_signal(number)

    def stop(self, deadline_seconds: float = _STOP_SECONDS) -> int:
        """Ask it to end, then make it; return its exit status."""
        self.send_signal(signal.SIGTERM)
        status = self.wait(deadline_seconds)
        if status is None:
            self.send_signal(signal.SIGKILL)
            status = self._child.wait()
        return status


def spawn(
    args: Sequence[str],
    *,
    log: Path | None = None,
    environment: Mapping[str, str] | None = None,
    keep: Sequence[int] = (),
) -> Process:
    """Start a program and leave it running; what it prints is appended to `log`, or is ours.

    `keep` are descriptors that the program inherits. Raises ProgramFailed if it cannot start.
    """
    out = None if log is None else log.open("ab")
    try:
        child = subprocess.Popen(
            args,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            env=environment,
            pass_fds=tuple(keep),
        )
    except OSError as error:
        raise ProgramFailed(args, 127, err=str(error)) from error
    finally:
        if out is not None:
            out.close()
    return Process(child)


def foreground(args: Sequence[str], environment: Mapping[str, str] | None = None) -> int:
    """Run with our input, output and terminal until it ends; return its exit status.

    Ctrl-C is the program's to answer, not ours. Raises ProgramFailed if it cannot start.
    """
    ours = signal.signal(signal.SIGINT, lambda *_: None)  # a handler is not inherited
    try:
        child = subprocess.Popen(args, env=environment)
    except OSError as error:
        raise ProgramFailed(args, 127, err=str(error)) from error
    else:
        return child.wait()
    finally:
        signal.signal(signal.SIGINT, ours)
