"""A connection that stays, to see whether it outlives policies, agents and nodes.

    Flow(origin, destination, port) --TCP--> responder: everything comes back

What was established must survive every change of policy; this is how to see whether it did.
"""

import os
import socket
from types import TracebackType
from typing import Self

from calico.core.analysis.matrix import Party
from calico.kernel import netns
from calico.lab.probe import Origin

CONNECT_SECONDS = 5.0
LINE = 256


class Flow:
    """One TCP connection from one party to another. Raises OSError if there is no way."""

    def __init__(self, origin: Origin, destination: Party, port: int, version: int = 4) -> None:
        address = destination.address(4 if version == 4 else 6)
        if address is None:
            raise OSError(f"{destination.name} has no IPv{version} address")
        descriptor = netns.open_path(origin.namespace)
        try:
            with netns.inside(descriptor):
                self._socket = socket.create_connection((address, port), CONNECT_SECONDS)
        finally:
            os.close(descriptor)
        self._count = 0
        self._lines = self._socket.makefile("rb")
        self.greeting = self._lines.readline(LINE).decode().strip()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def exchange(self, within_seconds: float) -> bool:
        """Send a line and wait for it to come back."""
        self._count += 1
        line = b"%d\n" % self._count
        self._socket.settimeout(within_seconds)
        try:
            self._socket.sendall(line)
            return self._lines.readline(LINE) == line
        except OSError:
            return False

    def close(self) -> None:
        """End it."""
        self._lines.close()
        self._socket.close()
