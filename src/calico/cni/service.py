"""The agent's CNI socket: accept, serve, answer.

    plugin process --socket--> accept (thread) --queue--> worker (at most 16 threads) --> answer
                                  removal of a pair <--aside (a thread each, some ms)--'

A worker serves one request from beginning to end; what need not be waited for, the end of a pair
in the kernel, has a thread of its own for some milliseconds. Requests about one endpoint take
turns: a DEL that overtakes its ADD waits, and so does that of a pod's old sandbox. Every failure is
told as a CNI error; a bug, too, and it is logged with its traceback, since the runtime's retry is
the only way on.

If the agent ends, the socket closes and plugin processes say "try again later". Deletions that came
while no agent ran are finished by a thread of their own, as soon as the loop can tell what is gone.

Ownership: the socket's path. One agent per path; a stale one is replaced.
Source: house B.9; CNI specification 1.1.0.
"""

import errno
import logging
import os
import queue
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import msgspec

from calico.cni import add, check, collect, delete, ipam
from calico.cni.deferred import finish_deletes, folder_of
from calico.cni.errors import (
    BAD_ENVIRONMENT,
    FAILED,
    IO_FAILURE,
    TRY_AGAIN,
    CniError,
)
from calico.cni.request import Agent, Request, check_ready, prepare
from calico.cni.settings import CALICO_IPAM, parse_config
from calico.cni.wire import Call, Conversation, PluginRunner
from calico.datastore.client import DatastoreError
from calico.ipam.errors import Busy, IpamError
from calico.kernel.netlink import KernelError

WORKERS = 16
BACKLOG = 128
TURN_SECONDS = 60.0
RETRY_SECONDS = 10.0

log = logging.getLogger(__name__)

MAIN: Mapping[str, Callable[[Request], bytes]] = {
    "ADD": add.add,
    "DEL": delete.delete,
    "CHECK": check.check,
}
IPAM: Mapping[str, Callable[[Request], bytes]] = {
    "ADD": ipam.add,
    "DEL": ipam.delete,
    "CHECK": ipam.check,
}
SINCE = {"CHECK": "0.4.0", "STATUS": "1.1.0", "GC": "1.1.0"}


