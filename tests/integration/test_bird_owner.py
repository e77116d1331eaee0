"""The BIRD owner and the control socket, with a real BIRD (and one that is hung)."""

import socket
import threading
from contextlib import contextmanager

import pytest

from bird_daemon import EMPTY, bird
from calico.kernel.birdc import (
    BirdControl,
    BirdProtocol,
    BirdRefused,
    BirdStatus,
    BirdUnavailable,
    parse_protocols,
    parse_reply,
    parse_status,
)
from calico.reconcile.bird import BirdFiles, BirdOwner, BirdReport, check_with_bird
from waiting import wait_until

pytestmark = [pytest.mark.bird, pytest.mark.netns]


def config(router_id="192.0.2.7", more=""):
    return f"router id {router_id};\nprotocol device {{ }}\n{more}\n"


BAD = config(more="protocol nonsense { }")


@pytest.fixture
def daemon(netns, tmp_path):
    with bird(tmp_path / "bird") as running:
        yield running


@contextmanager
def owning(files, **options):
    owner = BirdOwner(files, **options)
    owner.start()
    try:
        yield owner
    finally:
        owner.stop()


@pytest.fixture
def files(daemon):
    return BirdFiles(daemon.configuration, daemon.control)


def router_id(daemon):
    with BirdControl(daemon.control) as control:
        return control.status().router_id


def wait_until_in_force(owner):
    wait_until(lambda: owner.report().in_force, what=owner.report())


def problem(owner):
    return wait_until(lambda: owner.report().problem)


def test_speaks_with_bird(daemon):
    daemon.start(config("192.0.2.9", "protocol static s1 { ipv4; route 10.0.0.0/24 blackhole; }"))
    with BirdControl(daemon.control) as control:
        status = control.status()
        assert status.version.startswith("2.")
        assert status.router_id == "192.0.2.9"
        assert status.started
        assert "up and running" in status.state
        protocols = {protocol.name: protocol for protocol in control.protocols()}
        assert protocols["s1"].kind == "Static"
        assert protocols["s1"].state == "up"
        assert "Reconfigured" in control.configure()
        with pytest.raises(BirdRefused, match="syntax error"):
            control.ask("show nonsense")
        daemon.configuration.write_text(BAD)
        with pytest.raises(BirdRefused, match="syntax error"):
            control.configure()
        assert control.status().router_id == "192.0.2.9", "BIRD goes on with what it had"


def test_nobody_there(tmp_path):
    with pytest.raises(BirdUnavailable, match="No such file"):
        BirdControl(tmp_path / "nothing.ctl")


def test_a_bird_that_says_nothing(tmp_path):
    path = tmp_path / "bird.ctl"
    with socket.socket(socket.AF_UNIX) as mute:
        mute.bind(str(path))
        mute.listen()
        with pytest.raises(BirdUnavailable, match="timed out"):
            BirdControl(path, answer_seconds=0.05)


def test_replies():
    assert parse_reply("1000-BIRD 2.0.12\n1011-Router ID is 1.1.1.1\n more\n0013 up\n") == (
        [(1000, "BIRD 2.0.12"), (1011, "Router ID is 1.1.1.1"), (1011, "more"), (13, "up")],
        True,
    )
    assert parse_reply("1000-BIRD\n0013 Dae") == ([(1000, "BIRD")], False)
    for text in (" more\n", "hello\n"):
        with pytest.raises(ValueError, match="repl"):
            parse_reply(text)


def test_status_and_protocols():
    reply = [
        (1000, "BIRD 2.17.1"),
        (1011, "Router ID is 10.0.0.1"),
        (1011, "Last reboot on 2024-05-01 10:00:00.000"),
        (24, "Graceful restart recovery in progress"),
        (13, "Daemon is up and running"),
    ]
    assert parse_status(reply) == BirdStatus(
        "2.17.1", "10.0.0.1", "2024-05-01 10:00:00.000", "", True, "Daemon is up and running"
    )
    lines = [
        (2002, "Name       Proto      Table      State  Since         Info"),
        (1002, "device1    Device     ---        up     10:42:28.812  "),
        (1002, "Mesh_10_0_0_2 BGP     ---        start  10:42:28.812  Active        Socket: x"),
        (0, ""),
    ]
    assert parse_protocols(lines) == [
        BirdProtocol("device1", "Device", "---", "up", "10:42:28.812", ""),
        BirdProtocol(
            "Mesh_10_0_0_2", "BGP", "---", "start", "10:42:28.812", "Active        Socket: x"
        ),
    ]


def test_brings_a_text_into_force(daemon, files):
    daemon.start()
    with owning(files) as owner:
        owner.put(config("192.0.2.8"))
        wait_until_in_force(owner)
        assert router_id(daemon) == "192.0.2.8"
        assert files.configuration.read_text() == config("192.0.2.8")
        assert not files.staged.exists()


def test_reconfigures_only_for_a_change(daemon, files):
    daemon.start()

    def reconfigured():
        with BirdControl(daemon.control) as control:
            return control.status().configured

    with owning(files) as owner:
        owner.put(config())
        wait_until_in_force(owner)
        before = reconfigured()
        owner.put(config())
        assert owner.report().in_force
        owner.put(config("192.0.2.8"))
        wait_until_in_force(owner)
        assert reconfigured() != before


