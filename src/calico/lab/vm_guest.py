"""What a virtual machine of the lab boots: a small initramfs, written as bytes.

    Job: words, folder, environment, mark --+
    busybox, kernel modules ----------------+--> initramfs(...) --> a cpio archive for QEMU

    /init   (busybox) loads modules; mounts the machine's root read-only by 9p and a tmpfs over it
    /enter  (the machine's own shell, as process 1) makes /run, /dev; runs the job; says its status

Two lines of the guest's output are for the harness and begin with the mark, which is drawn by lot
for each boot: "<mark> up", before the job, and "<mark> exit <status>", after it. They travel in
the job's own stream, so nothing that the job printed can come after its status.

Source: the "newc" format in the kernel's Documentation/driver-api/early-userspace/buffer-format.rst
"""

import shlex
from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct

PORT = "calico.job"  # the name of the channel that the job speaks through
TAG = "machine"  # the name that QEMU gives the machine's root
MODULES = ("virtio_pci", "virtio_console", "virtio_rng", "9p", "9pnet_virtio", "overlay")
_APPLETS = ("cat", "chmod", "cp", "insmod", "mkdir", "mount", "sh", "switch_root", "uname")

# Loose caching is right: nobody may change what lies below an overlay.
_INIT = f"""\
#!/bin/sh
set -e
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
for module in $(cat /modules); do insmod "$module"; done
mount -t 9p -o ro,trans=virtio,version=9p2000.L,msize=512000,cache=loose {TAG} /below
mount -t tmpfs -o size=75% above /above
mkdir /above/changes /above/work
mount -t overlay -o lowerdir=/below,upperdir=/above/changes,workdir=/above/work root /root
mount -t tmpfs -o mode=755 run /root/run
mkdir -p /root/run/calico-vm /root/lib/modules/$(uname -r)
cp /enter /job /root/run/calico-vm/
mount -o bind "/below$(cat /kernel)/lib/modules/$(uname -r)" /root/lib/modules/$(uname -r)
mount -o move /proc /root/proc
mount -o move /sys /root/sys
mount -o move /dev /root/dev
exec switch_root /root /bin/sh /run/calico-vm/enter
"""

_ENTER = """\
mkdir -p /dev/pts /dev/shm /run/lock
mount -t devpts -o ptmxmode=666 devpts /dev/pts
mount -t tmpfs shm /dev/shm
ln -sf /proc/self/fd /dev/fd
(sleep {seconds}; echo o > /proc/sysrq-trigger) > /dev/null 2>&1 &
ip link set lo up
hostname lab-vm
for port in /sys/class/virtio-ports/*; do
  if [ "$(cat $port/name)" = {port} ]; then exec 3<> /dev/${{port##*/}}; fi
done
echo '{mark} up' >&3
if [ {rows} = 0 ]; then
  sh /run/calico-vm/job < /dev/null >&3 2>&3 3>&-
else
  script -qefc 'stty rows {rows} cols {columns}; sh /run/calico-vm/job' /dev/null <&3 >&3 2>&3
fi
printf '\\n%s exit %s\\n' '{mark}' $? >&3
sleep 5  # the harness ends us when it has read that
echo o > /proc/sysrq-trigger
sleep 60
"""


class Job(Struct, frozen=True):
    """One command to run inside, as root; on a terminal if that has rows."""

    words: Sequence[str]
    folder: str
    environment: Mapping[str, str]
    seconds: float  # the guest ends itself some time after, should we be unable to
    mark: str
    rows: int = 0
    columns: int = 0


def initramfs(
    job: Job, kernel_folder: str, busybox: bytes, modules: Sequence[tuple[str, bytes]]
) -> bytes:
    """Pack the archive; `modules` are (name, content) in the order in which they are loaded."""
    folders = ("bin", "proc", "sys", "dev", "below", "above", "root", "lib")
    files = {
        "bin/busybox": busybox,
        "init": _INIT.encode(),
        "enter": _enter_script(job).encode(),
        "job": _job_script(job).encode(),
        "kernel": kernel_folder.encode(),
        "modules": "\n".join(f"/lib/{name}" for name, _ in modules).encode(),
        **{f"lib/{name}": content for name, content in modules},
    }
    entries = [
        *(_entry(name, 0o040755) for name in folders),
        *(_entry(name, 0o100755, content) for name, content in files.items()),
        *(_entry(f"bin/{applet}", 0o120777, b"busybox") for applet in _APPLETS),
        _entry("TRAILER!!!", 0),
    ]
    return b"".join(entries)


class Answer:
    """Tells what the job prints from the two lines that are for us."""

    def __init__(self, mark: str) -> None:
        self._up = f"{mark} up\n".encode()
        self._end = f"\n{mark} exit ".encode()
        self._rest = b""
        self.up = False
        self.status: int | None = None

    def feed(self, arrived: bytes) -> bytes:
        """Take what has arrived, in any portions; return what of it the job has printed."""
        self._rest += arrived
        if not self.up:
            _, up, after = self._rest.partition(self._up)
            if not up:
                return b""
            self.up, self._rest = True, after
        printed, end, after = self._rest.partition(self._end)
        if after.endswith(b"\n"):
            self.status = int(after)
        held = end + after if end else _prefix_at_end(printed, self._end)
        self._rest = held
        return printed if end else printed[: len(printed) - len(held)]

    def rest(self) -> bytes:
        """Give what was held back, when nothing more will come."""
        return self._rest if self.up and self.status is None else b""


def _prefix_at_end(text: bytes, token: bytes) -> bytes:
    """Give the longest beginning of the token that the text ends with."""
    lengths = range(min(len(token), len(text)), 0, -1)
    return next((token[:n] for n in lengths if text.endswith(token[:n])), b"")


def _enter_script(job: Job) -> str:
    words = {"mark": job.mark, "rows": job.rows, "columns": job.columns}
    return _ENTER.format(port=PORT, seconds=round(job.seconds) + 60, **words)


def _job_script(job: Job) -> str:
    lines = [f"export {name}={shlex.quote(value)}" for name, value in job.environment.items()]
    return "\n".join([*lines, f"cd {shlex.quote(job.folder)} || exit 127", shlex.join(job.words)])


def _entry(name: str, mode: int, content: bytes = b"") -> bytes:
    links, size, name_size = 1, len(content), len(name) + 1
    fields = (0, mode, 0, 0, links, 0, size, 0, 0, 0, 0, name_size, 0)
    header = b"070701" + b"".join(b"%08X" % field for field in fields)
    return b"".join((*_padded(header + name.encode() + b"\0"), *_padded(content)))


def _padded(part: bytes) -> Iterator[bytes]:
    yield part
    yield bytes(-len(part) % 4)
