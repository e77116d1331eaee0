"""The harness as its users start it; skipped with the reason where it cannot run."""

import shutil
import sys

import pytest

from calico.kernel.run import ProgramFailed, run
from calico.lab.topology import LabError
from calico.lab.vm import QEMU
from calico.lab.vm_kernel import find_kernel

VM = (sys.executable, "-m", "calico.lab.vm")


@pytest.fixture(scope="session")
def kernel():
    if shutil.which(QEMU) is None:
        pytest.skip(f"no {QEMU}: install qemu-system-x86")
    try:
        return find_kernel()
    except LabError as error:
        pytest.skip(str(error))


def run_vm(*words, seconds=300):
    """Run a command inside: (exit status, what it printed, what the harness complained of)."""
    try:
        out = run((*VM, "--seconds", str(seconds), "--", *words), deadline_seconds=seconds + 300)
    except ProgramFailed as error:
        return error.status, error.out, error.err
    return 0, out, ""
