"""The plugin `calico-ipam`, and the addresses of our own containers.

    assign_request(request) --> Assign or AssignAddress, by what the configuration asks for
    calico-ipam ADD, DEL, CHECK: the same for whatever main plugin called

Two ADDs of one container get the same addresses: what the handle holds is given again.

Source: shared/spec cni 4.8.
"""

from collections.abc import Sequence
from ipaddress import ip_network

from calico.cni.endpoint import attributes
from calico.cni.errors import FAILED, CniError
from calico.cni.request import Request
from calico.cni.result import Ip, Result, Route, parse_result, render_result
from calico.core.ipam.assign import Given
from calico.core.ipam.times import go_time
from calico.core.net.prefix import ip_version
from calico.ipam.assign import Also, Assign, AssignAddress, Assignment, nothing_else
from calico.ipam.errors import NoFreeAddress, NotAllocated
from calico.ipam.release import ReleaseHandle
from calico.ipam.usage import given_by_handle


def assign(request: Request, also: Also = nothing_else) -> tuple[Assignment, int]:
    """Assign the container's addresses, and commit `also` with them; give the revision too.

    Raises CniError, IpamError, DatastoreError.
    """
    try:
        return request.agent.assigner.ask(assign_request(request, also))
    except NoFreeAddress as error:
        version = "IPv6" if "IPv6" in str(error).partition(";")[0] else "IPv4"
        raise CniError(FAILED, f"failed to request {version} addresses: {error}") from error


def assign_request(request: Request, also: Also = nothing_else) -> Assign | AssignAddress:
    """Say what to ask address management for."""
    config = request.config
    described = attributes(request.identity, go_time(request.agent.now()))
    asked = wanted_addresses(request)
    if asked:
        return AssignAddress(
            addresses=asked,
            handle=request.handle,
            attributes=described,
            use="Workload",
            also=also,
        )
    return Assign(
        handle=request.handle,
        attributes=described,
        use="Workload",
        ipv4=int(config.ipam.wants_ipv4),
        ipv6=int(config.ipam.wants_ipv6),
        ipv4_pools=config.ipam.ipv4_pools,
        ipv6_pools=config.ipam.ipv6_pools,
        namespace=request.identity.namespace,
        also=also,
    )


def wanted_addresses(request: Request) -> tuple[str, ...]:
    """List the addresses that were asked for by name: CNI_ARGS, then the configuration."""
    named = request.identity.args.get("IP", "")
    return (named.partition("/")[0],) if named else request.config.ips


def is_named(request: Request) -> bool:
    """Tell whether the addresses were asked for by name: such results have no block's length."""
    return bool(wanted_addresses(request))


def held(request: Request) -> tuple[Given, ...]:
    """List what the container holds already."""
    try:
        return given_by_handle(request.agent.store, request.handle)
    except NotAllocated:
        return ()


def release(request: Request) -> None:
    """Free all addresses of the container; that there are none is fine."""
    try:
        request.agent.assigner.ask(ReleaseHandle(request.handle))
    except NotAllocated:
        return


def result_of(given: Sequence[Given], *, is_whole: bool = False) -> Result:
    """Render addresses as the original does: with the length of their block, routes alike."""
    ips = []
    for one in given:
        length = ip_network(one.block).prefixlen
        if is_whole:
            length = 32 if ip_version(one.address) == 4 else 128
        ips.append(f"{one.address}/{length}")
    return Result(ips=tuple(map(Ip, ips)), routes=tuple(map(Route, ips)))


def add(request: Request) -> bytes:
    """Serve `calico-ipam` ADD."""
    given = held(request)
    if not given:
        given = assign(request)[0].all
    result = result_of(given, is_whole=is_named(request))
    return render_result(result, request.config.cni_version or "0.1.0")


def delete(request: Request) -> bytes:
    """Serve `calico-ipam` DEL."""
    release(request)
    return b""


def check(request: Request) -> bytes:
    """Serve `calico-ipam` CHECK: the addresses of the earlier result must still be ours."""
    present = {given.address for given in held(request)}
    if not present:
        raise CniError(FAILED, f"no address is allocated under the handle {request.handle}")
    if request.config.previous_result:
        previous = parse_result(bytes(request.config.previous_result), "the ADD before")
        for ip in previous.ips:
            if ip.host not in present:
                raise CniError(
                    FAILED, f"address {ip.host} is not allocated to {request.identity.container}"
                )
    return b""
