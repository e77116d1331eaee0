"""Pods, made as a container runtime makes them: a namespace, CNI ADD, then what runs inside.

    add_pod     ip netns add --> each plugin of the conflist: ADD --> the responder
    delete_pod  the responder ends --> each plugin, last first: DEL --> ip netns delete

The network configuration is the node's own /etc/cni/net.d/*.conflist. Labels go into it as
args.cni.labels, since there is no Kubernetes here to ask. What ADD answered is remembered: DEL
and CHECK are given it, and the addresses stand in it.

A pod is remembered before its ADD, so one that was half-made can be deleted.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

from msgspec import Struct
from msgspec.structs import replace

from calico.core.analysis.matrix import Party, Port
from calico.kernel.run import ProgramFailed, run
from calico.lab import responder
from calico.lab.fabric import entering, keeper
from calico.lab.place import Place, read_record, read_records, write_record
from calico.lab.processes import PYTHON, recall, start, stop
from calico.lab.shape import Pod
from calico.lab.topology import LabError

CNI_PATH = "/opt/cni/bin:/usr/lib/cni"
CONFIGURATIONS = Path("etc/cni/net.d")
SERVICE_ACCOUNT = "default"
ADD_SECONDS = 60.0


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
    result = _call_plugins(place, record, "ADD")
    record = replace(
        record,
        addresses=tuple(item["address"].partition("/")[0] for item in result.get("ips", ())),
        interface=_host_interface(result),
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


def _host_interface(result: Mapping[str, Any]) -> str:
    """Name the node's end: it comes first in a result."""
    interfaces: Sequence[Mapping[str, str]] = result.get("interfaces", ())
    return interfaces[0]["name"] if interfaces else ""


def delete_pod(place: Place, record: PodRecord) -> None:
    """Delete a pod and all it had. Raises LabError with what the plugin said."""
    stop(place, _role(record.pod))
    _call_plugins(place, record, "DEL")
    if namespace_path(place, record).exists():
        run((*entering(place, record.pod.node), "ip", "netns", "delete", record.namespace))
    _file(place, record.pod).unlink()


def forget_sandbox(place: Place, record: PodRecord) -> None:
    """Clean up after a pod whose node went down with it; its namespace is gone already."""
    _call_plugins(place, record, "DEL")
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


def _conflist(place: Place, node: str) -> Mapping[str, Any]:
    """Read what a runtime would: the first file by name."""
    folder = place.stations / node / CONFIGURATIONS
    files = sorted(folder.glob("*.conflist"))
    if not files:
        raise LabError(f"{node} has no CNI configuration (no *.conflist in {folder})")
    found = read_record(files[0], dict)
    return found or {}


def _call_plugins(place: Place, record: PodRecord, command: str) -> dict[str, Any]:
    conflist = _conflist(place, record.pod.node)
    plugins: Sequence[Mapping[str, Any]] = conflist["plugins"]
    result: dict[str, Any] = dict(record.result)
    for plugin in plugins if command == "ADD" else reversed(plugins):
        asked = _plugin_configuration(conflist, plugin, record.pod)
        if result:
            asked["prevResult"] = result
        answer = _call_plugin(place, record, command, asked)
        result = answer if command == "ADD" else result
    return result


def _plugin_configuration(
    conflist: Mapping[str, Any], plugin: Mapping[str, Any], pod: Pod
) -> dict[str, Any]:
    """Make one plugin's configuration of the list's, as the CNI specification says."""
    labels = [{"key": key, "value": value} for key, value in pod.labels.items()]
    told: dict[str, Any] = {"labels": labels}
    if pod.wishes:
        told["ips"] = list(pod.wishes)
    return {
        "cniVersion": conflist["cniVersion"],
        "name": conflist["name"],
        **{key: value for key, value in plugin.items() if key != "capabilities"},
        "args": {"cni": told},
    }


def _call_plugin(
    place: Place, record: PodRecord, command: str, asked: Mapping[str, Any]
) -> dict[str, Any]:
    pod = record.pod
    environment = {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "CNI_COMMAND": command,
        "CNI_CONTAINERID": record.container_id,
        "CNI_NETNS": f"/run/netns/{record.namespace}",
        "CNI_IFNAME": "eth0",
        "CNI_PATH": CNI_PATH,
        "CNI_ARGS": f"IgnoreUnknown=1;K8S_POD_NAMESPACE={pod.namespace};K8S_POD_NAME={pod.name};"
        f"K8S_POD_INFRA_CONTAINER_ID={record.container_id}",
    }
    program = _find_plugin(place, pod.node, str(asked["type"]))
    try:
        printed = run(
            (*entering(place, pod.node), program),
            stdin=json.dumps(asked),
            deadline_seconds=ADD_SECONDS,
            environment=environment,
        )
    except ProgramFailed as error:
        raise LabError(f"CNI {command} of {pod.full_name} on {pod.node}: {_said(error)}") from error
    answer: dict[str, Any] = json.loads(printed) if printed.strip() else {}
    return answer


def _find_plugin(place: Place, node: str, name: str) -> str:
    root = Path(f"/proc/{keeper(place, node)}/root")
    for folder in CNI_PATH.split(":"):
        if (root / folder.lstrip("/") / name).exists():
            return f"{folder}/{name}"
    raise LabError(f"{node} has no CNI plugin called {name!r} in {CNI_PATH}")


def _said(error: ProgramFailed) -> str:
    """Take the message out of a plugin's answer."""
    try:
        answer = json.loads(error.out)
        return f"{answer['msg']} {answer.get('details', '')} (code {answer['code']})"
    except (ValueError, KeyError, TypeError):
        return str(error)
