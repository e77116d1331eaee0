"""calico-lab as people use it: the commands of the README, run as programs."""

import json
import os
import signal
import sys
from pathlib import Path

import pytest

from calico.kernel.run import ProgramFailed, run, spawn
from calico.lab.place import Place
from calico.lab.processes import find, start_time, wait_until

from .conftest import ROOT

pytestmark = [pytest.mark.netns, pytest.mark.etcd, pytest.mark.bird, pytest.mark.slow]

EXAMPLES = Path(__file__).parents[2] / "examples"
NAME = f"commands-{os.getpid()}"
UP = (str(EXAMPLES / "three-nodes.yaml"), "--config", str(EXAMPLES / "config.yaml"), "--name", NAME)
ENVIRONMENT = {"PATH": os.environ["PATH"], "CALICO_LAB_DIR": str(ROOT), "COLUMNS": "120"}


def lab(*words, deadline=60):
    command = [sys.executable, "-m", "calico.lab", *words]
    return run(command, deadline_seconds=deadline, environment=ENVIRONMENT)


def refused(*words):
    with pytest.raises(ProgramFailed) as failed:
        lab(*words)
    return failed.value


@pytest.fixture(scope="module")
def printed():
    """What `up` printed; the lab runs meanwhile."""
    if os.geteuid() != 0:
        pytest.skip("needs root: it makes namespaces")
    try:
        yield lab("up", *UP)
    finally:
        lab("down", "--name", NAME)


def test_up_sums_up_and_names_what_to_try(printed):
    for expected in (
        "node-3", "172.30.1.13/24", "fd30:1::13/64", "first-found: first acceptable address",
        "10.65.0.0/16", "shop/web-1", "measured = computed in all", "up in ",
        "eval \"$(", "calicoctl get nodes", "calico-lab exec",
        "calico-lab matrix", "calico-lab down",
    ):  # fmt: skip
        assert expected in printed, expected
    assert printed.count("Established") >= 1


def test_up_again_is_refused(printed):
    failed = refused("up", *UP)
    assert failed.status == 1
    assert "exists" in failed.err
    assert f"calico-lab down --name {NAME}" in failed.err


def test_status_as_json(printed):
    status = json.loads(lab("status", "-o", "json"))
    assert {"nodes", "sessions", "pools", "blocks", "pods"} <= status.keys()
    assert [node["name"] for node in status["nodes"]] == ["node-1", "node-2", "node-3"]
    assert all(node["up"] and not node["problem"] for node in status["nodes"])
    assert {a["address"] for a in status["nodes"][0]["addresses"]} == {
        "172.30.1.11/24",
        "fd30:1::11/64",
    }
    assert {session["details"] for session in status["sessions"]} == {"Established"}
    assert len(status["sessions"]) == 12
    assert {pool["cidr"] for pool in status["pools"]} == {"10.65.0.0/16", "fd65::/64"}
    assert sum(block["allocated"] for block in status["blocks"]) == 12
    assert all(pod["answering"] and len(pod["addresses"]) == 2 for pod in status["pods"])


def test_env_lets_a_plain_calicoctl_work(printed):
    script = f'eval "$({sys.executable} -m calico.lab env)"; {sys.executable} -m '
    script += "calico.calicoctl.main get nodes -o name"
    out = run(["sh", "-c", script], deadline_seconds=30, environment=ENVIRONMENT)
    assert [line.rpartition("/")[2] for line in out.split()] == ["node-1", "node-2", "node-3"]


def test_exec_gives_output_input_and_status(printed):
    assert lab("exec", "node-2", "--", "hostname").strip() == "node-2"
    assert "10.65." in lab("exec", "shop/db", "--", "ip", "-4", "address")
    assert lab("exec", "shop/db", "--", "hostname").strip() == "shop.db"
    assert refused("exec", "node-1", "--", "sh", "-c", "exit 7").status == 7
    assert "there are: gateway, node-1" in refused("exec", "node-9", "--", "true").err
    assert "no pod is called 'shop/nobody'" in refused("exec", "shop/nobody", "--", "true").err


def test_pods_come_and_go(printed):
    added = lab("add-pod", "node-2", "shop/web-3", "--label", "app=web", "--port", "tcp/81")
    assert "shop/web-3 is on node-2: 10.65." in added
    assert "gets through" in lab("probe", "shop/web-3", "shop/db", "tcp/5432")
    assert "exists" in refused("add-pod", "node-2", "shop/web-3").err
    assert "web-3 is gone" in lab("delete-pod", "shop/web-3")
    assert "web-3" not in lab("status")
    assert "no node is called" in refused("add-pod", "gateway", "shop/web-4").err
    assert "write key=value" in refused("add-pod", "node-1", "shop/x", "--label", "app").err
    assert "write <namespace>/<name>" in refused("add-pod", "node-1", "x").err


