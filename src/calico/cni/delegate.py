"""Addresses from another IPAM plugin, which the plugin process runs for us.

    configuration --usePodCidr replaced--> host-local (in the runtime's environment) --> Result

`usePodCidr` and `usePodCidrIPv6` stand for the node's pod CIDRs; a DEL needs no real ones.

Source: shared/spec cni 4.2 (ipam.subnet, ipam.ranges), 4.4 step 5, 4.7.
"""

from collections.abc import Callable, Mapping, Sequence

import msgspec

from calico.cni.errors import BAD_CONFIG, CniError
from calico.cni.network import DEFAULT_ROUTES
from calico.cni.request import Request
from calico.cni.result import Result, parse_result
from calico.cni.settings import Json
from calico.core.model.codec import decode
from calico.core.model.keys import ResourceKey, path_of
from calico.core.model.node import Node
from calico.core.net.prefix import ip_version
from calico.datastore.client import NotFound

HOST_LOCAL = "host-local"
_ANY = {"usepodcidr": "0.0.0.0/0", "usepodcidripv6": "::/0"}


def add(request: Request) -> Result:
    """Let the IPAM plugin assign. Raises CniError, OSError."""
    plugin = request.config.ipam.type
    config = with_pod_cidrs(request.call.config, lambda word: _pod_cidr(request, word))
    result = parse_result(request.runner.run_plugin(plugin, "ADD", config), plugin)
    if not result.ips:
        raise CniError(BAD_CONFIG, f"the IPAM plugin {plugin} gave no address")
    return result


def delete(request: Request) -> None:
    """Let the IPAM plugin release. Raises CniError, OSError."""
    config = with_pod_cidrs(request.call.config, lambda word: _ANY[word])
    request.runner.run_plugin(request.config.ipam.type, "DEL", config)


def check(request: Request) -> None:
    """Let the IPAM plugin check what it gave. Raises CniError, OSError."""
    config = with_pod_cidrs(request.call.config, lambda word: _pod_cidr(request, word))
    request.runner.run_plugin(request.config.ipam.type, "CHECK", config)


def routes(request: Request) -> tuple[str, ...]:
    """List the container's routes: host-local's, if its configuration has some."""
    ipam = request.config.ipam
    own = tuple(route.dst for route in ipam.routes) if ipam.type == HOST_LOCAL else ()
    if own and request.config.include_default_routes:
        return (*DEFAULT_ROUTES, *own)
    return own or DEFAULT_ROUTES


def with_pod_cidrs(raw: bytes, pod_cidr: Callable[[str], str]) -> bytes:
    """Replace the words that stand for the node's pod CIDRs."""
    if b"usepodcidr" not in raw.lower():
        return raw
    tree: Json = msgspec.json.decode(raw)
    if isinstance(tree, dict) and isinstance(ipam := tree.get("ipam"), dict):
        tree = {**tree, "ipam": _replaced(ipam, pod_cidr)}
    return msgspec.json.encode(tree)


def _replaced(tree: Json, pod_cidr: Callable[[str], str], key: str = "") -> Json:
    match tree:
        case Mapping():
            return {name: _replaced(value, pod_cidr, name) for name, value in tree.items()}
        case str():
            is_word = key == "subnet" and tree.lower() in _ANY
            return pod_cidr(tree.lower()) if is_word else tree
        case Sequence():
            return [_replaced(value, pod_cidr, key) for value in tree]
        case _:
            return tree


def _pod_cidr(request: Request, word: str) -> str:
    node = request.agent.node
    try:
        record = decode(
            "Node", request.agent.store.get(path_of(ResourceKey("Node", "", node))).value
        )
    except NotFound:
        record = None
    cidrs = record.status.pod_cidrs if isinstance(record, Node) else ()
    version = 6 if word.endswith("ipv6") else 4
    for cidr in cidrs:
        if ip_version(cidr) == version:
            return cidr
    raise CniError(
        BAD_CONFIG,
        "the network configuration is not usable",
        f"ipam.subnet {word!r}: node {node} has no IPv{version} pod CIDR in status.podCIDRs; "
        "write a subnet",
    )
