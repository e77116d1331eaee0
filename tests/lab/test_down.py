"""`down` removes every trace, whatever was killed before; and nothing that is not the lab's."""

import os
import shutil
import signal
import subprocess
import sys

import pytest

from calico.kernel.run import run, spawn
from calico.lab.__main__ import main
from calico.lab.cluster import down
from calico.lab.fabric import keeper
from calico.lab.place import Place, write_record
from calico.lab.processes import (
    Remembered,
    find,
    marked_labs,
    recall,
    recall_all,
    start,
    start_time,
    wait_until,
)
from calico.lab.topology import LabError

from .conftest import ROOT

pytestmark = pytest.mark.netns


def kill(pid):
    os.kill(pid, signal.SIGKILL)
    assert wait_until(lambda: start_time(pid) is None, 5)


def assert_gone(place):
    assert list(find(place)) == []
    assert not place.directory.exists()
    assert place.name not in marked_labs(ROOT)


def test_everything_ends(wires):
    count = len(list(find(wires.place)))
    assert count == 6, "four holders and two responders"
    assert down(wires.place) == count
    assert_gone(wires.place)
    assert down(wires.place) == 0, "again is fine"


def test_a_reader_that_went_away_is_no_fault_of_ours(tmp_path):
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as broken:
        done = subprocess.run(
            [sys.executable, "-m", "calico.lab", "down"],
            env={**os.environ, "CALICO_LAB_DIR": str(tmp_path / "nothing")},
            stdout=broken,
            stderr=subprocess.PIPE,
            timeout=60,
            check=False,
        )
    assert (done.returncode, done.stderr) == (141, b"")


def test_after_the_holders_were_killed(wires):
    for role, process in recall_all(wires.place).items():
        if role.startswith("holder"):
            kill(process.pid)
    assert {one.station for one in find(wires.place)} == {"alice", "bob"}, "the responders live on"
    down(wires.place)
    assert_gone(wires.place)


def test_a_station_is_reached_without_its_holder(wires):
    kill(recall(wires.place, "holder-bob").pid)
    assert keeper(wires.place, "bob") == recall(wires.place, "responder-bob").pid
    kill(recall(wires.place, "responder-bob").pid)
    with pytest.raises(LabError, match="bob is down"):
        keeper(wires.place, "bob")


def test_orphans_in_further_namespaces_are_found(wires):
    script = "ip netns add deep && ip netns exec deep setsid sleep 1000 >/dev/null 2>&1 &"
    run((*wires.inside("alice"), "sh", "-c", script))
    wait_until(lambda: sum(one.station == "alice" for one in find(wires.place)) >= 3, 5)
    assert sum(one.station == "alice" for one in find(wires.place)) >= 3
    kill(recall(wires.place, "holder-alice").pid)
    down(wires.place)
    assert_gone(wires.place)


def test_after_the_directory_was_removed(wires, capsys):
    shutil.rmtree(wires.place.directory)
    assert wires.place.name in marked_labs(ROOT)
    with pytest.raises(SystemExit) as ended:
        main(["down", "--name", wires.place.name])
    assert ended.value.code == 0
    assert "is gone: 6 processes" in capsys.readouterr().out
    assert_gone(wires.place)


def test_a_remembered_number_that_is_somebody_elses(wires):
    bystander = spawn(["sleep", "1000"])
    try:
        wrong = Remembered(bystander.pid, start_time(bystander.pid) - 1, "alice")
        write_record(wires.place.processes / "old", wrong)
        assert recall(wires.place, "old") is None
        down(wires.place)
        assert bystander.poll() is None
    finally:
        bystander.stop()


def test_a_builder_that_hangs_is_ended(wires):
    # `up` was killed before it could say that it was done, or it hangs: then it would go on.
    role = "pretends-to-be-up"
    pid = start(wires.place, role, "", ["sleep", "1000"])
    description = {
        "topology": {"name": "x", "segments": [], "stations": []},
        "config": {
            "path": "x",
            "settings": {"network_cidr": []},
            "etcd_address": "192.0.2.1",
            "etcd_port": 2379,
        },
        "builder": {"pid": pid, "started": start_time(pid), "station": ""},
    }
    write_record(wires.place.description, description)
    down(wires.place)
    assert wait_until(lambda: start_time(pid) is None, 5)


def test_without_a_lab(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("CALICO_LAB_DIR", str(tmp_path / "none"))
    with pytest.raises(SystemExit) as ended:
        main(["down"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == "no lab runs\n"
    with pytest.raises(SystemExit) as ended:
        main(["status"])
    assert ended.value.code == 1
    assert "no lab runs" in capsys.readouterr().err


def test_a_lab_of_that_name_is_not_built_twice(wires):
    with pytest.raises(LabError, match="exists"):
        Place(ROOT, wires.place.name).create()
