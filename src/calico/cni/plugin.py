"""The CNI executable: hands a runtime's request to the agent and prints the answer.

    runtime --environment, stdin--> this --frames, the namespace's descriptor--> cni/service.py
            <--stdout, exit status--     <--"R": the answer; or "X": run this IPAM plugin first

One file, standard library only, for `python3 -ISE`: the process lives about 10 ms, and json or
argparse alone would double that. It is `calico` or `calico-ipam`, by the name it is called by. It
opens CNI_NETNS, since it alone sees the runtime's mounts, and runs other IPAM plugins (host-local)
on the agent's word, since they belong to the runtime's environment.

No agent: a DEL succeeds and is noted on disk, the agent finishes it when it starts; all else says
"try again later" (code 11).

A frame is eight hexadecimal digits and so many bytes.
Source: CNI specification 1.1.0; shared/spec cni 4.1.
"""

import _socket
import os
import sys

VERSION = "0.1.0"
VERSIONS = ("0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0")
SOCKET = "/var/run/calico/cni.sock"
DELETES = "/var/lib/calico/cni-deletes"
WAIT_SECONDS = 90.0
TRY_AGAIN, IO_FAILURE = 11, 5


def main() -> int:
    """Serve one call; return the exit status."""
    name = os.path.basename(sys.argv[0])  # noqa: PTH119  # pathlib takes longer than all the rest
    environment = {k: v for k, v in os.environ.items() if k.startswith("CNI_")}
    command = environment.get("CNI_COMMAND", "")
    if "-t" in sys.argv[1:]:
        command = environment["CNI_COMMAND"] = "TEST"
    elif "-v" in sys.argv[1:] or not command:
        return tell_version(name, is_asked=bool(sys.argv[1:]))
    config = read_all(0)
    if command == "VERSION":
        supported = ", ".join(map(quoted, VERSIONS))
        return say(0, f'{{"cniVersion": "{VERSIONS[-1]}", "supportedVersions": [{supported}]}}')
    asked = os.environ.get("CALICO_CNI_SOCKET") or configured(config, b'"agent_socket"')
    path = asked or SOCKET
    request = packed((name, *(f"{k}={v}" for k, v in environment.items())), config)
    try:
        return ask(path, request, environment.get("CNI_NETNS", ""), config)
    except OSError as error:
        return without_agent(command, path, request, str(error))


def ask(path: str, request: bytes, netns: str, config: bytes) -> int:
    """Hand the request to the agent; do what it says until it has an answer."""
    agent = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    agent.settimeout(WAIT_SECONDS)
    agent.connect(path)
    send(agent, request, netns)
    while True:
        answer = receive(agent)
        if answer[:1] == b"R":
            return say(answer[1] - 48, answer[2:].decode())
        names, _, given = answer[1:].partition(b"\0\0")
        plugin, command = names.decode().split("\0")
        status, out = run_plugin(plugin, command, given or config)
        send(agent, b"%d" % status + out, "")


def send(agent: _socket.socket, payload: bytes, netns: str) -> None:
    """Send a frame, with the namespace's descriptor if it can be opened."""
    attached = []
    try:
        fd = os.open(netns, os.O_RDONLY | os.O_CLOEXEC) if netns else -1
    except OSError:
        fd = -1  # the agent sees that it is missing; a DEL may do without
    if fd >= 0:
        right = fd.to_bytes(4, sys.byteorder)
        attached.append((_socket.SOL_SOCKET, _socket.SCM_RIGHTS, right))
    frame = b"%08x" % len(payload) + payload
    rest = frame[agent.sendmsg([frame], attached) :]
    if rest:  # sending nothing fails, too, once the agent has answered and closed
        agent.sendall(rest)


def receive(agent: _socket.socket) -> bytes:
    """Receive a frame. Raises OSError if the agent goes away."""
    return exactly(agent, int(exactly(agent, 8), 16))


def exactly(agent: _socket.socket, count: int) -> bytes:
    """Receive so many bytes."""
    received = b""
    while len(received) < count:
        chunk = agent.recv(count - len(received))
        if not chunk:
            raise ConnectionResetError("the agent closed the connection")
        received += chunk
    return received


