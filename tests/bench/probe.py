"""How long from a write to the first packet with the new verdict.

write --etcd--> agent --> kernel
probe_loop.py: outside --datagrams--> eth0, node, cali0 --> p0     "from when on they pass"
"""

import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

from tests.bench import world

DEADLINE_SECONDS = 30.0


class Probe:
    """A probing process, on one port."""

    def __init__(self, process):
        self._process = process
        self.passes, _ = self._read()

    def _read(self):
        verdict, when = self._process.stdout.readline().split()
        return verdict == "1", float(when)

    def seconds_until(self, passes, write):
        """Write, and tell how long it took from just before to the first packet so judged."""
        assert self.passes is not passes, "nothing would change"
        started = time.monotonic()
        write()
        written = time.monotonic()
        self.passes, when = self._read()
        assert self.passes is passes
        return when - started, written - started


@contextmanager
def probing(node, port):
    """Probe one port of LOCAL from REMOTE."""
    address = world.address(world.LOCAL)
    with node.socket(node.outside) as sender, node.socket(node.pods) as receiver:
        sender.bind((world.address(world.REMOTE), 0))
        receiver.bind((address, port))
        program = Path(__file__).with_name("probe_loop.py")
        descriptors = [sender.fileno(), receiver.fileno()]
        process = subprocess.Popen(
            [sys.executable, "-I", program, *map(str, descriptors), address, str(port)],
            stdout=subprocess.PIPE,
            pass_fds=descriptors,
            text=True,
        )
        try:
            yield Probe(process)
        finally:
            process.kill()
            process.wait(10)
            process.stdout.close()
