"""The processes of a lab: start them, remember them, find and end them all, whatever happened.

    start(place, role, ...) --> setsid, so that they outlive the command --> processes/<role>
    find(place)             --> every process that sees the lab's marker in its /run

A remembered process is its id and its start time: an id alone may by now be somebody else's.
Finding does not rely on memory: children of children, and what was started by hand inside a
station, see the marker too. So does a process whose parent and namespaces' keeper were killed.

Only what shows the marker, is remembered, or is a holder on its way to the marker is ever
signalled: by a descriptor that cannot come to mean another process, after a look at its start time.
"""

import os
import select
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from time import monotonic, sleep

from msgspec import Struct

from calico.kernel.run import run
from calico.lab import holder
from calico.lab.patience import patient
from calico.lab.place import Place, read_record, read_records, write_record
from calico.lab.topology import LabError

PYTHON = (sys.executable, "-I", "-S", "-E")  # for our small programs: no site, quick to start
READY_SECONDS = 10.0
_STARTED = 19  # the start time's place in /proc/<pid>/stat, counted after the name

# The shell says its id, lets go of our pipes, and becomes the program.
_BECOME = 'echo $$ >"$0"; exec >>"$1" 2>&1 </dev/null; shift; exec "$@"'


class Remembered(Struct, frozen=True):
    """A process of the lab, and where it is."""

    pid: int
    started: int  # clock ticks since boot
    station: str


def _last_words(log: Path) -> str:
    """Give what a program that is gone had said; its log goes with the lab."""
    try:
        return " | ".join(log.read_text(errors="replace").split("\n")[-6:]).strip(" |") or "nothing"
    except OSError:
        return "nothing"


def start(
    place: Place,
    role: str,
    station: str,
    args: Sequence[str],
    environment: Mapping[str, str] | None = None,
) -> int:
    """Start a program that outlives us; its log is logs/<role>.log. Returns its process id."""
    pid_file = place.processes / f".{role}.pid"
    log = place.logs / f"{role}.log"
    shell = ("sh", "-c", _BECOME, str(pid_file), str(log))
    run(("setsid", "--fork", *shell, *args), environment=environment)
    pid = int(pid_file.read_text())
    pid_file.unlink()
    started = start_time(pid)
    if started is None:
        raise LabError(f"{role} ended at once; it said: {_last_words(log)}")
    write_record(place.processes / role, Remembered(pid, started, station))
    return pid


def start_holder(place: Place, station: str) -> int:
    """Make a station's namespaces and wait until they are ready. Returns the holder's id."""
    directory = place.stations / station
    directory.mkdir(exist_ok=True, mode=0o755)
    ready = directory / "ready"
    ready.unlink(missing_ok=True)
    os.mkfifo(ready, 0o600)
    reader = os.open(ready, os.O_RDONLY | os.O_NONBLOCK)
    try:
        program = (*PYTHON, holder.__file__, str(place.directory), station, str(directory))
        unshare = ("unshare", "--net", "--mount", "--uts", "--propagation", "private")
        pid = start(place, f"holder-{station}", station, (*unshare, *program, str(ready)))
        if not _wait_until_said(reader, pid):
            log = place.logs / f"holder-{station}.log"
            said = log.read_text().strip().splitlines()
            raise LabError(f"station {station} could not be made: {said[-1] if said else log}")
    finally:
        os.close(reader)
        ready.unlink()
    return pid


def _wait_until_said(reader: int, pid: int) -> bool:
    deadline = monotonic() + patient(READY_SECONDS)
    while start_time(pid) is not None and monotonic() < deadline:
        if select.select([reader], [], [], 0.05)[0]:
            return bool(os.read(reader, 16))
    return False


