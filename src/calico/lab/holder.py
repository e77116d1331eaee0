"""The process that keeps a station's namespaces alive, and makes its file system its own.

    unshare --net --mount --uts python holder.py LAB_DIRECTORY STATION DIRECTORY READY
       `-> host name, own /run, /etc/calico ... --"ready" to READY--> sleep for ever

The machine's files stay visible, save the places that Calico writes to: there every station has
its own, so that default paths work on each. /run is empty and lost with the station; the others
lie in the lab's directory and outlive it, as a disk does.

Every process of a lab sees MARKER in its /run: that is how `down` recognises them, whatever was
killed. Standard library only, and little of it: one of these runs for each station.
"""

import ctypes
import os
import signal
import socket
import sys
from pathlib import Path

MARKER = "run/.calico-lab"  # without the leading slash: it is looked up under /proc/<pid>/root
HOST_VIEW = Path("/run/machine")  # where the machine's own /etc and so on can still be seen

# The folders that are the machine's but for some entries, which are the station's.
OWN = {
    "/etc": ("calico", "cni"),
    "/var/lib": ("calico", "cni"),
    "/var/log": ("calico",),
    "/opt": ("cni",),
}

_MS_NOSUID_NODEV = 0x2 | 0x4
_MS_BIND, _MS_REC = 0x1000, 0x4000
_libc = ctypes.CDLL(None, use_errno=True)


def mount(source: str, target: Path, kind: str = "none", flags: int = 0) -> None:
    """Mount, or die: whoever started us reads why in the log."""
    mode = b"mode=0755" if kind == "tmpfs" else None
    options = (source.encode(), os.fsencode(target), kind.encode(), flags, mode)
    if _libc.mount(*options):
        number = ctypes.get_errno()
        raise OSError(number, f"mount {source} on {target}: {os.strerror(number)}")


def own_run(lab: Path, station: str) -> None:
    """Hide the machine's /run, all but the lab's directory, and leave the marker."""
    descriptor = os.open(lab, os.O_PATH)  # it may lie under /run itself
    mount("tmpfs", Path("/run"), "tmpfs", _MS_NOSUID_NODEV)
    lab.mkdir(parents=True, exist_ok=True)
    mount(f"/proc/self/fd/{descriptor}", lab, flags=_MS_BIND)
    os.close(descriptor)
    Path("/", MARKER).write_text(f"{lab}\n{station}\n")
    for name in ("netns", "lock", "calico"):
        Path("/run", name).mkdir()


def own_entries(folder: Path, entries: tuple[str, ...], directory: Path) -> None:
    """Lay a folder of links to the machine's entries over `folder`, some entries being ours."""
    if not folder.is_dir():
        return
    machine = HOST_VIEW / folder.relative_to("/")
    machine.mkdir(parents=True)
    mount(str(folder), machine, flags=_MS_BIND | _MS_REC)
    mount("tmpfs", folder, "tmpfs", _MS_NOSUID_NODEV)
    for entry in machine.iterdir():
        if entry.name not in entries:
            # A link is copied as it is: relative ones would lead elsewhere from another folder.
            (folder / entry.name).symlink_to(entry.readlink() if entry.is_symlink() else entry)
    for name in entries:
        stored = directory / folder.relative_to("/") / name
        stored.mkdir(parents=True, exist_ok=True)
        (folder / name).mkdir()
        if folder != Path("/opt"):  # programs: a lab's directory may forbid to run any
            mount(str(stored), folder / name, flags=_MS_BIND)


def main(lab: str, station: str, directory: str, ready: str) -> None:
    """Set the station up, say so, and stay."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    socket.sethostname(station)
    own_run(Path(lab), station)
    for folder, entries in OWN.items():
        own_entries(Path(folder), entries, Path(directory))
    mount("sysfs", Path("/sys"), "sysfs")  # the one of our network namespace
    Path(ready).write_text("ready\n")
    while True:
        signal.pause()


if __name__ == "__main__":
    main(*sys.argv[1:])
