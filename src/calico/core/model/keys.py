"""Names of records: what a key means, and the path it has in the datastore.

    ResourceKey("NetworkPolicy", "shop", "web")  <-> .../networkpolicies/shop/web
    ResourceKey("Node", "", "node-a")            <-> .../nodes/node-a
    BlockKey("10.65.3.64/30")                    <-> .../assignment/ipv4/block/10.65.3.64-30
    BlockAffinityKey("host", "node-a", cidr)     <-> /calico/ipam/v2/host/node-a/ipv4/block/...
    HandleKey("k8s-pod-network.4f0c")            <-> /calico/ipam/v2/handle/k8s-pod-network.4f0c
    IpamConfigKey()                              <-> /calico/ipam/v2/config

Names are put in paths as they are; valid names hold no "/" or "%". On reading, the two escapes of
older releases are undone.

Invariant: key_of(path_of(key)) == key.
Source: libcalico-go/lib/backend/model; datastore-etcd 1.2, 1.9.
"""

import re
from functools import lru_cache
from typing import NamedTuple, TypeAlias

from calico.core.model.registry import KINDS, KINDS_BY_PLURAL
from calico.core.net.prefix import canonical_prefix, ip_version

ROOT_PREFIX = "/calico/"
RESOURCES_PREFIX = "/calico/resources/v3/projectcalico.org/"
IPAM_PREFIX = "/calico/ipam/v2/"
BLOCKS_PREFIX = "/calico/ipam/v2/assignment/"
HOST_AFFINITIES_PREFIX = "/calico/ipam/v2/host/"
VIRTUAL_AFFINITIES_PREFIX = "/calico/ipam/v2/virtual/"
HANDLES_PREFIX = "/calico/ipam/v2/handle/"
IPAM_CONFIG_PATH = "/calico/ipam/v2/config"

BLOCK = re.compile(r"assignment/ipv[46]/block/([^/]+)-([0-9]+)\Z")
AFFINITY = re.compile(r"(host|virtual)/([^/]+)/ipv[46]/block/([^/]+)-([0-9]+)\Z")


class ResourceKey(NamedTuple):
    """A resource; `namespace` is empty for kinds that have none."""

    kind: str
    namespace: str
    name: str


class BlockKey(NamedTuple):
    """An IPAM block, by its canonical CIDR."""

    cidr: str


class BlockAffinityKey(NamedTuple):
    """Who owns a block; the type is "host" or "virtual"."""

    affinity_type: str
    host: str
    cidr: str


class HandleKey(NamedTuple):
    """All addresses taken for one purpose."""

    handle_id: str


class IpamConfigKey(NamedTuple):
    """IPAM's settings; there is one record."""


Key: TypeAlias = ResourceKey | BlockKey | BlockAffinityKey | HandleKey | IpamConfigKey


def path_of(key: Key) -> str:
    """Return the datastore path of a key. Raises KeyError for an unknown kind."""
    match key:
        case ResourceKey(kind, namespace, name):
            return (
                f"{kind_prefix(kind)}{namespace}/{name}" if namespace else kind_prefix(kind) + name
            )
        case BlockKey(cidr):
            return f"{BLOCKS_PREFIX}ipv{ip_version(cidr)}/block/{cidr.replace('/', '-')}"
        case BlockAffinityKey(affinity_type, host, cidr):
            return f"{affinities_prefix(affinity_type, host)}ipv{ip_version(cidr)}/block/" + (
                cidr.replace("/", "-")
            )
        case HandleKey(handle_id):
            return HANDLES_PREFIX + handle_id
        case IpamConfigKey():
            return IPAM_CONFIG_PATH


def kind_prefix(kind: str) -> str:
    """Return what the paths of all resources of a kind start with."""
    return f"{RESOURCES_PREFIX}{KINDS[kind].plural}/"


def affinities_prefix(affinity_type: str, host: str) -> str:
    """Return what the paths of all affinities of one owner start with."""
    return f"{IPAM_PREFIX}{affinity_type}/{host}/"


def key_of(path: str) -> Key | None:
    """Return the key that a path stands for; None if it is not a record of ours."""
    if path.startswith(RESOURCES_PREFIX):
        return resource_key(path.removeprefix(RESOURCES_PREFIX))
    if path.startswith(IPAM_PREFIX):
        return ipam_key(path.removeprefix(IPAM_PREFIX))
    return None


def resource_key(path: str) -> ResourceKey | None:
    """Return the key of "<plural>/<name>" or "<plural>/<namespace>/<name>"."""
    plural, *names = path.split("/")
    info = KINDS_BY_PLURAL.get(plural)
    if info is None or len(names) != (2 if info.namespaced else 1) or not all(names):
        return None
    namespace = shared(unescape(names[0])) if info.namespaced else ""
    return ResourceKey(info.kind, namespace, unescape(names[-1]))


@lru_cache(maxsize=4_096)
def shared(namespace: str) -> str:
    """Return one and the same text for equal ones: ten thousand keys name fifty namespaces."""
    return namespace


def ipam_key(path: str) -> Key | None:
    """Return the key of a path below IPAM_PREFIX."""
    if path == "config":
        return IpamConfigKey()
    if path.startswith("handle/"):
        handle_id = path.removeprefix("handle/")
        return HandleKey(handle_id) if handle_id and "/" not in handle_id else None
    block, affinity = BLOCK.match(path), AFFINITY.match(path)
    try:
        if block is not None:
            return BlockKey(canonical_prefix(f"{block[1]}/{block[2]}"))
        if affinity is not None:
            cidr = canonical_prefix(f"{affinity[3]}/{affinity[4]}")
            return BlockAffinityKey(affinity[1], affinity[2], cidr)
    except ValueError:
        return None
    return None


def unescape(name: str) -> str:
    """Undo the escapes of older releases."""
    return name.replace("%2f", "/").replace("%25", "%")