def run_plugin(plugin: str, command: str, config: bytes) -> tuple[int, bytes]:
    """Run another plugin from CNI_PATH; give its exit status and what it printed."""
    for folder in os.environ.get("CNI_PATH", "").split(":"):
        path = f"{folder}/{plugin}"
        if folder and os.access(path, os.X_OK):
            break
    else:
        text = f"no plugin {plugin} in CNI_PATH {os.environ.get('CNI_PATH', '')}"
        return 1, failure(IO_FAILURE, text, "install it there").encode()
    stdin, stdout = os.memfd_create("in"), os.memfd_create("out")  # files: no pipe can fill up
    os.write(stdin, config)
    os.lseek(stdin, 0, os.SEEK_SET)
    ends = [(os.POSIX_SPAWN_DUP2, stdin, 0), (os.POSIX_SPAWN_DUP2, stdout, 1)]
    environment = {**os.environ, "CNI_COMMAND": command}
    child = os.posix_spawn(path, [path], environment, file_actions=ends)
    _, status = os.waitpid(child, 0)
    os.lseek(stdout, 0, os.SEEK_SET)
    return int(status != 0), read_all(stdout)


def without_agent(command: str, path: str, request: bytes, reason: str) -> int:
    """Answer in the agent's place: remember a DEL, put off anything else."""
    if command == "DEL" and note_delete(path, request):
        return 0
    text = f"try again later: the Calico agent does not answer on {path}"
    return say(1, failure(TRY_AGAIN, text, f"start calico-node on this machine ({reason})"))


def note_delete(path: str, request: bytes) -> bool:
    """Leave a DEL on disk for the agent; tell whether that worked."""
    folder = DELETES if path == SOCKET else os.path.dirname(path) + "/cni-deletes"  # noqa: PTH120
    try:
        os.makedirs(folder, 0o700, exist_ok=True)  # noqa: PTH103
        name = f"{folder}/{os.getpid()}-{os.urandom(4).hex()}"
        fd = os.open(f"{name}.new", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        os.write(fd, request)
        os.fsync(fd)
        os.rename(f"{name}.new", name)  # noqa: PTH104  # whole, or not there at all
    except OSError:
        return False
    return True


def tell_version(name: str, *, is_asked: bool) -> int:
    """Say who we are: the bare version for `-v`, a sentence for a call without a command."""
    if is_asked:
        return say(0, VERSION)
    what = "IPAM" if name == "calico-ipam" else "plugin"
    os.write(2, f"Calico CNI {what} {VERSION}\nCNI protocol versions supported: ".encode())
    os.write(2, ", ".join(VERSIONS).encode() + b"\n")
    return 0


def packed(words: tuple[str, ...], config: bytes) -> bytes:
    """Put words and a configuration into one payload."""
    return "\0".join(words).encode(errors="surrogateescape") + b"\0\0" + config


def configured(config: bytes, key: bytes) -> str:
    """Find a text in the configuration without reading all of it."""
    _, found, rest = config.partition(key)
    parts = rest.split(b'"', 2)
    return parts[1].decode() if found and len(parts) == 3 and parts[0].strip() == b":" else ""


def failure(code: int, text: str, details: str) -> str:
    """Render an error as the runtime expects it."""
    return f'{{"code": {code}, "msg": {quoted(text)}, "details": {quoted(details)}}}'


def quoted(text: str) -> str:
    """Render a JSON string."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c >= " " else f"\\u{ord(c):04x}" for c in escaped) + '"'


def say(status: int, text: str) -> int:
    """Print the answer and pass the exit status on."""
    raw = text.encode() + b"\n" if text else b""
    while raw:
        raw = raw[os.write(1, raw) :]
    return status


def read_all(fd: int) -> bytes:
    """Read a file to its end."""
    chunks = []
    while chunk := os.read(fd, 1 << 16):
        chunks.append(chunk)
    return b"".join(chunks)


if __name__ == "__main__":
    sys.exit(main())