def test_keeps_the_last_good_text(daemon, files):
    daemon.start()
    with owning(files) as owner:
        owner.put(config("192.0.2.8"))
        wait_until_in_force(owner)
        owner.put(BAD)
        assert "syntax error" in problem(owner)
        assert not owner.report().in_force
        assert files.configuration.read_text() == config("192.0.2.8")
        assert router_id(daemon) == "192.0.2.8"
        owner.put(config("192.0.2.9"))
        wait_until_in_force(owner)
        assert router_id(daemon) == "192.0.2.9"


def session(number, more=""):
    head = f"protocol bgp Global_192_0_2_{number} {{"
    lines = ["local 192.0.2.1 as 64512;", f"neighbor 192.0.2.{number} as 64600;", "multihop;", more]
    return "\n".join([head, *(f"  {line}" for line in lines), "}", ""])


FILTER = "function 'bgp_f_importFilterV4'(bool to_ibgp) {\n  nonsense;\n}\n"
CALL = "ipv4 { import filter { 'bgp_f_importFilterV4'(false); }; export none; };"
FINE = "ipv4 { import all; export none; };"


def test_one_bad_session_never_stops_the_others(daemon, files):
    daemon.start()
    bad = [session(2, FINE), session(3, "nonsense;"), session(4, FINE), session(5, "rr client;")]
    with owning(files) as owner:
        owner.put(config(more="\n".join(bad)), {"BGPPeer odd": "it has no address"})
        wait_until_in_force(owner)
        assert set(daemon.protocols()) >= {"Global_192_0_2_2", "Global_192_0_2_4"}
        left_out = owner.report().left_out
        assert set(left_out) == {"BGPPeer odd", "Global_192_0_2_3", "Global_192_0_2_5"}
        assert "syntax error" in left_out["Global_192_0_2_3"]
        assert "Only internal neighbor" in left_out["Global_192_0_2_5"]
        assert "# left out: Global_192_0_2_5: BIRD refuses it" in files.configuration.read_text()

        better = [session(2, FINE), session(3, FINE), session(4, FINE)]
        owner.put(config(more="\n".join(better)))
        wait_until(lambda: "Global_192_0_2_3" in daemon.protocols())
        wait_until_in_force(owner)
        assert owner.report().left_out == {}


def test_a_bad_filter_takes_along_the_sessions_that_use_it(daemon, files):
    daemon.start()
    with owning(files) as owner:
        owner.put(config(more="\n".join([FILTER, session(2, CALL), session(3, FINE)])))
        wait_until_in_force(owner)
        assert "Global_192_0_2_3" in daemon.protocols()
        assert "Global_192_0_2_2" not in daemon.protocols(), "never without its filter"
        assert set(owner.report().left_out) == {"Global_192_0_2_2"}


def test_what_is_left_out_is_found_once_while_bird_is_away(daemon, files):
    checks = []

    def check(path):
        checks.append(path)
        check_with_bird(path)

    with owning(files, check=check) as owner:
        owner.put(config(more="\n".join([session(2, "nonsense;"), session(3, FINE)])))
        assert "No such file" in problem(owner)
        checked = len(checks)
        daemon.start()
        wait_until_in_force(owner)
        assert len(checks) == checked == 2
        assert set(owner.report().left_out) == {"Global_192_0_2_2"}
        assert "Global_192_0_2_3" in daemon.protocols()


def test_passwords_are_for_bird_alone(daemon, files):
    daemon.start()
    for left in (files.configuration, files.staged):  # of an earlier life
        left.write_text("")
        left.chmod(0o644)
    with owning(files) as owner:
        owner.put(config("192.0.2.8"))
        wait_until_in_force(owner)
    assert files.configuration.stat().st_mode & 0o777 == 0o600


def test_restores_the_file_when_only_the_running_bird_refuses(daemon, files):
    daemon.start(config("192.0.2.8"))
    with owning(files, check=lambda path: None) as owner:
        owner.put(BAD)
        assert "syntax error" in problem(owner)
        assert files.configuration.read_text() == config("192.0.2.8")


def test_a_bird_that_comes_later(daemon, files):
    with owning(files) as owner:
        owner.put(config("192.0.2.8"))
        assert "No such file" in problem(owner)
        assert files.configuration.read_text() == config("192.0.2.8"), "for BIRD to start with"
        daemon.start()
        wait_until_in_force(owner)
        assert router_id(daemon) == "192.0.2.8"


def test_a_bad_first_text_leaves_no_file(daemon, files):
    with owning(files) as owner:
        owner.put(BAD)
        assert "syntax error" in problem(owner)
        assert not files.configuration.exists()


def test_survives_a_restart_of_bird(daemon, files):
    daemon.start()
    with owning(files) as owner:
        owner.put(config("192.0.2.8"))
        wait_until_in_force(owner)
        daemon.stop()
        owner.put(config("192.0.2.9"))
        problem(owner)
        daemon.start()
        wait_until_in_force(owner)
        assert router_id(daemon) == "192.0.2.9"


def test_the_latest_text_wins_while_bird_hangs(daemon, files):
    daemon.directory.mkdir(exist_ok=True)
    checking, go_on = threading.Event(), threading.Event()
    checked = []

    def slow_check(path):
        checked.append(path.read_text())
        checking.set()
        assert go_on.wait(20)

    daemon.start(EMPTY)
    with owning(files, check=slow_check) as owner:
        owner.put(config("192.0.2.1"))
        assert checking.wait(20)
        for last in range(2, 9):
            owner.put(config(f"192.0.2.{last}"))
        assert owner.report() == BirdReport(), "nothing waits for it"
        go_on.set()
        wait_until_in_force(owner)
    assert router_id(daemon) == "192.0.2.8"
    assert checked == [config("192.0.2.1"), config("192.0.2.8")]