def test_probe_tells_the_path(printed):
    told = lab("probe", "lab/alice", "shop/db", "tcp/5432")
    assert "lab/alice -> shop/db tcp/5432 IPv4 does not get through" in told
    assert "ingress shop/db: rule 1 of NetworkPolicy shop/db (tier default) does not match" in told
    assert "nobody is called" in refused("probe", "lab/alice", "lab/zoe").err
    assert "is no port" in refused("probe", "lab/alice", "lab/bob", "http").err


def test_matrix_agrees_also_with_the_outside(printed):
    assert "measured = computed" in lab("matrix")
    told = json.loads(lab("matrix", "--outside", "-o", "json"))
    assert told["differences"] == []
    assert told["measured"] == told["computed"]
    assert {"laptop", "node-1", "shop/db"} <= {cell["source"] for cell in told["measured"]}


def test_matrix_fails_where_packets_do_not_do_what_policy_says(printed):
    rules = "add table ip t; add chain ip t c { type filter hook input priority 0; }; "
    rules += "add rule ip t c udp dport 53 drop"
    lab("exec", "lab/bob", "--", "nft", rules)
    try:
        failed = refused("matrix", "--settle", "0")
        assert failed.status == 1
        assert "measured is not computed in 6 of" in failed.out
        assert "lab/alice -> lab/bob udp/53 IPv4: did not, computed: got through" in failed.out
        told = json.loads(refused("matrix", "--settle", "0", "-o", "json").out)
        assert {d["destination"] for d in told["differences"]} == {"lab/bob"}
    finally:
        lab("exec", "lab/bob", "--", "nft", "delete table ip t")
    lab("matrix")


def test_nodes_go_and_come_back(printed):
    assert "node-3 is down" in lab("kill-node", "node-3")
    status = json.loads(lab("status", "-o", "json"))
    assert [node["up"] for node in status["nodes"]] == [True, True, False]
    assert "start it with" in refused("exec", "node-3", "--", "true").err
    assert "node-3 is up" in lab("start-node", "node-3")
    assert "is up:" in refused("start-node", "node-3").err
    lab("matrix")


def test_a_node_is_added(printed):
    assert "node-4 is up: 172.30.1.14, fd30:1::14" in lab("add-node", "node-4")
    lab("add-pod", "node-4", "lab/dave", "--label", "app=notebook")
    lab("matrix")
    assert "exists" in refused("add-node", "node-4").err
    assert "no segment is called 'moon'" in refused("add-node", "n5", "--segment", "moon").err


def test_an_up_that_is_killed_half_way_leaves_nothing_behind_down(tmp_path):
    name = f"half-{os.getpid()}"
    words = (*UP[:-1], name)
    place = Place(ROOT, name)
    log = tmp_path / "log"
    command = [sys.executable, "-m", "calico.lab", "up", *words]
    process = spawn(command, log=log, environment=ENVIRONMENT)
    assert wait_until(lambda: "starting calico-node" in log.read_text(), 30), log.read_text()
    process.send_signal(signal.SIGKILL)
    process.wait(5)
    assert len(find(place)) > 5
    assert f"{name} is gone" in lab("down", "--name", name)
    assert find(place) == []
    assert not place.directory.exists()


def test_an_up_that_is_interrupted_cleans_up_after_itself(tmp_path):
    name = f"interrupted-{os.getpid()}"
    place = Place(ROOT, name)
    log = tmp_path / "log"
    # whoever runs the tests in the background has us ignore SIGINT
    command = [
        "env",
        "--default-signal=INT",
        sys.executable,
        "-m",
        "calico.lab",
        "up",
        *UP[:-1],
        name,
    ]
    process = spawn(command, log=log, environment=ENVIRONMENT)
    assert wait_until(lambda: "installing" in log.read_text(), 30), log.read_text()
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 130
    assert find(place) == []
    assert not place.directory.exists()


def test_down_takes_an_up_that_is_at_work_with_it(tmp_path):
    name = f"atwork-{os.getpid()}"
    place = Place(ROOT, name)
    log = tmp_path / "log"
    command = [sys.executable, "-m", "calico.lab", "up", *UP[:-1], name]
    process = spawn(command, log=log, environment=ENVIRONMENT)
    assert wait_until(lambda: "installing" in log.read_text(), 30), log.read_text()
    lab("down", "--name", name)
    assert process.wait(5) == -signal.SIGKILL
    assert start_time(process.pid) is None
    assert find(place) == []
    assert not place.directory.exists()


def test_what_cannot_be_built_changes_nothing(tmp_path):
    bad = tmp_path / "bad.yaml"
    bad.write_text(Path(UP[0]).read_text().replace("node: node-3", "node: node-7", 1))
    before = sorted(ROOT.iterdir()) if ROOT.exists() else []
    failed = refused("up", str(bad), "--config", UP[2], "--name", "bad")
    assert failed.status == 1
    assert failed.err.startswith(f"calico-lab: {bad}, line ")
    assert "pods[2].node: no node is called 'node-7': there are: node-1" in failed.err
    assert "Traceback" not in failed.err
    assert failed.err.count("\n") == 1
    assert (sorted(ROOT.iterdir()) if ROOT.exists() else []) == before
