"""Debian's kernel for the lab's virtual machines: fetched and unpacked, never installed.

    apt-get download --> dpkg-deb -x --> keep what a network lab loads --> depmod --> cache folder

    CALICO_VM_CACHE (default /var/cache/calico-lab/vm)
     `-- kernel/  vmlinuz, busybox, release (its name), lib/modules/<release>/

It is the plain kernel, not the "cloud" one, which lacks 9p. Of its 400 megabytes 45 are kept.
The folder is made under another name and renamed, so it is whole or absent; remove it to fetch a
newer kernel.
"""

import fcntl
import lzma
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from calico.kernel.run import ProgramFailed, run
from calico.lab.topology import LabError

_PACKAGE = "linux-image-amd64"  # depends on the newest one
_FETCH_SECONDS = 300.0
_KEPT = (
    "arch/**/*", "crypto/**/*", "lib/**/*", "net/**/*", "drivers/net/*", "drivers/net/bonding/*",
    "drivers/net/vxlan/*", "drivers/net/wireguard/*", "drivers/virtio/*", "drivers/char/*",
    "drivers/char/hw_random/*", "fs/9p/*", "fs/netfs/*", "fs/fscache/*", "fs/overlayfs/*",
)  # fmt: skip


class VmKernel:
    """An unpacked kernel, as `find_kernel` left it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.image = folder / "vmlinuz"
        self.busybox = folder / "busybox"

    @property
    def release(self) -> str:
        """The name that `uname -r` will give."""
        return (self.folder / "release").read_text().strip()

    def modules(self, *names: str) -> list[tuple[str, bytes]]:
        """Read modules and all that they need, in loading order: (file name, content)."""
        wanted = ("modprobe", "-d", str(self.folder), "-S", self.release, "--show-depends")
        lines = [line for name in names for line in run((*wanted, name)).splitlines()]
        paths = dict.fromkeys(Path(line.split()[1]) for line in lines if line.startswith("insmod"))
        return [(path.name, path.read_bytes()) for path in paths]


def cache_folder() -> Path:
    """Say where the kernel is kept between runs."""
    return Path(os.environ.get("CALICO_VM_CACHE") or "/var/cache/calico-lab/vm").absolute()


def find_kernel() -> VmKernel:
    """Give the cached kernel, fetching it if there is none. Raises LabError."""
    folder = cache_folder() / "kernel"
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _locked(folder.parent):
            if not folder.exists():
                _fetch(folder)
    except (OSError, ProgramFailed) as error:
        raise LabError(f"no kernel for a virtual machine: {error}") from error
    return VmKernel(folder)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)  # whoever holds it fetches, within its deadlines
        yield
    finally:
        os.close(descriptor)


def _fetch(folder: Path) -> None:
    with TemporaryDirectory(dir=folder.parent, prefix=".fetch-") as name:
        room = Path(name)
        room.chmod(0o755)  # apt fetches as a user of its own
        for package in (_newest(), "busybox-static"):
            _unpack(package, room)
        whole = room / "whole"
        modules = next(_unpacked(room, "lib/modules").iterdir())
        release = modules.name
        _keep_modules(modules, whole / "lib/modules" / release)
        shutil.copy(room / f"boot/vmlinuz-{release}", whole / "vmlinuz")
        shutil.copy(_unpacked(room, "bin/busybox"), whole / "busybox")
        (whole / "release").write_text(release)
        run(("depmod", "-b", str(whole), release), deadline_seconds=60)
        whole.rename(folder)


def _unpacked(room: Path, path: str) -> Path:
    """Find what packages of Debian 13 have below /usr, and older ones have not."""
    return next(each for each in (room / path, room / "usr" / path) if each.exists())


def _newest() -> str:
    """Name the package that the newest kernel is in."""
    lines = run(("apt-cache", "depends", "--important", _PACKAGE), deadline_seconds=60).splitlines()
    needs = [line.split(":")[1].strip() for line in lines if "Depends: linux-image-" in line]
    if not needs:
        raise LabError(f"apt knows no {_PACKAGE}: run `apt-get update`")
    return needs[0]


def _unpack(package: str, room: Path) -> None:
    shell = 'cd "$0" && apt-get -qq download "$1" && dpkg-deb -x "$1"_*.deb . && rm -f "$1"_*.deb'
    run(("sh", "-c", shell, str(room), package), deadline_seconds=_FETCH_SECONDS)


def _keep_modules(source: Path, target: Path) -> None:
    for listing in source.glob("modules.*"):
        target.mkdir(parents=True, exist_ok=True)
        shutil.copy(listing, target)
    for path in {path for pattern in _KEPT for path in (source / "kernel").glob(pattern)}:
        copy = target / path.relative_to(source)
        if path.is_file():
            copy.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".xz":  # Debian 13: loading is quicker from a plain file
            copy.with_suffix("").write_bytes(lzma.decompress(path.read_bytes()))
        elif path.suffix == ".ko":
            shutil.copy(path, copy)
