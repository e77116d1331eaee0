"""GC: release what belongs to containers that a runtime no longer knows.

    valid attachments --+
    this node's endpoints of the network --+--> those of no valid container --> deleted
    this node's addresses of the network --+                               `--> freed

An endpoint is of the network if an address handle or its profile says so. The runtime promises
that no ADD or DEL of the network is under way.

Source: CNI specification 1.1.0, "GC".
"""

from msgspec import Struct

from calico.cni import network
from calico.cni.errors import TRY_AGAIN, CniError
from calico.cni.request import Agent
from calico.cni.settings import NetworkConfig
from calico.core.intent.keys import EndpointKey
from calico.core.ipam.affinity import host
from calico.core.ipam.garbage import allocations
from calico.core.model.codec import decode
from calico.core.model.endpoint import WorkloadEndpoint
from calico.core.model.endpoint_names import name_parts
from calico.core.model.keys import kind_prefix
from calico.core.model.problem import InvalidResource
from calico.datastore.client import Conflict, Delete, Entry
from calico.ipam.errors import NotAllocated
from calico.ipam.release import ReleaseHandle
from calico.ipam.usage import read_blocks


class Found(Struct, frozen=True):
    """An endpoint of this node, as it was read."""

    entry: Entry
    endpoint: WorkloadEndpoint


def collect(agent: Agent, config: NetworkConfig) -> bytes:
    """Serve GC. Raises CniError, DatastoreError."""
    valid = {(a.container_id, a.ifname) for a in config.valid_attachments or ()}
    living = {container for container, _ in valid}
    handles = {h for h in _handles(agent, config.name) if _container(h, config.name) not in living}
    for found in _endpoints(agent):
        spec = found.endpoint.spec
        of_network = f"{config.name}.{spec.container_id}" in handles or config.name in spec.profiles
        if of_network and (spec.container_id, spec.endpoint) not in valid:
            _delete(agent, found)
    for handle in sorted(handles):
        try:
            agent.assigner.ask(ReleaseHandle(handle))
        except NotAllocated:
            continue
    return b""


def _endpoints(agent: Agent) -> list[Found]:
    found = []
    for entry in agent.store.list(kind_prefix("WorkloadEndpoint")).entries:
        try:
            endpoint = decode("WorkloadEndpoint", entry.value)
        except InvalidResource:
            continue
        if isinstance(endpoint, WorkloadEndpoint) and endpoint.spec.node == agent.node:
            found.append(Found(entry, endpoint))
    return found


def _handles(agent: Agent, name: str) -> set[str]:
    """Find the handles of the network's addresses on this node."""
    owner, found = host(agent.node), set()
    for block in read_blocks(agent.store):
        for allocation in allocations(block):
            node = (allocation.holder.secondary or {}).get("node")
            is_here = node == agent.node or (node is None and block.affinity == owner)
            if is_here and allocation.holder.handle.startswith(f"{name}."):
                found.add(allocation.holder.handle)
    return found


def _container(handle: str, name: str) -> str:
    return handle.removeprefix(f"{name}.")


def _delete(agent: Agent, found: Found) -> None:
    """Delete an endpoint as a DEL would. One that changes meanwhile is somebody's: left alone."""
    try:
        agent.store.commit([Delete(found.entry.path, found.entry.revision)])
    except Conflict:
        return
    endpoint = found.endpoint
    parts = name_parts(endpoint.spec)
    workload = f"{endpoint.metadata.namespace}/{parts.workload}"
    key = EndpointKey(parts.orchestrator, workload, parts.endpoint)
    reason = agent.gate.wait_until_gone(key, agent.wait_seconds)
    if reason is not None:
        raise CniError(
            TRY_AGAIN, f"the endpoint {endpoint.spec.interface_name} is still in force", reason
        )
    network.remove_host_end(endpoint.spec.interface_name)
