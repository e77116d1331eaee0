"""calico-node: keep BIRD and the agent running, apart from each other.

    calico-node --starts--> bird   (speaks BGP; outlives every agent)
                `-starts--> agent  (node/agent.py: felix, CNI service, IPAM, BIRD's configuration)

A child that ends is started again: at once the first time, then with growing pauses while it
keeps ending young. The agent ends by itself with status 129 when its settings changed. Whatever
ends the agent, the kernel keeps its rules and routes, and BIRD its sessions.

If this process is killed, the agent ends with it (it asks the kernel for that), and BIRD stays
until the next calico-node takes its place; BIRD restarts gracefully, so peers keep the routes.

Only the standard library and kernel/run: this process stays small.

Source: shared/spec bgp-confd 5.1, felix 6.1 (exit status 129).
"""

import argparse
import os
import select
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from calico import __version__
from calico.kernel.run import Process, ProgramFailed, spawn
from calico.node.paths import Paths, node_paths

YOUNG_SECONDS = 10.0
FIRST_PAUSE_SECONDS, LAST_PAUSE_SECONDS = 0.1, 5.0
STOP_SECONDS = 5.0
GOODBYE_SECONDS = 2.0
TEND_SECONDS = 0.5  # a pause that ends is looked at this often


class Child:
    """One program that must run."""

    def __init__(
        self, name: str, start: Callable[[], Process], say_goodbye: Callable[[], None] | None = None
    ) -> None:
        """`say_goodbye` asks it to end in a better way than SIGTERM does."""
        self.name = name
        self._start = start
        self._say_goodbye = say_goodbye
        self._process: Process | None = None
        self._started = 0.0
        self._pause = 0.0
        self._start_at = 0.0

    def tend(self, now: float) -> None:
        """Start it if it is not running and its pause is over."""
        if self._process is not None:
            status = self._process.poll()
            if status is None:
                return
            self._ended(status, now)
        if now >= self._start_at:
            self._started = now
            try:
                self._process = self._start()
            except ProgramFailed as error:
                self._ended_with(str(error), now)

    def stop(self) -> None:
        """End it, if it runs."""
        if self._process is None:
            return
        if self._say_goodbye is not None:
            self._say_goodbye()
            self._process.wait(GOODBYE_SECONDS)
        self._process.stop(STOP_SECONDS)
        self._process = None

    def _ended(self, status: int, now: float) -> None:
        self._process = None
        if status == 129:
            say(f"{self.name} asks to be started again: its settings changed")
            self._pause, self._start_at = 0.0, now
            return
        how = f"signal {-status}" if status < 0 else f"status {status}"
        self._ended_with(f"ended with {how}", now)

    def _ended_with(self, how: str, now: float) -> None:
        if now - self._started > YOUNG_SECONDS:
            self._pause = 0.0
        self._start_at = now + self._pause
        say(f"{self.name} {how}; starting it again in {self._pause:g} s")
        self._pause = min(max(self._pause * 2, FIRST_PAUSE_SECONDS), LAST_PAUSE_SECONDS)


def say(text: str) -> None:
    """Write one line for whoever reads our log."""
    sys.stderr.write(f"calico-node: {text}\n")
    sys.stderr.flush()


def start_agent() -> Process:
    """Start the agent in this environment."""
    return spawn([sys.executable, "-m", "calico.node.agent"])


def start_bird(paths: Paths) -> Process:
    """Start BIRD with the configuration of last time, or one that speaks to nobody."""
    _retire_old_bird(paths)
    paths.bird_config.parent.mkdir(parents=True, exist_ok=True)
    if not paths.bird_config.exists():
        paths.bird_config.write_text("router id 0.0.0.1;\nprotocol device {}\n")
    return spawn(["bird", "-f", "-R", "-c", str(paths.bird_config), "-s", str(paths.bird_socket),
                  "-P", str(paths.bird_pid)])  # fmt: skip


def leave_peers_gracefully(paths: Paths) -> None:
    """Have BIRD end so that its peers keep our routes until it is back; with SIGTERM they go."""
    from calico.kernel.birdc import BirdControl, BirdError  # noqa: PLC0415  # only at the end

    try:
        with BirdControl(paths.bird_socket) as bird:
            bird.ask("graceful restart")
    except BirdError as error:
        say(f"bird does not take leave of its peers: {error}")


def _retire_old_bird(paths: Paths) -> None:
    """End a BIRD that an earlier calico-node left behind; its pid file says which."""
    try:
        pid = int(paths.bird_pid.read_text())
        program = Path(f"/proc/{pid}/comm").read_text().strip()
    except (OSError, ValueError):
        return
    if program != "bird":
        return
    say(f"replacing a BIRD (process {pid}) that was left running")
    leave_peers_gracefully(paths)
    deadline = time.monotonic() + STOP_SECONDS
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    if Path(f"/proc/{pid}").exists():
        os.kill(pid, signal.SIGKILL)


def wants_bird(backend: str) -> bool:
    """Whether CALICO_NETWORKING_BACKEND asks for BGP."""
    return backend not in {"none", "vxlan"}


def run() -> int:
    """Tend the children until a signal asks to stop."""
    paths = node_paths(os.environ)
    paths.run.mkdir(parents=True, exist_ok=True)
    children = [Child("agent", start_agent)]
    if wants_bird(os.environ.get("CALICO_NETWORKING_BACKEND", "bird")):
        bird = Child("bird", lambda: start_bird(paths), lambda: leave_peers_gracefully(paths))
        children.insert(0, bird)
    wait_for_signal = _wake_on(signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)
    arrived: set[int] = set()
    try:
        while not arrived & {signal.SIGTERM, signal.SIGINT}:
            for child in children:
                child.tend(time.monotonic())
            arrived = wait_for_signal(TEND_SECONDS)
    finally:
        for child in reversed(children):
            child.stop()
    return 0


def _wake_on(*signals: int) -> Callable[[float], set[int]]:
    """Make a wait that these signals end. They are not blocked: children would inherit that."""
    readable, writable = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(writable)
    for number in signals:
        signal.signal(number, lambda *_: None)

    def wait(seconds: float) -> set[int]:
        ready, _, _ = select.select([readable], [], [], seconds)
        return set(os.read(readable, 4096)) if ready else set()

    return wait


def main() -> None:
    """Read the arguments (there are none that change anything) and run."""
    parser = argparse.ArgumentParser(
        prog="calico-node",
        description="Run Calico on this node: BIRD and the agent, configured by environment "
        "variables (NODENAME, IP, IP_AUTODETECTION_METHOD, DATASTORE_TYPE, ETCD_ENDPOINTS, "
        "FELIX_*, ...) and the datastore.",
    )
    parser.add_argument("-v", "--version", action="version", version=f"calico-node {__version__}")
    parser.parse_args()
    sys.exit(run())


if __name__ == "__main__":
    main()
