"""DEL: unplug a container. It may come twice, early, late, or without a namespace.

    1 endpoint deleted, if it is this container's     a newer sandbox of the pod may own it
    2 wait until nothing of it is in the kernel
    3 pair removed
    4 addresses freed

So no address is handed out again while a rule or a route still speaks of it. Each step is the same
if it was done before; if the agent dies in between, the runtime's next DEL does the rest.

Source: shared/spec cni 4.7.
"""

from calico.cni import delegate, ipam, network
from calico.cni.errors import TRY_AGAIN, CniError
from calico.cni.request import Request, check_ready, read_endpoint
from calico.cni.settings import CALICO_IPAM
from calico.datastore.client import Conflict, Delete

ATTEMPTS = 5


def delete(request: Request) -> bytes:
    """Serve DEL. Raises CniError and what its callees raise."""
    check_ready(request.agent.store)
    is_ours = delete_endpoint(request)
    if is_ours:
        _wait_until_gone(request)
    _remove_pair(request, is_ours=is_ours)
    if request.config.ipam.type == CALICO_IPAM:
        ipam.release(request)
    else:
        delegate.delete(request)
    return b""


def delete_endpoint(request: Request) -> bool:
    """Delete the container's endpoint; False if a newer container has taken it over."""
    for _ in range(ATTEMPTS):
        endpoint, revision = read_endpoint(request)
        if not revision:
            return True
        owner = endpoint.spec.container_id if endpoint else ""
        if owner not in {"", request.identity.container}:
            return False
        try:
            request.agent.store.commit([Delete(request.identity.path, revision)])
        except Conflict:
            continue
        return True
    raise CniError(TRY_AGAIN, f"the endpoint {request.identity.path} keeps changing")


def _wait_until_gone(request: Request) -> None:
    reason = request.agent.gate.wait_until_gone(request.identity.key, request.agent.wait_seconds)
    if reason is not None:
        raise CniError(
            TRY_AGAIN, f"the endpoint {request.host_interface} is still in force", reason
        )


def _remove_pair(request: Request, *, is_ours: bool) -> None:
    """Remove the pair from inside; without a namespace by the host's end, if that is ours."""
    if request.call.namespace >= 0:
        network.remove_pair(request.identity.interface, request.call.namespace, request.agent.aside)
    elif is_ours:
        network.remove_host_end(request.host_interface)
