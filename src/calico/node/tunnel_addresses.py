"""Give this node's tunnels their addresses, from the pools that ask for tunnels.

    IPPools --eligible, by tunnel--+--> keep, or release and assign --> Node, written once
    Node: present addresses -------+

A tunnel whose pools are gone gives its address back. An address stays as long as it is this
tunnel's in IPAM, and in a pool that still asks for the tunnel; so a restart changes nothing.

A kernel without IPIP gives that tunnel no address: others would send what nobody receives.

The end of a turn is the signal to look: by then the agent has made the devices that the pools ask
for. Other nodes send into a tunnel as soon as they read its address here, so what receives must be
there first.

Failure: what was newly assigned is released, and everything is tried again with backoff.
Source: shared/spec datastore-etcd 1.10; node/pkg/allocateip/allocateip.go.
"""

import logging
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from ipaddress import ip_address, ip_network
from typing import Literal, Protocol, TypeVar, cast

from msgspec import Struct
from msgspec.structs import replace

from calico.core.ipam.pools import selects, usable_pool
from calico.core.model.keys import ResourceKey
from calico.core.model.metadata import Resource
from calico.core.model.node import Node, NodeBGPSpec
from calico.core.model.pool import IPPool
from calico.core.model.problem import InvalidResource
from calico.datastore.client import Datastore, DatastoreError
from calico.datastore.resource_errors import UpdateConflict
from calico.datastore.resources import Resources
from calico.ipam.assign import Assign, AssignAddress
from calico.ipam.desk import Request
from calico.ipam.errors import IpamError, NotAllocated, Taken
from calico.ipam.release import Release, ReleaseAddresses, ReleaseHandle
from calico.ipam.usage import holder_of
from calico.kernel.netlink import KernelError
from calico.telemetry.log import Repeats

log = logging.getLogger(__name__)

FIRST_RETRY_SECONDS, LAST_RETRY_SECONDS = 0.5, 30.0
WRITE_ATTEMPTS = 5
_STOP_SECONDS = 10.0

T = TypeVar("T")


class Tunnel(Struct, frozen=True):
    """A tunnel that has an address: how IPAM and Node know it."""

    type: str  # in IPAM's attributes
    handle_prefix: str
    kind: str  # of the kernel's links
    version: Literal[4, 6]
    asks: Callable[[IPPool], bool]
    read: Callable[[Node], str]
    write: Callable[[Node, str], Node]


class Asker(Protocol):
    """ipam.assigner.Assigner, as needed here."""

    def ask(self, request: Request[T]) -> tuple[T, int]:
        """Wait for the answer. Raises IpamError, DatastoreError."""
        ...


def _asks_vxlan(pool: IPPool) -> bool:
    return pool.spec.vxlan_mode in {"Always", "CrossSubnet"}


def _asks_ipip(pool: IPPool) -> bool:
    return pool.spec.ipip_mode in {"Always", "CrossSubnet"}


def _write_ipip(node: Node, address: str) -> Node:
    bgp = replace(node.spec.bgp or NodeBGPSpec(), ipv4_ipip_tunnel_addr=address)
    return replace(node, spec=replace(node.spec, bgp=None if bgp == NodeBGPSpec() else bgp))


TUNNELS = (
    Tunnel(
        type="ipipTunnelAddress",
        handle_prefix="ipip-tunnel-addr-",
        kind="ipip",
        version=4,
        asks=_asks_ipip,
        read=lambda node: (node.spec.bgp or NodeBGPSpec()).ipv4_ipip_tunnel_addr,
        write=_write_ipip,
    ),
    Tunnel(
        type="vxlanTunnelAddress",
        handle_prefix="vxlan-tunnel-addr-",
        kind="vxlan",
        version=4,
        asks=_asks_vxlan,
        read=lambda node: node.spec.ipv4_vxlan_tunnel_addr,
        write=lambda node, address: replace(
            node, spec=replace(node.spec, ipv4_vxlan_tunnel_addr=address)
        ),
    ),
    Tunnel(
        type="vxlanV6TunnelAddress",
        handle_prefix="vxlan-v6-tunnel-addr-",
        kind="vxlan",
        version=6,
        asks=_asks_vxlan,
        read=lambda node: node.spec.ipv6_vxlan_tunnel_addr,
        write=lambda node, address: replace(
            node, spec=replace(node.spec, ipv6_vxlan_tunnel_addr=address)
        ),
    ),
)


def eligible(tunnel: Tunnel, pools: Sequence[IPPool], labels: Mapping[str, str]) -> tuple[str, ...]:
    """List the CIDRs of the pools that this tunnel of a node may have its address from."""
    found = []
    for record in pools:
        pool = usable_pool(record)
        if pool is None or pool.unusable or not tunnel.asks(record):
            continue
        fits = pool.network.version == tunnel.version and "Tunnel" in pool.uses
        if fits and selects(pool.node_selector, labels):
            found.append(pool.cidr)
    return tuple(sorted(found))


