"""One request with all that serving it needs, checked before anything is touched.

    Call + Agent --prepare--> Request {configuration, identity} --> add, delete, check ...

Source: shared/spec cni 4.3, 4.4 steps 1 and 2, datastore-etcd 1.4.
"""

import logging
import time
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from calico.cni.errors import (
    BAD_CONFIG,
    BAD_ENVIRONMENT,
    FAILED,
    IO_FAILURE,
    TRY_AGAIN,
    CniError,
)
from calico.cni.gate import EndpointGate
from calico.cni.identity import Identity, parse_identity
from calico.cni.network import Aside, check_foreign
from calico.cni.settings import NetworkConfig, parse_config
from calico.cni.wire import Call, PluginRunner
from calico.core.model.cluster import ClusterInformation
from calico.core.model.codec import decode
from calico.core.model.endpoint import WorkloadEndpoint
from calico.core.model.keys import ResourceKey, path_of
from calico.core.model.problem import InvalidResource
from calico.datastore.client import Datastore, DatastoreError, NotFound
from calico.ipam.assigner import Assigner
from calico.ipam.errors import IpamError
from calico.kernel.netlink import KernelError

CLUSTER = path_of(ResourceKey("ClusterInformation", "", "default"))

log = logging.getLogger(__name__)


def at_once(job: Callable[[], None]) -> None:
    """Do it here and now, for want of another thread."""
    job()


class Agent(Struct, frozen=True, kw_only=True):
    """What the service works with. `now` gives nanoseconds since 1970; `aside` is the service's."""

    node: str
    store: Datastore
    assigner: Assigner
    gate: EndpointGate
    interface_prefix: str = "cali"
    mtu_file: Path = Path("/var/lib/calico/mtu")
    wait_seconds: float = 30.0  # for an endpoint to come into force, or to go
    now: Callable[[], int] = time.time_ns
    aside: Aside = at_once


class Request(Struct, frozen=True):
    """One request about one container."""

    agent: Agent
    call: Call
    runner: PluginRunner
    config: NetworkConfig
    identity: Identity

    @property
    def handle(self) -> str:
        """The handle of the container's addresses."""
        return self.identity.handle(self.config.name)

    @property
    def host_interface(self) -> str:
        """The name of the host's end."""
        return self.identity.host_interface(self.agent.interface_prefix)


def prepare(agent: Agent, call: Call, runner: PluginRunner) -> Request:
    """Read and check a request. Raises CniError."""
    config = parse_config(call.config, for_delete=call.command == "DEL")
    if not call.environment.get("CNI_PATH"):
        raise CniError(BAD_ENVIRONMENT, "required env variables [CNI_PATH] missing")
    identity = parse_identity(call.environment, agent.node)
    if config.nodename not in {"", agent.node}:
        text = f"nodename {config.nodename!r} is not this node, which is {agent.node!r}"
        raise CniError(
            BAD_CONFIG, "the network configuration is not usable", f"{text}: leave nodename out"
        )
    return Request(agent, call, runner, config, identity)


def check_namespace(call: Call) -> None:
    """Make sure that the container's namespace came with the request. Raises CniError."""
    path = call.environment.get("CNI_NETNS", "")
    if not path:
        raise CniError(BAD_ENVIRONMENT, "required env variables [CNI_NETNS] missing")
    if call.namespace < 0:
        raise CniError(IO_FAILURE, f"failed to open netns {path!r}", "does it exist?")
    if call.environment.get("CNI_NETNS_OVERRIDE", "").lower() not in {"1", "true"}:
        check_foreign(call.namespace)


def check_ready(store: Datastore) -> None:
    """Make sure that the datastore may be used. Raises CniError."""
    try:
        record = decode("ClusterInformation", store.get(CLUSTER).value)
    except NotFound:
        raise CniError(
            TRY_AGAIN,
            "Calico is currently not ready to process requests",
            "ClusterInformation default does not exist yet; start calico-node on a node",
        ) from None
    except InvalidResource as error:
        raise CniError(FAILED, "ClusterInformation default is unreadable", str(error)) from error
    if not (isinstance(record, ClusterInformation) and record.spec.datastore_ready):
        raise CniError(
            TRY_AGAIN,
            "Calico is currently not ready to process requests",
            "ClusterInformation default says datastoreReady false: an upgrade or migration is on",
        )


def read_endpoint(request: Request) -> tuple[WorkloadEndpoint | None, int]:
    """Read the container's endpoint and its revision; (None, 0) if it has none."""
    try:
        entry = request.agent.store.get(request.identity.path)
    except NotFound:
        return None, 0
    try:
        endpoint = decode("WorkloadEndpoint", entry.value)
    except InvalidResource as error:
        log.warning("record is unreadable", extra={"path": entry.path, "reason": str(error)})
        return None, entry.revision  # written over
    return (endpoint, entry.revision) if isinstance(endpoint, WorkloadEndpoint) else (None, 0)


def mtu_bytes(agent: Agent, config: NetworkConfig) -> int:
    """Give the MTU of the pair; 0 leaves it to the kernel. Raises CniError."""
    if config.mtu:
        return config.mtu
    try:
        text = agent.mtu_file.read_text().strip()
    except FileNotFoundError:
        if config.require_mtu_file:
            raise CniError(
                TRY_AGAIN,
                f"the MTU file {agent.mtu_file} does not exist yet",
                "require_mtu_file is set; the agent writes it when it knows the MTU",
            ) from None
        return 0
    except OSError as error:
        raise CniError(FAILED, f"cannot read the MTU file {agent.mtu_file}", str(error)) from error
    if not text.isdigit():
        raise CniError(FAILED, f"the MTU file {agent.mtu_file} holds no number", repr(text))
    return int(text)


def quietly(what: str, undo: Callable[[], object]) -> None:
    """Undo something; what fails is logged, since the first error is the one to tell."""
    try:
        undo()
    except (DatastoreError, IpamError, KernelError, CniError, OSError) as error:
        log.warning("could not undo", extra={"what": what, "reason": str(error)})
