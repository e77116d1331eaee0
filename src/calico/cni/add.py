"""ADD: plug a container in.

    1 pair made, one end in the container       undo: pair removed
    2 addresses + handle + WorkloadEndpoint,    undo: endpoint deleted, addresses freed
      one commit (or: another IPAM plugin,      undo: its DEL
      before 1, and the endpoint alone)
    3 addresses, routes, settings inside
    4 wait until the endpoint is in force at that commit's revision
    5 result

Any failure undoes what was done, last first, and the first error is told. If the agent dies in
between, the runtime's next ADD finds the endpoint of the same container and goes on with its
addresses, or its DEL removes all.

Source: shared/spec cni 4.4, 4.5.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial

import msgspec
from msgspec import Struct

from calico.cni import delegate, ipam, network
from calico.cni.delete import delete_endpoint
from calico.cni.endpoint import (
    Plug,
    addresses_of,
    host_network,
    network_profile,
    profile_path,
    workload_endpoint,
)
from calico.cni.errors import FAILED, TRY_AGAIN, CniError
from calico.cni.network import Pair
from calico.cni.request import (
    Request,
    check_namespace,
    check_ready,
    mtu_bytes,
    quietly,
    read_endpoint,
)
from calico.cni.result import Interface, Ip, Result, render_result
from calico.cni.settings import CALICO_IPAM
from calico.core.model.codec import encode
from calico.core.model.endpoint import WorkloadEndpoint
from calico.datastore.client import Change, Conflict, NotFound, Put
from calico.ipam.assign import Assignment

ATTEMPTS = 5  # of a commit, while somebody else changes the same endpoint


class Committed(Struct, frozen=True):
    """What the datastore holds of the container: its addresses, and since when."""

    addresses: tuple[str, ...]
    result: Result  # of address management: routes are passed on
    revision: int


def add(request: Request) -> bytes:
    """Serve ADD; give the result. Raises CniError and what its callees raise."""
    check_namespace(request.call)
    check_ready(request.agent.store)
    mtu = mtu_bytes(request.agent, request.config)
    with ExitStack() as undo:
        result = _delegated(request, undo)
        pair = Pair(
            host=request.host_interface,
            container=request.identity.interface,
            mtu_bytes=mtu,
            mac=request.config.runtime_config.mac,
            routes=delegate.routes(request),
            forwards=request.config.container_settings.allow_ip_forwarding,
            queues=max(request.config.num_queues, 1),
        )
        namespace = request.call.namespace
        undo.callback(quietly, "pair", partial(network.remove_host_end, pair.host))
        mac = network.create_pair(pair, namespace)
        committed = _commit(request, undo, mac, result)
        pair = msgspec.structs.replace(pair, addresses=committed.addresses)
        network.configure(pair, namespace)
        _wait_until_in_force(request, committed.revision)
        undo.pop_all()
    return render_result(_result(request, pair, mac, committed), request.config.version)


def _delegated(request: Request, undo: ExitStack) -> Result | None:
    """Ask another IPAM plugin; None if address management is ours."""
    if request.config.ipam.type == CALICO_IPAM:
        return None
    undo.callback(quietly, "IPAM plugin's ADD", partial(delegate.delete, request))
    return delegate.add(request)


def _commit(request: Request, undo: ExitStack, mac: str, result: Result | None) -> Committed:
    """Write the endpoint, together with its addresses if they are ours to give."""
    for _ in range(ATTEMPTS):
        found = read_endpoint(request)
        result = result or _kept(request, found[0])
        if not _is_ours(request, found[0]):  # a commit without an answer may have been made, too
            undo.callback(quietly, "endpoint", partial(_take_back, request))
        try:
            if result is None:
                undo.callback(quietly, "addresses", partial(ipam.release, request))
                return _assign(request, mac, found)
            return _write_endpoint(request, mac, result, found)
        except Conflict:
            continue  # whoever changed it: look again, and decide again
    raise CniError(TRY_AGAIN, f"the endpoint {request.identity.path} keeps changing")


def _is_ours(request: Request, endpoint: WorkloadEndpoint | None) -> bool:
    return endpoint is not None and endpoint.spec.container_id == request.identity.container


def _kept(request: Request, endpoint: WorkloadEndpoint | None) -> Result | None:
    """Give the addresses that an earlier ADD of this very container got, if all are there."""
    if endpoint is None or not _is_ours(request, endpoint):
        return None
    held = ipam.held(request)
    addresses = {given.address for given in held}
    if not held or addresses != set(addresses_of(endpoint)):
        return None
    return ipam.result_of(held, is_whole=ipam.is_named(request))


def _assign(request: Request, mac: str, found: tuple[WorkloadEndpoint | None, int]) -> Committed:
    def also(assignment: Assignment) -> Sequence[Change]:
        return _changes(request, mac, [given.address for given in assignment.all], found)

    assignment, revision = ipam.assign(request, also)
    addresses = tuple(given.address for given in assignment.all)
    result = ipam.result_of(assignment.all, is_whole=ipam.is_named(request))
    return Committed(addresses, result, revision)


def _write_endpoint(
    request: Request, mac: str, result: Result, found: tuple[WorkloadEndpoint | None, int]
) -> Committed:
    addresses = tuple(ip.host for ip in result.ips)
    revision = request.agent.store.commit(_changes(request, mac, addresses, found))
    return Committed(addresses, result, revision)


def _changes(
    request: Request,
    mac: str,
    addresses: Sequence[str],
    found: tuple[WorkloadEndpoint | None, int],
) -> list[Change]:
    existing, revision = found
    plug = Plug(request.host_interface, mac, tuple(addresses))
    now = request.agent.now()
    endpoint = workload_endpoint(request.identity, request.config, plug, now, existing)
    changes: list[Change] = [Put(request.identity.path, encode(endpoint), revision)]
    if not request.config.is_kubernetes and not _exists(request, profile_path(request.config.name)):
        path, record = network_profile(request.identity, request.config, now)
        changes.append(Put(path, record, expected=0))
    return changes


def _exists(request: Request, path: str) -> bool:
    try:
        request.agent.store.get(path)
    except NotFound:
        return False
    return True


def _take_back(request: Request) -> None:
    if delete_endpoint(request):
        request.agent.gate.wait_until_gone(request.identity.key, request.agent.wait_seconds)


def _wait_until_in_force(request: Request, revision: int) -> None:
    reason = request.agent.gate.wait_until_in_force(
        request.identity.key, revision, request.agent.wait_seconds
    )
    if reason is not None:
        raise CniError(
            TRY_AGAIN, f"the endpoint {request.host_interface} is not in force yet", reason
        )


def _result(request: Request, pair: Pair, mac: str, committed: Committed) -> Result:
    if not committed.addresses:
        raise CniError(FAILED, "no address was assigned")
    sandbox = request.call.environment.get("CNI_NETNS", "")
    mine = Interface(pair.container, mac, pair.mtu_bytes, sandbox)
    return Result(
        interfaces=(Interface(pair.host), mine),
        ips=tuple(Ip(host_network(address), interface=1) for address in committed.addresses),
        routes=committed.result.routes,
        dns=committed.result.dns,
    )