class TunnelAddresses:
    """One node's. `settle` does all of it; one thread calls it."""

    def __init__(
        self, store: Datastore, asker: Asker, node: str, link_kinds: Callable[[], Collection[str]]
    ) -> None:
        """`link_kinds` says what links the kernel can make; it is asked when a pool asks."""
        self._store, self._asker, self._node = store, asker, node
        self._link_kinds = link_kinds
        self._kinds: Collection[str] | None = None
        self._resources = Resources(store)

    def settle(self) -> None:
        """Bring addresses and Node in line with the pools. Raises IpamError, DatastoreError."""
        pools = [one for one in self._resources.list("IPPool").items if isinstance(one, IPPool)]
        node = self._read()
        assigned: list[str] = []  # handles
        try:
            addresses = {
                tunnel.type: self._settled(tunnel, node, pools, assigned) for tunnel in TUNNELS
            }
            self._write(addresses)
        except (IpamError, DatastoreError):
            for handle in assigned:
                self._release(handle)
            raise

    def _settled(
        self, tunnel: Tunnel, node: Node, pools: Sequence[IPPool], assigned: list[str]
    ) -> str:
        """Return the address that a tunnel should have, "" for none."""
        cidrs = eligible(tunnel, pools, node.metadata.labels)
        present, handle = tunnel.read(node), tunnel.handle_prefix + self._node
        if not cidrs or not self._can_be(tunnel):
            if present:
                self._release(handle)
            return ""
        if present and self._is_kept(tunnel, present, cidrs):
            return present
        self._release(handle)
        request = Assign(
            handle=handle,
            attributes={"node": self._node, "type": tunnel.type},
            use="Tunnel",
            ipv4=1 if tunnel.version == 4 else 0,
            ipv6=1 if tunnel.version == 6 else 0,
            ipv4_pools=cidrs if tunnel.version == 4 else (),
            ipv6_pools=cidrs if tunnel.version == 6 else (),
        )
        assignment, _ = self._asker.ask(request)
        assigned.append(handle)
        return assignment.all[0].address

    def _can_be(self, tunnel: Tunnel) -> bool:
        if self._kinds is None:
            self._kinds = self._link_kinds()
        if tunnel.kind in self._kinds:
            return True
        facts = {"tunnel": tunnel.kind, "fix": "set ipipMode to Never, or use vxlanMode"}
        log.error("pools ask for a tunnel that this kernel does not have", extra=facts)
        return False

    def _is_kept(self, tunnel: Tunnel, present: str, cidrs: Sequence[str]) -> bool:
        try:
            holder = holder_of(self._store, present)
        except NotAllocated:
            return False
        secondary = holder.secondary or {}
        if not secondary and holder.handle_id is None:
            return self._is_made_ours(tunnel, present)
        is_ours = (secondary.get("type"), secondary.get("node")) == (tunnel.type, self._node)
        return is_ours and any(_is_in(present, cidr) for cidr in cidrs)

    def _is_made_ours(self, tunnel: Tunnel, present: str) -> bool:
        """Take over an address of old times, which says of nobody that it is theirs."""
        self._asker.ask(ReleaseAddresses((Release(present),)))
        request = AssignAddress(
            addresses=(present,),
            handle=tunnel.handle_prefix + self._node,
            attributes={"node": self._node, "type": tunnel.type},
        )
        try:
            self._asker.ask(request)
        except Taken:
            return False
        return True

    def _release(self, handle: str) -> None:
        try:
            self._asker.ask(ReleaseHandle(handle))
        except NotAllocated:
            return

    def _read(self) -> Node:
        return cast(Node, self._resources.get(ResourceKey("Node", "", self._node)))

    def _write(self, addresses: Mapping[str, str]) -> None:
        for _ in range(WRITE_ATTEMPTS):
            stored = self._read()
            wanted = stored
            for tunnel in TUNNELS:
                wanted = tunnel.write(wanted, addresses[tunnel.type])
            if wanted == stored:
                return
            try:
                self._resources.update(wanted)
            except UpdateConflict:
                continue
            log.info("tunnel addresses", extra={k: v for k, v in addresses.items() if v})
            return
        raise IpamError(f"Node {self._node} is written by somebody else all the time")


class TunnelAddressKeeper:
    """The thread, and what tells it when to look."""

    def __init__(self, addresses: TunnelAddresses) -> None:
        self._addresses = addresses
        self._pools_changed = True
        self._is_due = threading.Event()
        self._stopped = False
        self._failures = Repeats()
        self._thread = threading.Thread(target=self._run, name="tunnel-addresses", daemon=True)

    def set_resource(self, key: ResourceKey, value: Resource | None, revision: int = 0) -> None:  # noqa: ARG002  # the signature is every consumer's
        """Note that pools have changed; called by the loop."""
        self._pools_changed |= key.kind == "IPPool"

    def end_turn(self) -> None:
        """Have it looked at, if pools have changed; the devices are there now."""
        if self._pools_changed:
            self._pools_changed = False
            self._is_due.set()

    def start(self) -> None:
        """Begin to wait."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread; one that waits for the datastore is left to end by itself."""
        self._stopped = True
        self._is_due.set()
        self._thread.join(_STOP_SECONDS)

    def _run(self) -> None:
        retry_seconds: float | None = None
        pause = FIRST_RETRY_SECONDS
        while True:
            self._is_due.wait(retry_seconds)
            if self._stopped:
                return
            self._is_due.clear()
            try:
                self._addresses.settle()
            except (IpamError, DatastoreError, InvalidResource, KernelError) as error:
                if times := self._failures.note("tunnel addresses", str(error)):
                    facts = {"reason": str(error), "times": times}
                    log.warning("no tunnel address, will retry", extra=facts)
                retry_seconds = pause
                pause = min(pause * 2, LAST_RETRY_SECONDS)
            else:
                retry_seconds, pause = None, FIRST_RETRY_SECONDS


def _is_in(address: str, cidr: str) -> bool:
    return ip_address(address) in ip_network(cidr)
