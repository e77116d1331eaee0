"""Real BIRDs for tests, each in a directory and, if wanted, a namespace of its own."""

from contextlib import contextmanager

from calico.kernel.birdc import BirdControl, BirdUnavailable
from calico.kernel.run import run, spawn
from waiting import wait_until

EMPTY = "router id 192.0.2.1;\nprotocol device { }\n"


class Bird:
    """A BIRD that runs in the foreground; its files are in `directory`."""

    def __init__(self, directory):
        self.directory = directory
        self.configuration, self.control = directory / "bird.cfg", directory / "bird.ctl"
        self.process = None

    def start(self, text=None):
        if text is not None:
            self.configuration.write_text(text)
        elif not self.configuration.exists():
            self.configuration.write_text(EMPTY)
        arguments = ["-f", "-R", "-c", str(self.configuration), "-s", str(self.control)]
        arguments += ["-P", str(self.directory / "bird.pid")]
        self.process = spawn(["bird", *arguments], log=self.directory / "bird.log")
        wait_until(self.answers)

    def answers(self):
        assert self.process.poll() is None, (self.directory / "bird.log").read_text()
        try:
            with BirdControl(self.control) as control:
                return bool(control.status().version)
        except BirdUnavailable:
            return False

    def ask(self, command):
        with BirdControl(self.control) as control:
            return "\n".join(line for _, line in control.ask(command))

    def protocols(self):
        with BirdControl(self.control) as control:
            return {protocol.name: protocol for protocol in control.protocols()}

    def stop(self):
        if self.process is not None:
            self.process.stop()
            self.process = None


@contextmanager
def bird(directory):
    directory.mkdir(exist_ok=True)
    daemon = Bird(directory)
    try:
        yield daemon
    finally:
        daemon.stop()


def parses(text, directory):
    """Have the real BIRD parse a configuration; raises with its words if it does not."""
    path = directory / "parsed.cfg"
    path.write_text(text)
    run(["bird", "-p", "-c", str(path)])
