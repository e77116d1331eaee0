"""Read and write kernel settings under /proc/sys.

Names are paths, "net/ipv4/conf/eth0/rp_filter", since interface names may hold dots. What is
under net/ belongs to the network namespace of the calling thread.

Source: sysctl(8), proc(5).
"""

from pathlib import Path

from calico.kernel.netlink import KernelError

_ROOT = Path("/proc/sys")


def read(name: str) -> str:
    """Return the value, without white space around it. Raises KernelError."""
    try:
        return (_ROOT / name).read_text().strip()
    except OSError as error:
        raise KernelError(f"read sysctl {name}", error.errno or 0) from error


def write(name: str, value: str) -> None:
    """Set the value. Raises KernelError, ENOENT if the interface or the setting is not there."""
    try:
        # r+ and not w: there is nothing to truncate or to create
        with (_ROOT / name).open("r+") as setting:
            setting.write(value)
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
