"""The virtual machine: it runs one command on our files with a whole kernel, and is gone."""

import signal
from pathlib import Path

import pytest

from calico.kernel.run import spawn
from calico.lab.processes import start_time, wait_until

from .conftest import VM, run_vm

pytestmark = pytest.mark.slow
KINDS = ("ipip", "wireguard", "vxlan", "vrf", "dummy", "bridge", "veth")


@pytest.fixture(scope="module")
def told(kernel, tmp_path_factory):
    """One boot, and all that a script in it found out: {question: answer}."""
    folder = tmp_path_factory.mktemp("shared")
    (folder / "file").write_text("of the machine\n")
    (folder / "script").write_text(
        f"""\
echo "release $(uname -r)"
echo "user $(id -u)"
echo "folder $(pwd)"
echo "file $(cat {folder}/file)"
echo changed > {folder}/file && echo "written $(cat {folder}/file)"
echo "interfaces $(ls /sys/class/net | tr '\\n' ' ')"
for kind in {" ".join(KINDS)}; do
  case $kind in vrf) more="table 10" ;; vxlan) more="id 1 dstport 4789" ;;
    ipip) more="local 192.0.2.1" ;; *) more="" ;; esac
  ip link add of-$kind type $kind $more && echo "$kind made"
done
nft add table inet t && echo "nftables made"
ipset create s hash:ip && echo "ipset made"
printf 'last without an end'
exit 7
"""
    )
    status, out, err = run_vm("sh", str(folder / "script"))
    lines = {
        question: answer for question, _, answer in (x.partition(" ") for x in out.split("\n"))
    }
    return lines | {"status": status, "folder-outside": folder, "out": out, "err": err}


def test_the_status_is_the_commands(told):
    assert told["status"] == 7, told["out"] + told["err"]


def test_the_output_is_the_commands_to_the_byte(told):
    assert told["out"].startswith("release ")
    assert told["out"].endswith("\nlast without an end")


def test_the_kernel_is_debians_and_we_are_root(told, kernel):
    assert (told["release"], told["user"]) == (kernel.release, "0")


def test_it_stands_where_we_stand_and_reads_our_files(told):
    assert told["folder"] == str(Path.cwd())
    assert told["file"] == "of the machine"


def test_what_it_writes_is_its_own(told):
    assert told["written"] == "changed"
    assert (told["folder-outside"] / "file").read_text() == "of the machine\n"


def test_it_has_no_network_of_ours(told):
    assert "lo" in told["interfaces"].split()
    assert not [name for name in told["interfaces"].split() if name.startswith(("e", "w"))]


@pytest.mark.parametrize("kind", [*KINDS, "nftables", "ipset"])
def test_the_kernel_has(told, kind):
    assert told.get(kind) == "made"


def descendants(pid):
    """List a process's children, theirs too."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [each for child in children for each in (int(child), *descendants(int(child)))]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_it_dies_with_the_harness(kernel, tmp_path, number):
    log = tmp_path / "log"
    harness = spawn((*VM, "--", "sh", "-c", "echo running; sleep 1000"), log=log)
    try:
        assert wait_until(lambda: "running" in log.read_text(), 150), log.read_text()
        started = {pid: start_time(pid) for pid in descendants(harness.pid)}
        assert started
        harness.send_signal(number)
        assert harness.wait(10) == -number
        assert wait_until(lambda: all(start_time(p) != t for p, t in started.items()), 10)
    finally:
        harness.stop()


def test_a_deadline_ends_it(kernel):
    status, _, err = run_vm("sleep", "1000", seconds=3)
    assert status == 124
    assert "ended" in err


def test_a_machine_that_stops_is_no_success(kernel):
    status, out, err = run_vm("sh", "-c", "echo before; echo o > /proc/sysrq-trigger; sleep 100")
    assert (status, out) == (125, "before\n")
    assert "stopped before the job" in err


def test_a_kernel_that_cannot_be_had_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("CALICO_VM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path))
    status, _, err = run_vm("true")
    assert status == 125
    assert "no kernel for a virtual machine: apt-cache" in err
    assert not list((tmp_path / "cache").iterdir()), "a failed fetch leaves nothing"