class CniService:
    """Serves CNI requests until it is stopped."""

    def __init__(self, agent: Agent, path: Path) -> None:
        self._stopping = threading.Event()
        self._agent = msgspec.structs.replace(agent, aside=_aside)
        self._path = path
        self._turns = _Turns()
        self._waiting: queue.SimpleQueue[socket.socket | None] = queue.SimpleQueue()
        self._listener: socket.socket | None = None
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Listen, and finish what is left from before. Raises OSError."""
        self._listener = _listen(self._path)
        jobs = {"cni-accept": self._accept, "cni-deferred": self._finish_deletes}
        jobs |= {f"cni-{i}": self._work for i in range(WORKERS)}
        self._threads = [
            threading.Thread(target=job, name=name, daemon=True) for name, job in jobs.items()
        ]
        for thread in self._threads:
            thread.start()
        log.info("CNI service started", extra={"socket": str(self._path)})

    def stop(self) -> None:
        """Stop listening; requests under way end."""
        if self._listener is None:
            return
        self._stopping.set()
        self._path.unlink(missing_ok=True)
        self._listener.shutdown(socket.SHUT_RDWR)
        self._threads[0].join(TURN_SECONDS)  # what it has accepted is served before the end
        self._listener.close()
        for _ in range(WORKERS):
            self._waiting.put(None)
        for thread in self._threads:
            thread.join(TURN_SECONDS)

    def serve(self, call: Call, runner: PluginRunner) -> bytes:
        """Serve one request; give what to print. Raises CniError."""
        try:
            return self._serve(call, runner)
        except (Busy, DatastoreError) as error:
            raise CniError(TRY_AGAIN, "try again later", str(error)) from error
        except (IpamError, KernelError) as error:
            raise CniError(FAILED, str(error)) from error
        except OSError as error:
            raise CniError(IO_FAILURE, "input or output failed", str(error)) from error

    def _serve(self, call: Call, runner: PluginRunner) -> bytes:
        if call.command == "TEST":
            check_ready(self._agent.store)
            return b""
        if call.command in {"STATUS", "GC"}:
            return self._serve_network(call)
        commands = IPAM if call.plugin == CALICO_IPAM else MAIN
        if call.command not in commands:
            raise CniError(BAD_ENVIRONMENT, f"unknown CNI_COMMAND: {call.command}")
        request = prepare(self._agent, call, runner)
        if call.command in SINCE:
            check.require_version(request.config.version, SINCE[call.command], call.command)
        with self._turns.of(f"{call.plugin} {'/'.join(request.identity.key)}"):
            return commands[call.command](request)

    def _serve_network(self, call: Call) -> bytes:
        """Serve a command that is about no container."""
        config = parse_config(call.config)
        check.require_version(config.version, SINCE[call.command], call.command)
        if call.command == "STATUS":
            return check.status(self._agent)
        return collect.collect(self._agent, config)

    def _finish_deletes(self) -> None:
        folder = folder_of(self._path)
        while finish_deletes(folder, self.serve) and not self._stopping.wait(RETRY_SECONDS):
            pass

    def _accept(self) -> None:
        while self._listener is not None:
            try:
                connection, _ = self._listener.accept()
            except OSError as error:
                if error.errno in {errno.EMFILE, errno.ENFILE, errno.ECONNABORTED}:
                    continue
                return  # closed: the service stops
            self._waiting.put(connection)

    def _work(self) -> None:
        while (connection := self._waiting.get()) is not None:
            with Conversation(connection) as conversation:
                try:
                    self._converse(conversation)
                except OSError as error:
                    log.warning("plugin process is gone", extra={"reason": str(error)})
                except Exception:  # the edge of a request: the worker lives on
                    log.exception("request failed by a bug of ours")

    def _converse(self, conversation: Conversation) -> None:
        call = None
        try:
            call = conversation.request()
            status, printed = 0, self.serve(call, conversation)
        except CniError as error:
            status, printed = 1, error.printed()
            self._log_refusal(call, error)
        except OSError:
            raise
        except Exception as error:  # a bug is told to the runtime, and logged
            log.exception("request failed by a bug of ours")
            status, printed = 1, CniError(FAILED, "internal error", repr(error)).printed()
        conversation.answer(status, printed)

    def _log_refusal(self, call: Call | None, error: CniError) -> None:
        facts = {"code": error.code, "reason": str(error)}
        if call is not None:
            facts |= {
                "command": call.command,
                "container": call.environment.get("CNI_CONTAINERID", ""),
            }
        log.warning("request refused", extra=facts)


class _Turns:
    """Lets one request at a time work on one endpoint."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._busy: set[str] = set()

    @contextmanager
    def of(self, key: str) -> Iterator[None]:
        """Hold the turn. Raises CniError if it does not come in time."""
        with self._changed:
            if not self._changed.wait_for(lambda: key not in self._busy, TURN_SECONDS):
                raise CniError(TRY_AGAIN, "another request for this endpoint is still under way")
            self._busy.add(key)
        try:
            yield
        finally:
            with self._changed:
                self._busy.discard(key)
                self._changed.notify_all()


def _aside(job: Callable[[], None]) -> None:
    """Do a job that takes the kernel milliseconds and nobody waits for."""

    def run() -> None:
        try:
            job()
        except KernelError as error:
            log.warning("a job aside failed", extra={"reason": str(error)})

    threading.Thread(target=run, name="cni-aside", daemon=True).start()


def _listen(path: Path) -> socket.socket:
    path.parent.mkdir(parents=True, exist_ok=True)
    if _is_alive(path):
        raise OSError(errno.EADDRINUSE, f"another agent listens on {path}")
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    mask = os.umask(0o177)  # before bind: nobody else may connect, not even for a moment
    try:
        listener.bind(str(path))
    finally:
        os.umask(mask)
    listener.listen(BACKLOG)
    return listener


def _is_alive(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
        return True
