"""Network namespaces: make, name, enter, remove.

    create() ---------> descriptor         nameless: gone once the last descriptor is closed
    create_named(name)  /run/netns/<name>  as `ip netns add` does it; stays until delete_named
    open_named(name) -> descriptor
    inside(descriptor)  the calling thread is in that namespace within the `with`

Only the calling thread changes its namespace; programs it starts meanwhile inherit it. If the
way back is barred the thread is in the wrong place, and nothing it does after that is safe: that
is an AssertionError, and nobody catches it.

Source: setns(2), unshare(2), ip-netns(8). Calls go through libc: Python has them from 3.12 on.
"""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from calico.kernel.netlink import KernelError

NAMED = Path("/run/netns")

_CLONE_NEWNET = 0x40000000
_MS_BIND, _MS_REC, _MS_SHARED = 0x1000, 0x4000, 0x100000
_MNT_DETACH = 2
_OWN = "/proc/thread-self/ns/net"

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mount.argtypes = (
    ctypes.c_char_p,
    ctypes.c_char_p,
    ctypes.c_char_p,
    ctypes.c_ulong,
    ctypes.c_void_p,
)


def open_own() -> int:
    """Open the namespace of the calling thread; the caller closes the descriptor."""
    return os.open(_OWN, os.O_RDONLY | os.O_CLOEXEC)


def open_path(path: Path) -> int:
    """Open a namespace by a path such as /proc/<pid>/ns/net. Raises KernelError."""
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise KernelError(f"open the network namespace {path}", error.errno or 0) from error


def open_named(name: str) -> int:
    """Open a named namespace; the caller closes the descriptor. Raises KernelError."""
    return open_path(NAMED / name)


@contextmanager
def inside(descriptor: int) -> Iterator[None]:
    """Put the calling thread into a namespace, and back at the end. Raises KernelError."""
    own = open_own()
    try:
        _check("enter a network namespace", _libc.setns(descriptor, _CLONE_NEWNET))
        try:
            yield
        finally:
            _go_back(own)
    finally:
        os.close(own)


def create() -> int:
    """Make a nameless namespace and return its descriptor."""
    own = open_own()
    try:
        _check("make a network namespace", _libc.unshare(_CLONE_NEWNET))
        try:
            return open_own()
        finally:
            _go_back(own)
    finally:
        os.close(own)


def create_named(name: str) -> int:
    """Make a namespace under /run/netns and return its descriptor. Raises KernelError."""
    _prepare_directory()
    path = NAMED / name
    try:
        path.touch(mode=0o444, exist_ok=False)
    except OSError as error:
        raise KernelError(f"make the network namespace {name}", error.errno or 0) from error
    try:
        descriptor = create()
    except KernelError:
        path.unlink()
        raise
    try:
        _mount(f"/proc/self/fd/{descriptor}", path, _MS_BIND)
    except KernelError:
        os.close(descriptor)
        path.unlink()
        raise
    return descriptor


def delete_named(name: str) -> None:
    """Remove the name; the namespace lives on while somebody is in it. Absent is fine."""
    path = NAMED / name
    if not path.exists():
        return
    _libc.umount2(os.fsencode(path), _MNT_DETACH)  # fails if it is a mere file: unlink then
    path.unlink(missing_ok=True)


def _prepare_directory() -> None:
    """Make /run/netns a shared mount, as `ip netns` does, so that others see our names."""
    NAMED.mkdir(mode=0o755, parents=True, exist_ok=True)
    try:
        _mount("", NAMED, _MS_SHARED | _MS_REC)
    except KernelError:  # not a mount yet
        _mount(str(NAMED), NAMED, _MS_BIND | _MS_REC)
        _mount("", NAMED, _MS_SHARED | _MS_REC)


def _mount(source: str, target: Path, flags: int) -> None:
    status = _libc.mount(source.encode(), os.fsencode(target), b"none", flags, None)
    _check(f"mount {target}", status)


def _go_back(own: int) -> None:
    if _libc.setns(own, _CLONE_NEWNET):
        raise AssertionError(f"stuck in a foreign network namespace: {ctypes.get_errno()}")


def _check(operation: str, status: int) -> None:
    if status:
        raise KernelError(operation, ctypes.get_errno())
