"""Call CNI plugins as a container runtime does.

    /etc/cni/net.d/*.conflist of the node --> each plugin's configuration (stdin), CNI_* --> plugin
                                        `<-- result, handed to the next as prevResult

ADD goes through the list from the front, DEL from the back. A plugin that says "try again later"
(code 11) is asked again, for a while, as a kubelet would. Labels go into the configuration as
args.cni.labels, since there is no Kubernetes here to ask; so do addresses that a pod wishes for.

Source: CNI specification 1.1.0; conventions, "args".
"""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from msgspec import Struct

from calico.kernel.run import ProgramFailed, run
from calico.lab.fabric import entering, keeper
from calico.lab.patience import patient
from calico.lab.place import Place, read_record
from calico.lab.shape import Pod
from calico.lab.topology import LabError

CONFIGURATIONS = Path("etc/cni/net.d")
CNI_PATH = "/opt/cni/bin:/usr/lib/cni"
# Our own programs first: a shell inside a node finds calicoctl.
PATH = f"{Path(sys.executable).parent}:/usr/sbin:/usr/bin:/sbin:/bin"
ANSWER_SECONDS = 60.0
AGAIN_SECONDS = 5.0  # how long "try again later" is tried again
PAUSE_SECONDS = 0.25
TRY_AGAIN = 11

Result = dict[str, Any]


class Sandbox(Struct, frozen=True):
    """One container to be plugged in or out; `namespace` is a name in its node's /run/netns."""

    pod: Pod
    container_id: str
    namespace: str


class PluginFailed(LabError):
    """A plugin said no; `code` is its code, 0 if it said nothing."""

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text)
        self.code = code


def add(place: Place, sandbox: Sandbox) -> Result:
    """Plug a container in; return the last plugin's result. Raises PluginFailed."""
    conflist = read_conflist(place, sandbox.pod.node)
    result: Result = {}
    for plugin in conflist["plugins"]:
        result = _call(place, sandbox, "ADD", _configuration(conflist, plugin, sandbox.pod, result))
    return result


def delete(place: Place, sandbox: Sandbox, result: Mapping[str, Any]) -> None:
    """Plug a container out; `result` is what its ADD gave. Raises PluginFailed."""
    conflist = read_conflist(place, sandbox.pod.node)
    for plugin in reversed(conflist["plugins"]):
        _call(place, sandbox, "DEL", _configuration(conflist, plugin, sandbox.pod, result))


def is_ready(place: Place, node: str) -> bool:
    """Ask the first plugin whether an ADD could succeed now (STATUS)."""
    conflist = read_conflist(place, node)
    asked = {**conflist["plugins"][0], "cniVersion": "1.1.0", "name": conflist["name"]}
    try:
        _run_plugin(place, node, asked, {"CNI_COMMAND": "STATUS"})
    except ProgramFailed:
        return False
    return True


def read_conflist(place: Place, node: str) -> Mapping[str, Any]:
    """Read what a runtime would: the first list by name. Raises LabError."""
    folder = place.stations / node / CONFIGURATIONS
    files = sorted(folder.glob("*.conflist"))
    if not files:
        raise LabError(f"{node} has no CNI configuration (no *.conflist in {folder})")
    return read_record(files[0], dict) or {}


def _configuration(
    conflist: Mapping[str, Any], plugin: Mapping[str, Any], pod: Pod, result: Mapping[str, Any]
) -> dict[str, Any]:
    told: dict[str, Any] = {
        "labels": [{"key": key, "value": value} for key, value in pod.labels.items()]
    }
    if pod.wishes:
        told["ips"] = list(pod.wishes)
    return {
        "cniVersion": conflist["cniVersion"],
        "name": conflist["name"],
        **{key: value for key, value in plugin.items() if key != "capabilities"},
        "args": {"cni": told},
        **({"prevResult": result} if result else {}),
    }


def _call(place: Place, sandbox: Sandbox, command: str, asked: Mapping[str, Any]) -> Result:
    pod = sandbox.pod
    environment = {
        "CNI_COMMAND": command,
        "CNI_CONTAINERID": sandbox.container_id,
        "CNI_NETNS": f"/run/netns/{sandbox.namespace}",
        "CNI_IFNAME": "eth0",
        "CNI_ARGS": f"IgnoreUnknown=1;K8S_POD_NAMESPACE={pod.namespace};K8S_POD_NAME={pod.name};"
        f"K8S_POD_INFRA_CONTAINER_ID={sandbox.container_id}",
    }
    deadline = monotonic() + patient(AGAIN_SECONDS)
    while True:
        try:
            printed = _run_plugin(place, pod.node, asked, environment)
        except ProgramFailed as error:
            text, code = _said(error)
            if code != TRY_AGAIN or monotonic() > deadline:
                told = f"CNI {command} of {pod.full_name} on {pod.node}: {text}"
                raise PluginFailed(told, code) from error
            sleep(PAUSE_SECONDS)
        else:
            answer: Result = json.loads(printed) if printed.strip() else {}
            return answer


def _run_plugin(
    place: Place, node: str, asked: Mapping[str, Any], environment: Mapping[str, str]
) -> str:
    return run(
        (*entering(place, node), _find_plugin(place, node, str(asked["type"]))),
        stdin=json.dumps(asked),
        deadline_seconds=patient(ANSWER_SECONDS),
        environment={"PATH": PATH, "CNI_PATH": CNI_PATH, **environment},
    )


def _find_plugin(place: Place, node: str, name: str) -> str:
    root = Path(f"/proc/{keeper(place, node)}/root")
    for folder in CNI_PATH.split(":"):
        if (root / folder.lstrip("/") / name).exists():
            return f"{folder}/{name}"
    raise LabError(f"{node} has no CNI plugin called {name!r} in {CNI_PATH}")


def _said(error: ProgramFailed) -> tuple[str, int]:
    """Take the message and the code out of a plugin's answer."""
    try:
        answer = json.loads(error.out)
        words = (answer["msg"], answer.get("details", ""))
        return f"{': '.join(filter(None, words))} (code {answer['code']})", int(answer["code"])
    except (ValueError, KeyError, TypeError):
        return str(error), 0


def host_interface(result: Mapping[str, Any]) -> str:
    """Name the node's end of the cable: it comes first in a result."""
    interfaces: Sequence[Mapping[str, str]] = result.get("interfaces", ())
    return interfaces[0]["name"] if interfaces else ""


def addresses(result: Mapping[str, Any]) -> tuple[str, ...]:
    """List the addresses of a result, without prefix lengths."""
    return tuple(item["address"].partition("/")[0] for item in result.get("ips", ()))
