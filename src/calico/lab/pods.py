"""Pods, made as a container runtime makes them: a namespace, CNI ADD, then what runs inside.

    add_pod     ip netns add --> each plugin of the conflist: ADD --> the responder
    delete_pod  the responder ends --> each plugin, last first: DEL --> ip netns delete

What ADD answered is remembered: DEL is given it, and the addresses stand in it. A pod is
remembered before its ADD; if that fails the pod is taken away again, as a runtime does.
"""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from msgspec import Struct
from msgspec.structs import replace

from calico.core.analysis.matrix import Party, Port
from calico.kernel.run import run
from calico.lab import responder, runtime
from calico.lab.fabric import entering, keeper
from calico.lab.place import Place, read_records, write_record
from calico.lab.processes import PYTHON, recall, start, stop
from calico.lab.runtime import PluginFailed, Sandbox
from calico.lab.shape import Pod
from calico.lab.topology import LabError

SERVICE_ACCOUNT = "default"


class PodRecord(Struct, frozen=True):
    """A pod of the lab. `addresses` is empty until its ADD has answered."""

    pod: Pod
    container_id: str
    addresses: tuple[str, ...] = ()
    interface: str = ""  # the node's end of its cable
    result: Mapping[str, Any] = {}

    @property
    def namespace(self) -> str:
        """The name of its network namespace, on its node."""
        return f"{self.pod.namespace}_{self.pod.name}"

    @property
    def sandbox(self) -> Sandbox:
        """The pod, as a runtime names it."""
        return Sandbox(self.pod, self.container_id, self.namespace)

    @property
    def party(self) -> Party:
        """The pod, as questions name it."""
        return Party(self.pod.full_name, self.pod.node, self.addresses)


def add_pod(place: Place, pod: Pod) -> PodRecord:
    """Make a pod and wait until it answers. Raises LabError with what the plugin said."""
    if pod.full_name in pods(place):
        raise LabError(f"pod {pod.full_name} exists: delete it first, or choose another name")
    record = PodRecord(pod, uuid4().hex)
    inside = entering(place, pod.node)
    run((*inside, "sh", "-c", 'ip netns add "$0" && ip -n "$0" link set lo up', record.namespace))
    write_record(_file(place, pod), record)
    try:
        result = runtime.add(place, record.sandbox)
    except PluginFailed:
        with suppress(PluginFailed):  # then it stays, half-made, for delete_pod to try again
            delete_pod(place, record)
        raise
    record = replace(
        record,
        addresses=runtime.addresses(result),
        interface=runtime.host_interface(result),
        result=result,
    )
    write_record(_file(place, pod), record)
    program = responder_words(pod.full_name, pod.ports)
    start(place, _role(pod), pod.node, (*entering_pod(place, record), *program))
    return record


def responder_words(name: str, ports: Iterable[Port]) -> tuple[str, ...]:
    """Give the words that run a responder, with a host name of its own."""
    answered = (f"{protocol}/{port}" for protocol, port in ports)
    return ("unshare", "-u", *PYTHON, responder.__file__, name, *answered)


def delete_pod(place: Place, record: PodRecord) -> None:
    """Delete a pod and all it had. Raises LabError with what the plugin said."""
    stop(place, _role(record.pod))
    runtime.delete(place, record.sandbox, record.result)
    if namespace_path(place, record).exists():
        run((*entering(place, record.pod.node), "ip", "netns", "delete", record.namespace))
    _file(place, record.pod).unlink()


def forget_sandbox(place: Place, record: PodRecord) -> None:
    """Clean up after a pod whose node went down with it; its namespace is gone already."""
    runtime.delete(place, record.sandbox, record.result)
    _file(place, record.pod).unlink()


def pods(place: Place) -> dict[str, PodRecord]:
    """List the pods that are remembered, by full name."""
    found = read_records(place.pods, PodRecord).values()
    return {record.pod.full_name: record for record in found}


def find_pod(place: Place, full_name: str) -> PodRecord:
    """Look a pod up. Raises LabError."""
    try:
        return pods(place)[full_name]
    except KeyError as error:
        known = ", ".join(pods(place)) or "none"
        raise LabError(f"no pod is called {full_name!r}; there are: {known}") from error


def entering_pod(place: Place, record: PodRecord) -> tuple[str, ...]:
    """Give the words that run a program inside a pod: its network and name, its node's files."""
    node = keeper(place, record.pod.node)
    running = recall(place, _role(record.pod))
    uts = f"--uts=/proc/{running.pid if running else node}/ns/uts"
    network = f"--net={namespace_path(place, record)}"
    return ("nsenter", "-t", str(node), "-m", uts, network, "--")


def namespace_path(place: Place, record: PodRecord) -> Path:
    """Say where this machine sees a pod's network namespace."""
    pid = keeper(place, record.pod.node)
    return Path(f"/proc/{pid}/root/run/netns", record.namespace)


def is_answering(place: Place, record: PodRecord) -> bool:
    """Tell whether the pod's responder runs."""
    return recall(place, _role(record.pod)) is not None


def _role(pod: Pod) -> str:
    return f"pod-{pod.namespace}_{pod.name}"


def _file(place: Place, pod: Pod) -> Path:
    return place.pods / f"{pod.namespace}_{pod.name}"
