"""Deletions that a plugin process noted while no agent was running.

    /var/lib/calico/cni-deletes/<note> --once an agent runs--> DEL, no namespace --> note removed

A note is the request as the socket would have brought it. The namespace is gone or will be, and
the pair with it, so the datastore is what is left to tidy. One that cannot be read is dropped; one
that fails is tried again later. Another IPAM plugin (host-local) is run by us then, from the
CNI_PATH of the note: it keeps its leases in files of this machine.
"""

import logging
from collections.abc import Callable
from pathlib import Path

from calico.cni.errors import CniError, DelegateFailed
from calico.cni.wire import Call, PluginRunner, parse_call
from calico.kernel.run import ProgramFailed, run

DEFAULT_SOCKET = Path("/var/run/calico/cni.sock")
DEFAULT_FOLDER = Path("/var/lib/calico/cni-deletes")

log = logging.getLogger(__name__)


def folder_of(socket: Path) -> Path:
    """Give the folder in which plugin processes leave notes for the agent of this socket."""
    return DEFAULT_FOLDER if socket == DEFAULT_SOCKET else socket.parent / "cni-deletes"


def finish_deletes(folder: Path, serve: Callable[[Call, PluginRunner], object]) -> int:
    """Serve all notes, oldest first; give the number that could not be finished."""
    left = 0
    for note in _notes(folder):
        try:
            call = parse_call(note.read_bytes())
        except (OSError, CniError) as error:
            log.warning("note dropped", extra={"note": note.name, "reason": str(error)})
            note.unlink(missing_ok=True)
            continue
        try:
            serve(call, LocalRunner(call))
        except CniError as error:
            log.warning("deletion not finished", extra={"note": note.name, "reason": str(error)})
            left += 1
            continue
        note.unlink(missing_ok=True)
        log.info("deletion finished", extra={"container": call.environment.get("CNI_CONTAINERID")})
    return left


class LocalRunner:
    """Runs another plugin ourselves, for want of a plugin process."""

    def __init__(self, call: Call) -> None:
        self._call = call

    def run_plugin(self, plugin: str, command: str, config: bytes) -> bytes:
        """Run it with the note's environment. Raises DelegateFailed."""
        folders = self._call.environment.get("CNI_PATH", "").split(":")
        paths = [Path(folder) / plugin for folder in folders if folder]
        path = next((p for p in paths if p.is_file()), None)
        if path is None:
            raise DelegateFailed(f"no plugin {plugin} in {folders}".encode())
        environment = {**self._call.environment, "CNI_COMMAND": command}
        try:
            return run([str(path)], config.decode(), environment=environment).encode()
        except ProgramFailed as error:
            raise DelegateFailed(error.out.encode()) from error


def _notes(folder: Path) -> list[Path]:
    try:
        notes = [path for path in folder.iterdir() if path.suffix != ".new"]
        return sorted(notes, key=lambda path: path.stat().st_mtime_ns)
    except OSError:
        return []
