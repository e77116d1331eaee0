"""Run one command in a virtual machine that sees this machine's files and has a whole kernel.

    words --> initramfs (vm_guest) --> QEMU: kernel (vm_kernel), root by 9p, nothing else
                                         |
              our stdout <-- relay <-- one channel: up, what the command prints, its exit status

For kernels that lack ipip, wireguard or vrf. The guest reads every file of this machine at its own
path and writes into memory; it has no network but its own loopback, and no disk.

What is left behind: nothing. The archive and the channel are descriptors, not files, and the
kernel kills QEMU when we die, in whatever manner (`setpriv --pdeathsig`).

KVM is used where it can boot the guest; /dev/kvm may exist and yet be of no use inside another
virtual machine, so a guest that is not up in time is booted again without.
"""

import argparse
import os
import secrets
import select
import shutil
import signal
import socket
import sys
import termios
import tty
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import monotonic

from calico.kernel.netlink import KernelError
from calico.kernel.run import spawn
from calico.lab.topology import LabError
from calico.lab.vm_guest import MODULES, PORT, TAG, Answer, Job, initramfs
from calico.lab.vm_kernel import VmKernel, cache_folder, find_kernel

QEMU = "qemu-system-x86_64"
MEGABYTES = 3072
UP_SECONDS = {"kvm": 15.0, "tcg": 120.0}
TIMED_OUT = 124  # what timeout(1) answers
# An emulated processor needs no defence against speculation; HPET, which the kernel would choose
# as its clock, takes QEMU's one lock at every look.
_KERNEL_OPTIONS = (
    "console=ttyS0 quiet panic=-1 random.trust_cpu=on tsc=reliable mitigations=off apparmor=0 "
    "audit=0 init_on_alloc=0"
)
_PATIENCE = {"kvm": "1", "tcg": "10"}  # lab/patience.py
_PASSED_ON = ("HOME", "LANG", "PATH", "TERM", "VIRTUAL_ENV")

Write = Callable[[bytes], object]


class NotUp(LabError):
    """The guest did not come up; the message ends with what its console said."""


class Guest:
    """A virtual machine that was just started; `close` ends it."""

    def __init__(self, kernel: VmKernel, job: Job, accelerator: str) -> None:
        parts = (kernel.busybox.read_bytes(), kernel.modules(*MODULES))
        archive = initramfs(job, str(kernel.folder), *parts)
        self._answer = Answer(job.mark)
        self._has_terminal = bool(job.rows)
        self._console = os.memfd_create("console")
        initrd = os.memfd_create("initramfs")
        self._channel, theirs = socket.socketpair()
        try:
            Path(f"/proc/self/fd/{initrd}").write_bytes(archive)
            keep = (theirs.fileno(), initrd, self._console)
            args = ("setpriv", "--pdeathsig", "KILL", "--", *_qemu(kernel, accelerator, *keep))
            self._process = spawn(args, keep=keep, log=Path(f"/proc/self/fd/{self._console}"))
        except BaseException:
            self._channel.close()
            os.close(self._console)
            raise
        finally:
            theirs.close()
            os.close(initrd)

    def relay(self, write: Write, up_by: float, end_by: float) -> int:
        """Hand on what the job prints until it ends; return its status, or TIMED_OUT.

        Raises NotUp if it has not begun by then, LabError if the machine stops under it.
        """
        sources = [self._channel, *([sys.stdin.buffer] if self._has_terminal else [])]
        while (left := (end_by if self._answer.up else min(up_by, end_by)) - monotonic()) > 0:
            ready = select.select(sources, [], [], left)[0]
            if sys.stdin.buffer in ready:
                self._channel.sendall(os.read(sys.stdin.fileno(), 1 << 10))
            if self._channel in ready:
                arrived = self._channel.recv(1 << 16)
                if not arrived:
                    break
                write(self._answer.feed(arrived))
                if self._answer.status is not None:
                    return self._answer.status
        write(self._answer.rest())
        if monotonic() >= end_by:
            return TIMED_OUT
        if not self._answer.up:
            raise NotUp(f"the virtual machine did not come up; {self._last_words()}")
        raise LabError(f"the virtual machine stopped before the job; {self._last_words()}")

    def _last_words(self) -> str:
        said = Path(f"/proc/self/fd/{self._console}").read_text(errors="replace").splitlines()
        return "its console ended with:\n" + "\n".join(said[-15:])

    def close(self) -> None:
        """Switch it off: there is nothing in it to keep."""
        self._process.send_signal(signal.SIGKILL)
        self._process.stop()
        self._channel.close()
        os.close(self._console)


