"""Delete a node with all that was its own, so that nothing of it is left behind.

    addresses of its endpoints and tunnels --> its endpoints --> its blocks --> its peers, settings,
    host endpoints --> the Node itself, last

The Node goes last: whoever is interrupted can do it again, and finds what is left by the node's
name alone. What is gone already is no error.

IPAM is a room above: whoever calls this gives its two functions (`NodeAddresses`).

Source: shared/spec datastore-etcd 1.2.5; libcalico-go/lib/clientv3/node.go.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Protocol

from calico.core.model.bgp import BGPPeer
from calico.core.model.endpoint import HostEndpoint, WorkloadEndpoint
from calico.core.model.keys import ResourceKey
from calico.core.model.metadata import Resource
from calico.core.model.node import Node
from calico.core.net.prefix import address_part
from calico.datastore.resource_errors import DoesNotExist, NotSupported
from calico.datastore.resources import Resources, resource_key


class NodeAddresses(Protocol):
    """What IPAM does when a node goes. Neither minds what is free already."""

    def release_addresses(self, addresses: Sequence[str]) -> None:
        """Free these addresses."""
        ...

    def release_node(self, node: str) -> None:
        """Give back every block of a node, and forget it."""
        ...


def delete_node(
    resources: Resources, name: str, addresses: NodeAddresses, resource_version: str = ""
) -> Resource | None:
    """Delete a node and what belongs to it; return the Node. Raises DoesNotExist, at the end."""
    endpoints = _endpoints_of(resources, name)
    taken = [address_part(net) for endpoint in endpoints for net in endpoint.spec.ip_networks]
    addresses.release_addresses([*taken, *_tunnel_addresses(resources, name)])
    for endpoint in endpoints:
        _delete(resources, resource_key(endpoint))
    addresses.release_node(name)
    for key in _belongings(resources, name):
        _delete(resources, key)
    return resources.delete(ResourceKey(Node.__name__, "", name), resource_version)


def _endpoints_of(resources: Resources, name: str) -> list[WorkloadEndpoint]:
    return [
        endpoint
        for endpoint in resources.list(WorkloadEndpoint.__name__).items
        if isinstance(endpoint, WorkloadEndpoint) and endpoint.spec.node == name
    ]


def _tunnel_addresses(resources: Resources, name: str) -> Iterator[str]:
    """Yield the IPv4 tunnel addresses; Calico leaves the others to its collector."""
    with suppress(DoesNotExist):
        node = resources.get(ResourceKey(Node.__name__, "", name))
        if not isinstance(node, Node):
            return
        spec = node.spec
        found = (
            spec.bgp.ipv4_ipip_tunnel_addr if spec.bgp is not None else "",
            spec.ipv4_vxlan_tunnel_addr,
            spec.wireguard.interface_ipv4_address if spec.wireguard is not None else "",
        )
        yield from (address_part(address) for address in found if address)


def _belongings(resources: Resources, name: str) -> Iterator[ResourceKey]:
    for peer in resources.list(BGPPeer.__name__).items:
        if isinstance(peer, BGPPeer) and peer.spec.node == name:
            yield resource_key(peer)
    for kind in ("FelixConfiguration", "BGPConfiguration"):
        yield ResourceKey(kind, "", f"node.{name}")
    for endpoint in resources.list(HostEndpoint.__name__).items:
        if isinstance(endpoint, HostEndpoint) and endpoint.spec.node == name:
            yield resource_key(endpoint)


def _delete(resources: Resources, key: ResourceKey) -> None:
    with suppress(DoesNotExist, NotSupported):
        resources.delete(key)
