"""Read and write kernel settings under /proc/sys.

Names are paths, "net/ipv4/conf/eth0/rp_filter", since interface names may hold dots. What is
under net/ belongs to the network namespace of the calling thread.

Source: sysctl(8), proc(5).
"""

import os

from calico.kernel.netlink import KernelError

_ROOT = "/proc/sys/"
_LONGEST = 4096  # bytes; a setting is read whole by one call


def read(name: str) -> str:
    """Return the value, without white space around it. Raises KernelError."""
    try:
        # not by a file object: there are eight settings to each interface, and this costs a third
        descriptor = os.open(_ROOT + name, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.read(descriptor, _LONGEST).decode().strip()
        finally:
            os.close(descriptor)
    except OSError as error:
        raise KernelError(f"read sysctl {name}", error.errno or 0) from error


def write(name: str, value: str) -> None:
    """Set the value. Raises KernelError, ENOENT if the interface or the setting is not there."""
    try:
        descriptor = os.open(_ROOT + name, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(descriptor, value.encode())
        finally:
            os.close(descriptor)
    except OSError as error:
        raise KernelError(f"write sysctl {name}", error.errno or 0) from error


class KernelSettings:
    """The settings of the namespace of the thread that asks, as an object to hand around."""

    def read(self, name: str) -> str:
        """Return the value. Raises KernelError."""
        return read(name)

    def write(self, name: str, value: str) -> None:
        """Set the value. Raises KernelError."""
        write(name, value)