def _qemu(
    kernel: VmKernel, accelerator: str, channel: int, initrd: int, console: int
) -> tuple[str, ...]:
    """Describe the machine to QEMU; the numbers are descriptors that it inherits."""
    processor = "host" if accelerator == "kvm" else "max"
    return (
        QEMU, "-machine", "q35", "-accel", accelerator, "-cpu", processor,
        "-smp", str(min(4, os.cpu_count() or 1)), "-m", str(MEGABYTES),
        "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-nic", "none",
        "-kernel", str(kernel.image), "-initrd", f"/proc/self/fd/{initrd}",
        "-append", _KERNEL_OPTIONS,
        "-chardev", f"file,id=console,path=/proc/self/fd/{console},append=on",
        "-serial", "chardev:console",
        "-device", "virtio-rng-pci",
        "-device", "virtio-serial-pci",
        "-chardev", f"socket,id=job,fd={channel}",
        "-device", f"virtserialport,chardev=job,name={PORT}",
        "-fsdev", "local,id=root,path=/,security_model=none,readonly=on,multidevs=remap",
        "-device", f"virtio-9p-pci,fsdev=root,mount_tag={TAG}",
    )  # fmt: skip


def run_inside(words: Sequence[str], deadline_seconds: float, write: Write) -> int:
    """Boot, run one command in our current folder, and return its exit status.

    Where our input is a terminal the command has one, too. Raises LabError.
    """
    end_by = monotonic() + deadline_seconds
    kernel = find_kernel()
    *others, last = accelerators()
    for accelerator in others:
        try:
            return _run_once(kernel, _job(words, accelerator, end_by), accelerator, write, end_by)
        except NotUp:
            _remember(accelerator)
    return _run_once(kernel, _job(words, last, end_by), last, write, end_by)


def _job(words: Sequence[str], accelerator: str, end_by: float) -> Job:
    passed_on = {name: os.environ[name] for name in os.environ if _is_passed_on(name)}
    columns, rows = shutil.get_terminal_size() if sys.stdin.isatty() else (0, 0)
    return Job(
        tuple(words),
        str(Path.cwd()),
        {"CALICO_LAB_PATIENCE": _PATIENCE[accelerator], **passed_on},
        end_by - monotonic(),
        mark=f"calico-vm-{secrets.token_hex(16)}",
        rows=rows,
        columns=columns,
    )


def _run_once(kernel: VmKernel, job: Job, accelerator: str, write: Write, end_by: float) -> int:
    with _raw_terminal(bool(job.rows)):
        guest = Guest(kernel, job, accelerator)
        try:
            return guest.relay(write, monotonic() + UP_SECONDS[accelerator], end_by)
        finally:
            guest.close()


@contextmanager
def _raw_terminal(wanted: bool) -> Iterator[None]:
    """Let every key reach the guest, Ctrl-C too, and restore the terminal afterwards."""
    if not wanted:
        yield
        return
    before = termios.tcgetattr(sys.stdin)
    try:
        tty.setraw(sys.stdin)
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def accelerators() -> list[str]:
    """List what to try, best first; $CALICO_VM_ACCELERATOR decides if it is set."""
    chosen = os.environ.get("CALICO_VM_ACCELERATOR")
    if chosen:
        return [chosen]
    usable = os.access("/dev/kvm", os.R_OK | os.W_OK) and not _refusal("kvm").exists()
    return ["kvm", "tcg"] if usable else ["tcg"]


def _refusal(accelerator: str) -> Path:
    """Name the file that says that it was tried in vain since this machine was booted."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return cache_folder() / f"no-{accelerator}-{boot}"


def _remember(accelerator: str) -> None:
    for old in cache_folder().glob(f"no-{accelerator}-*"):
        old.unlink(missing_ok=True)
    _refusal(accelerator).touch()


def _is_passed_on(name: str) -> bool:
    return name in _PASSED_ON or name.startswith("CALICO_")


def main(argv: Sequence[str] | None = None) -> None:
    """Run `[--seconds N] [--] words...` inside and exit with its status."""
    parser = argparse.ArgumentParser(
        prog="vm.sh", description="Run a command in a virtual machine that sees this machine's "
        "files, has every kernel module that Calico can use, and forgets what it wrote."
    )  # fmt: skip
    parser.add_argument("--seconds", type=float, default=900.0, help="end it after (%(default)g)")
    parser.add_argument("words", nargs="+", metavar="COMMAND")
    arguments = parser.parse_args(argv)
    try:
        status = run_inside(arguments.words, arguments.seconds, _print)
    except (LabError, KernelError) as error:
        sys.stderr.write(f"vm: {error}\n")
        sys.exit(125)
    except KeyboardInterrupt:
        sys.exit(130)
    if status == TIMED_OUT:
        sys.stderr.write(f"vm: ended at or after {arguments.seconds:g} s\n")
    sys.exit(status)


def _print(printed: bytes) -> None:
    sys.stdout.buffer.write(printed)
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
