"""Who a request is about: read from the runtime's environment.

    CNI_CONTAINERID, CNI_IFNAME, CNI_ARGS --> Identity: orchestrator, workload, endpoint, names

With a pod's name and namespace among CNI_ARGS it is a Kubernetes pod, otherwise a container of a
runtime, in the namespace `default`.

Source: shared/spec cni 4.3, datastore-kubernetes 2.5 (name of the interface), CNI specification.
"""

import hashlib
import re
from collections.abc import Mapping

from msgspec import Struct

from calico.cni.errors import BAD_ENVIRONMENT, CniError
from calico.core.intent.keys import EndpointKey
from calico.core.model.endpoint_names import EndpointName, render_endpoint_name
from calico.core.model.keys import ResourceKey, path_of

_CONTAINER = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*\Z")
_INTERFACE = re.compile(r"[^/:\s]{1,15}\Z")


class Identity(Struct, frozen=True):
    """The workload endpoint of one request."""

    node: str
    orchestrator: str  # "k8s" or "cni"
    namespace: str
    workload: str  # the pod, or the container
    container: str
    interface: str
    args: Mapping[str, str] = {}

    @property
    def key(self) -> EndpointKey:
        """The endpoint as the agent's loop knows it."""
        return EndpointKey(self.orchestrator, f"{self.namespace}/{self.workload}", self.interface)

    @property
    def endpoint_name(self) -> str:
        """The name of the WorkloadEndpoint. Raises CniError if none can be made of the parts."""
        parts = EndpointName(self.node, self.orchestrator, self.workload, self.interface)
        try:
            return render_endpoint_name(parts)
        except ValueError as error:
            raise CniError(BAD_ENVIRONMENT, "the endpoint cannot be named", str(error)) from error

    @property
    def path(self) -> str:
        """The path of the WorkloadEndpoint."""
        return path_of(ResourceKey("WorkloadEndpoint", self.namespace, self.endpoint_name))

    def host_interface(self, prefix: str) -> str:
        """Name the host's end of the pair."""
        if self.orchestrator != "k8s":
            return prefix + self.container[:11]
        text = f"{self.namespace}.{self.workload}".encode()
        return prefix + hashlib.sha1(text, usedforsecurity=False).hexdigest()[:11]

    def handle(self, network: str) -> str:
        """Name the handle of its addresses."""
        return f"{network}.{self.container}"


def parse_identity(environment: Mapping[str, str], node: str) -> Identity:
    """Read the identity. Raises CniError."""
    missing = [v for v in ("CNI_CONTAINERID", "CNI_IFNAME") if not environment.get(v)]
    if missing:
        names = ",".join(missing)
        raise CniError(BAD_ENVIRONMENT, f"required env variables [{names}] missing")
    container, interface = environment["CNI_CONTAINERID"], environment["CNI_IFNAME"]
    if not _CONTAINER.match(container):
        raise CniError(BAD_ENVIRONMENT, "invalid CNI_CONTAINERID", container)
    if not _INTERFACE.match(interface) or interface in {".", ".."}:
        raise CniError(BAD_ENVIRONMENT, "invalid CNI_IFNAME", interface)
    args = parse_args(environment.get("CNI_ARGS", ""))
    pod, namespace = args.get("K8S_POD_NAME", ""), args.get("K8S_POD_NAMESPACE", "")
    if pod and namespace:
        return Identity(node, "k8s", namespace, pod, container, interface, args)
    namespace = args.get("CNI_TEST_NAMESPACE", "default")
    return Identity(node, "cni", namespace, container, container, interface, args)


def parse_args(text: str) -> dict[str, str]:
    """Read CNI_ARGS, "IgnoreUnknown=1;K8S_POD_NAME=web-0". Raises CniError."""
    args = {}
    for part in filter(None, text.split(";")):
        key, equals, value = part.partition("=")
        if not equals:
            raise CniError(BAD_ENVIRONMENT, "invalid CNI_ARGS pair", part)
        args[key] = value
    return args
