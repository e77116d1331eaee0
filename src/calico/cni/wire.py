"""The agent's end of the conversation with the plugin process.

    Conversation --request--> Call {plugin's name, CNI_* environment, configuration, namespace}
                 <--run_plugin-- "run host-local, and tell me what it says"
                 <--answer--     status and what to print; the end

The other end is plugin.py, which shares no code with us: a test holds the two together. A frame is
eight hexadecimal digits and so many bytes. Every wait has a deadline; a plugin that goes away is an
OSError.
"""

import array
import os
import socket
from collections.abc import Mapping
from types import TracebackType
from typing import Protocol, Self

from msgspec import Struct

from calico.cni.errors import BAD_JSON, CniError, DelegateFailed

WAIT_SECONDS = 30.0
MAX_FRAME = 16 << 20  # a configuration is a few kilobytes


class Call(Struct, frozen=True):
    """One request as it came; `namespace` is a descriptor, -1 if the plugin sent none."""

    plugin: str
    environment: Mapping[str, str]
    config: bytes
    namespace: int = -1

    @property
    def command(self) -> str:
        """ADD, DEL, CHECK ..."""
        return self.environment.get("CNI_COMMAND", "")


class PluginRunner(Protocol):
    """Runs another plugin where the runtime's plugins are."""

    def run_plugin(self, plugin: str, command: str, config: bytes) -> bytes:
        """Run it with the call's environment; give its output. Raises DelegateFailed, OSError."""
        ...


def parse_call(payload: bytes, namespace: int = -1) -> Call:
    """Read a request. Raises CniError."""
    words, separator, config = payload.partition(b"\0\0")
    plugin, *settings = words.decode(errors="replace").split("\0")
    if not separator:
        raise CniError(BAD_JSON, "the request of the plugin process is cut short")
    environment = dict(setting.partition("=")[::2] for setting in settings)
    return Call(plugin, environment, config, namespace)


class Conversation:
    """One accepted connection. Closing it also closes the namespace's descriptor."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._namespaces: list[int] = []
        connection.settimeout(WAIT_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._connection.close()
        for descriptor in self._namespaces:
            os.close(descriptor)

    def request(self) -> Call:
        """Receive the request. Raises OSError, CniError."""
        payload = self._receive()
        return parse_call(payload, self._namespaces[0] if self._namespaces else -1)

    def run_plugin(self, plugin: str, command: str, config: bytes) -> bytes:
        """Let the plugin process run another plugin. Raises DelegateFailed, OSError."""
        self._send(b"X" + f"{plugin}\0{command}".encode() + b"\0\0" + config)
        answer = self._receive()
        if answer[:1] != b"0":
            raise DelegateFailed(answer[1:])
        return answer[1:]

    def answer(self, status: int, printed: bytes) -> None:
        """End the conversation. Raises OSError if the plugin process is gone."""
        self._send(b"R%d" % status + printed)

    def _send(self, payload: bytes) -> None:
        self._connection.sendall(b"%08x" % len(payload) + payload)

    def _receive(self) -> bytes:
        length = int(self._exactly(8), 16)
        if length > MAX_FRAME:
            raise CniError(BAD_JSON, f"a request of {length} bytes is too long")
        return self._exactly(length)

    def _exactly(self, count: int) -> bytes:
        received = bytearray()
        space = socket.CMSG_SPACE(4)
        while len(received) < count:
            chunk, attached, _, _ = self._connection.recvmsg(
                count - len(received), space, socket.MSG_CMSG_CLOEXEC
            )
            for level, kind, raw in attached:
                if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                    self._namespaces += array.array("i", raw[: len(raw) - len(raw) % 4])
            if not chunk:
                raise ConnectionResetError("the plugin process went away")
            received += chunk
        return bytes(received)