def start_time(pid: int) -> int | None:
    """Read when a process started; None if it is gone (or a zombie)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[_STARTED])


def is_running(remembered: Remembered | None) -> bool:
    """Tell whether the remembered process is still that one and alive."""
    return remembered is not None and start_time(remembered.pid) == remembered.started


def recall(place: Place, role: str) -> Remembered | None:
    """Give the process with this role if it runs."""
    remembered = read_record(place.processes / role, Remembered)
    return remembered if is_running(remembered) else None


def recall_all(place: Place) -> dict[str, Remembered]:
    """Give every remembered process that runs, by role."""
    everyone = read_records(place.processes, Remembered)
    return {role: one for role, one in everyone.items() if is_running(one)}


def stop(place: Place, role: str, number: int = signal.SIGKILL, seconds: float = 10.0) -> None:
    """End one remembered process and forget it; not running is fine. Raises LabError."""
    remembered = recall(place, role)
    if remembered is not None and not _end(remembered, number, seconds) and is_running(remembered):
        raise LabError(f"{role} (process {remembered.pid}) does not end")
    (place.processes / role).unlink(missing_ok=True)


def find(place: Place, station: str | None = None) -> list[Remembered]:
    """Look through all processes for the lab's, or for one station's."""
    # The remembered ones may not see the marker yet: they are on their way into the station.
    found = {one.pid: one for one in _remembered(place)}
    for entry in os.listdir("/proc"):  # noqa: PTH208  # names are all we want
        if entry.isdecimal() and int(entry) != os.getpid():
            started = start_time(int(entry))
            seen = _station_of(int(entry), str(place.directory))
            if seen is not None and started is not None:
                found[int(entry)] = Remembered(int(entry), started, seen)
    return [one for one in found.values() if station in {None, one.station}]


def _remembered(place: Place) -> list[Remembered]:
    try:
        return list(recall_all(place).values())
    except LabError:  # a damaged record: looking must do
        return []


def marked_labs(root: Path) -> set[str]:
    """Name the labs of this root that have processes, whether or not they have a directory."""
    found = set()
    for entry in os.listdir("/proc"):  # noqa: PTH208
        if entry.isdecimal():
            directory = Path(_marker(int(entry))[0] or "/")
            if directory.parent == root:
                found.add(directory.name)
    return found


def _marker(pid: int) -> tuple[str, str]:
    """Read the marker that a process sees: the lab's directory and the station, or blanks."""
    try:
        lab, _, station = Path(f"/proc/{pid}/root", holder.MARKER).read_text().partition("\n")
    except OSError:
        return "", ""
    return lab, station.strip()


def _station_of(pid: int, directory: str) -> str | None:
    """Name the station a process is in; None if it is not of this lab."""
    lab, station = _marker(pid)
    return station if lab == directory else _holder_on_its_way(pid, directory)


def _holder_on_its_way(pid: int, directory: str) -> str | None:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return None
    if holder.__file__ not in words:
        return None
    lab, station = (*words[words.index(holder.__file__) + 1 :], "", "")[:2]
    return station if lab == directory else None


def kill(place: Place, station: str | None = None, seconds: float = 10.0) -> int:
    """End every process of the lab or station, at once and for good. Returns how many there were.

    Raises LabError if one does not end.
    """
    deadline, killed = monotonic() + seconds, 0
    while found := find(place, station):
        if monotonic() > deadline:
            stuck = ", ".join(str(one.pid) for one in found)
            raise LabError(f"these processes do not end: {stuck}: is a file system stuck?")
        killed += sum(_end(one, signal.SIGKILL, 1.0) for one in found)
    return killed


def _end(process: Remembered, number: int, seconds: float) -> bool:
    """Signal a process and wait until it has ended; False if it has not, or was gone before."""
    try:
        descriptor = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return False
    try:
        # Looked at behind the descriptor: the id may have changed hands since.
        if not is_running(process):
            return False
        signal.pidfd_send_signal(descriptor, number)
        return bool(select.select([descriptor], [], [], seconds)[0])  # readable once it has ended
    except ProcessLookupError:
        return False
    finally:
        os.close(descriptor)


def wait_until(condition: Callable[[], bool], seconds: float, pause: float = 0.02) -> bool:
    """Look until it holds; False if it does not within the time."""
    deadline = monotonic() + seconds
    while not condition():
        if monotonic() > deadline:
            return False
        sleep(pause)
    return True
