"""What a Node and the standing questions to one may say.

Source: libcalico-go/lib/validator/v3/validator.go, CRD schemas; datastore-etcd 1.2.5.
"""

from base64 import b64decode
from binascii import Error
from collections.abc import Iterator, Mapping

from calico.core.model.constraints import (
    Check,
    address_of,
    all_of,
    any_network,
    each,
    fields,
    network,
    no_repeats,
    number,
    of_version,
    one_of,
    parts,
    problem,
)
from calico.core.model.endpoint_checks import mac
from calico.core.model.naming import dns_name, metadata
from calico.core.model.node import Node, NodeBGPSpec
from calico.core.model.node_status import CalicoNodeStatus
from calico.core.model.problem import Problem


def public_key(path: str, value: object) -> Iterator[Problem]:
    """Allow WireGuard public keys: 32 bytes in base64."""
    try:
        size = len(b64decode(str(value), validate=True))
    except (Error, ValueError):
        size = 0
    if size != 32:
        yield from problem(path, value, "must be a WireGuard public key: 32 bytes in base64")


NODE_CHECKS: Mapping[str, Check] = {
    "bgp": parts(
        {
            "ipv4_address": all_of(any_network, of_version(4)),
            "ipv6_address": all_of(any_network, of_version(6)),
            "ipv4_ipip_tunnel_addr": address_of(4),
            "route_reflector_cluster_id": address_of(4),
        }
    ),
    "ipv4_vxlan_tunnel_addr": address_of(4),
    "vxlan_tunnel_mac_addr": mac,
    "ipv6_vxlan_tunnel_addr": address_of(6),
    "vxlan_tunnel_mac_addr_v6": mac,
    "wireguard": parts(
        {"interface_ipv4_address": address_of(4), "interface_ipv6_address": address_of(6)}
    ),
    "addresses": each(
        parts({"address": network, "type": one_of("CalicoNodeIP", "InternalIP", "ExternalIP")})
    ),
    "interfaces": each(parts({"name": dns_name})),
}
STATUS_CHECKS: Mapping[str, Check] = {
    "wireguard_public_key": public_key,
    "wireguard_public_key_v6": public_key,
}


def check_node(node: Node) -> Iterator[Problem]:
    """Yield all that is wrong with a node."""
    yield from metadata(node.metadata)
    yield from fields(node.spec, "spec", NODE_CHECKS)
    yield from fields(node.status, "status", STATUS_CHECKS)
    if node.spec.bgp == NodeBGPSpec():
        yield from problem("spec.bgp", "{}", "must not be empty; leave it out")


def check_node_status(status: CalicoNodeStatus) -> Iterator[Problem]:
    """Yield all that is wrong with a standing question to a node."""
    yield from metadata(status.metadata)
    classes = all_of(no_repeats, each(one_of("Agent", "BGP", "Routes")))
    checks = {"node": dns_name, "classes": classes, "update_period_seconds": number(0, 86400)}
    yield from fields(status.spec, "spec", checks)
    required = {
        "node": status.spec.node,
        "classes": status.spec.classes,
        "updatePeriodSeconds": status.spec.update_period_seconds is not None,
    }
    for name in (name for name, given in required.items() if not given):
        yield from problem(f"spec.{name}", "", "is required")
