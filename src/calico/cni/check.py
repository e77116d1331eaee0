"""CHECK and STATUS: whether a container is as ADD left it, and whether an ADD can succeed now.

    CHECK    record, addresses, pair, routes and rules of one container; every lack in one error
    STATUS   datastore reachable and ready

Source: CNI specification 1.1.0, "CHECK", "STATUS". (The original's CHECK checks nothing.)
"""

from calico.cni import delegate, ipam, network
from calico.cni.endpoint import addresses_of
from calico.cni.errors import FAILED, NOT_AVAILABLE, VERSION, CniError
from calico.cni.network import Pair
from calico.cni.request import Agent, Request, check_namespace, check_ready, read_endpoint
from calico.cni.result import parse_result
from calico.cni.settings import CALICO_IPAM, is_at_least
from calico.core.model.endpoint import WorkloadEndpoint
from calico.datastore.client import DatastoreError

WAIT_SECONDS = 5.0


def require_version(version: str, least: str, command: str) -> None:
    """Refuse a command that the configuration's version does not know. Raises CniError."""
    if not is_at_least(version, least):
        raise CniError(VERSION, f"config version does not allow {command}")


def check(request: Request) -> bytes:
    """Serve CHECK. Raises CniError that lists all that is not as it should be."""
    check_namespace(request.call)
    check_ready(request.agent.store)
    endpoint, revision = read_endpoint(request)
    if endpoint is None:
        raise CniError(FAILED, f"the endpoint {request.identity.endpoint_name} does not exist")
    missing = [*_record_faults(request, endpoint), *_address_faults(request, endpoint)]
    pair = Pair(
        host=endpoint.spec.interface_name,
        container=request.identity.interface,
        addresses=addresses_of(endpoint),
        routes=delegate.routes(request),
    )
    missing += network.what_is_missing(pair, request.call.namespace)
    reason = request.agent.gate.wait_until_in_force(request.identity.key, revision, WAIT_SECONDS)
    if reason is not None:
        missing.append(f"the endpoint is not in force: {reason}")
    if missing:
        raise CniError(FAILED, "the container is not as it was added", "; ".join(missing))
    return b""


def status(agent: Agent) -> bytes:
    """Serve STATUS. Raises CniError: code 50, no ADD can succeed now."""
    try:
        check_ready(agent.store)
    except (DatastoreError, CniError) as error:
        raise CniError(NOT_AVAILABLE, "no container can be added now", str(error)) from error
    return b""


def _record_faults(request: Request, endpoint: WorkloadEndpoint) -> list[str]:
    faults = []
    if endpoint.spec.container_id != request.identity.container:
        faults.append(f"the endpoint belongs to container {endpoint.spec.container_id}")
    if endpoint.spec.node != request.agent.node:
        faults.append(f"the endpoint belongs to node {endpoint.spec.node}")
    if request.config.previous_result:
        previous = parse_result(bytes(request.config.previous_result), "the ADD before")
        present = set(addresses_of(endpoint))
        faults += [
            f"the endpoint does not have address {ip.host}"
            for ip in previous.ips
            if ip.interface is not None and ip.host not in present
        ]
    return faults


def _address_faults(request: Request, endpoint: WorkloadEndpoint) -> list[str]:
    if request.config.ipam.type != CALICO_IPAM:
        delegate.check(request)
        return []
    present = {given.address for given in ipam.held(request)}
    return [
        f"address {address} is not allocated to the container"
        for address in addresses_of(endpoint)
        if address not in present
    ]
