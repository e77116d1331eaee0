import os
import signal
from pathlib import Path

import pytest

from calico.kernel import netns as namespaces
from calico.kernel import sysctl
from calico.kernel.netlink import KernelError
from calico.kernel.run import ProgramFailed, foreground, run, spawn


def identity(descriptor):
    return os.fstat(descriptor).st_ino


def own_identity():
    return Path("/proc/thread-self/ns/net").stat().st_ino


def test_run_returns_what_was_printed():
    assert run(["cat"], stdin="hello") == "hello"


def test_run_takes_the_environment_it_is_given():
    assert run(["/usr/bin/env"], environment={"A": "1"}) == "A=1\n"


def test_run_tells_what_a_failing_program_said():
    with pytest.raises(ProgramFailed, match="exit status 3: no such thing") as caught:
        run(["sh", "-c", "echo half; echo no such thing >&2; exit 3"])
    assert (caught.value.status, caught.value.out) == (3, "half\n")


def test_run_gives_up_at_the_deadline():
    with pytest.raises(ProgramFailed, match="no answer in time") as caught:
        run(["sleep", "60"], deadline_seconds=0.05)
    assert caught.value.status is None


def test_a_program_that_is_not_there():
    with pytest.raises(ProgramFailed, match="No such file"):
        run(["no-such-program-anywhere"])
    with pytest.raises(ProgramFailed, match="No such file"):
        spawn(["no-such-program-anywhere"])


def test_spawn_and_stop(tmp_path):
    process = spawn(["sh", "-c", "echo started; exec sleep 60"], log=tmp_path / "log")
    assert process.poll() is None
    assert process.wait(0.01) is None
    assert process.stop() == -signal.SIGTERM
    assert process.poll() == -signal.SIGTERM


def test_stop_is_final_for_a_program_that_ignores_the_request(tmp_path):
    log = tmp_path / "log"
    process = spawn(["sh", "-c", "trap '' TERM; echo deaf; exec sleep 60"], log=log)
    while "deaf" not in log.read_text():
        assert process.poll() is None
    assert process.stop(deadline_seconds=0.05) == -signal.SIGKILL


@pytest.mark.netns
def test_inside_and_back(make_namespace):
    home, there = own_identity(), make_namespace()
    with namespaces.inside(there):
        assert own_identity() == identity(there) != home
        assert "lo" in run(["ip", "-br", "link"])
        assert run(["ip", "-br", "link"]).count("\n") == 1, "programs start inside, too"
    assert own_identity() == home


@pytest.mark.netns
def test_back_after_an_error(make_namespace):
    home = own_identity()
    with pytest.raises(ZeroDivisionError), namespaces.inside(make_namespace()):
        _ = 1 / 0
    assert own_identity() == home


@pytest.mark.netns
def test_a_named_namespace(make_namespace):
    name = f"cali-test-{os.getpid()}"
    descriptor = namespaces.create_named(name)
    try:
        opened = namespaces.open_named(name)
        assert identity(opened) == identity(descriptor)
        os.close(opened)
        assert name in run(["ip", "netns", "list"])
        assert "lo" in run(["ip", "netns", "exec", name, "ip", "link"])
        with pytest.raises(KernelError, match="File exists"):
            namespaces.create_named(name)
    finally:
        os.close(descriptor)
        namespaces.delete_named(name)
    namespaces.delete_named(name)
    with pytest.raises(KernelError, match="No such file"):
        namespaces.open_named(name)
    assert name not in run(["ip", "netns", "list"])


@pytest.mark.netns
def test_what_is_no_namespace_is_refused():
    with (
        pytest.raises(KernelError),
        Path("/dev/null").open() as null,
        namespaces.inside(null.fileno()),
    ):
        pass


@pytest.mark.netns
def test_sysctls_belong_to_the_namespace_of_the_thread(make_namespace):
    name = "net/ipv4/conf/lo/proxy_arp"
    with namespaces.inside(make_namespace()):
        sysctl.write(name, "1")
        assert sysctl.read(name) == "1"
    assert sysctl.read(name) == "0"
    with pytest.raises(KernelError, match="No such file"):
        sysctl.write("net/ipv4/conf/nothing/proxy_arp", "1")


def test_foreground_gives_the_exit_status():
    assert foreground(["sh", "-c", "exit 7"]) == 7
    with pytest.raises(ProgramFailed):
        foreground(["/no/such/program"])


def test_foreground_leaves_the_interrupt_to_the_program(tmp_path):
    # The program and we get the same Ctrl-C; only the program ends by it.
    script = f"trap 'echo heard > {tmp_path}/heard; exit 3' INT; kill -INT $PPID $$"
    assert foreground(["sh", "-c", script]) == 3
    assert (tmp_path / "heard").read_text() == "heard\n"
