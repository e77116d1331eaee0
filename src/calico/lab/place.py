"""Where a lab keeps what it knows: one directory, from which any command finds it again.

    CALICO_LAB_DIR (default /run/calico-lab)
     `-- <lab>/  lab.json            topology and configuration, as understood
                 processes/<role>    process id and start time of each
                 pods/<ns>_<name>    one per pod, its CNI result with it
                 stations/<name>/    a station's /etc/calico, /var/lib/calico ...
                 etcd/               the data of its etcd, and its socket
                 logs/<role>.log

Writes go to a temporary name and are renamed, so a reader never sees half a file. Commands that
change a lab hold its lock.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import TypeVar

import msgspec

from calico.lab.topology import LabError

DEFAULT_ROOT = "/run/calico-lab"
LOCK_SECONDS = 60.0

Record = TypeVar("Record")


class Place:
    """One lab's directory; making a Place creates nothing."""

    def __init__(self, root: Path, name: str) -> None:
        self.name = name
        self.directory = root / name
        self.description = self.directory / "lab.json"
        self.processes = self.directory / "processes"
        self.pods = self.directory / "pods"
        self.stations = self.directory / "stations"
        self.etcd = self.directory / "etcd"
        self.logs = self.directory / "logs"

    def create(self) -> None:
        """Make the directory and its folders. Raises LabError if the lab exists."""
        try:
            self.directory.mkdir(parents=True, mode=0o700)
        except FileExistsError as error:
            raise LabError(
                f"a lab called {self.name} exists in {self.directory}: use it, or remove it with "
                f"`calico-lab down --name {self.name}`"
            ) from error
        for folder in (self.processes, self.pods, self.stations, self.etcd, self.logs):
            folder.mkdir()

    @property
    def exists(self) -> bool:
        """Whether a lab is there, whole or broken."""
        return self.directory.exists()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lab's lock within the `with`. Raises LabError if another command keeps it."""
        descriptor = os.open(self.directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._wait_until_locked(descriptor)
            yield
        finally:
            os.close(descriptor)

    def _wait_until_locked(self, descriptor: int) -> None:
        deadline = monotonic() + LOCK_SECONDS
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                if monotonic() > deadline:
                    raise LabError(
                        f"another calico-lab command has been at work on {self.name} for "
                        f"{LOCK_SECONDS:g} s: wait for it, or end it"
                    ) from error
                sleep(0.05)
            else:
                return


def root_directory() -> Path:
    """Say where labs live."""
    return Path(os.environ.get("CALICO_LAB_DIR") or DEFAULT_ROOT).absolute()


def lab_names(root: Path) -> list[str]:
    """List the labs that have a directory."""
    return sorted(path.name for path in root.iterdir() if path.is_dir()) if root.is_dir() else []


def find_place(name: str | None) -> Place:
    """Find the lab that is meant: the named one, or the only one. Raises LabError."""
    root = root_directory()
    if name is not None:
        place = Place(root, name)
        if not place.exists:
            raise LabError(f"no lab called {name} in {root}: start one with `calico-lab up`")
        return place
    names = lab_names(root)
    if not names:
        raise LabError(f"no lab runs (none in {root}): start one with `calico-lab up`")
    if len(names) > 1:
        raise LabError(f"several labs run ({', '.join(names)}): say which with --name")
    return Place(root, names[0])


def write_record(path: Path, record: object) -> None:
    """Write a value as JSON, whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(msgspec.json.format(msgspec.json.encode(record)))
    temporary.replace(path)


def read_record(path: Path, kind: type[Record]) -> Record | None:
    """Read a value back; None if there is none."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as error:
        raise LabError(f"{path}: {error}: `calico-lab down` and `up` again") from error


def read_records(folder: Path, kind: type[Record]) -> dict[str, Record]:
    """Read every value of a folder: {file name: value}."""
    if not folder.is_dir():
        return {}
    found = ((path.name, read_record(path, kind)) for path in sorted(folder.iterdir()))
    return {name: record for name, record in found if record and not name.startswith(".")}
