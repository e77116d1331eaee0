"""Register this node, and what a cluster needs to exist, before the agent starts.

    name --> addresses --> Node (written only if something changed) --> pools, defaults
         --> file with the node's name, for the CNI plugin and the next start

Failure: StartupError says which setting is wrong and how to mend it; DatastoreError is the
caller's to wait out. Nothing is half done: each record is one write, and every step can be run
again.

Source: shared/spec bgp-confd 5.1.
"""

import logging
from collections.abc import Mapping, Sequence
from ipaddress import ip_interface
from socket import gethostname
from typing import TypeVar, cast

from msgspec import Struct
from msgspec.structs import replace

from calico.core.model.keys import ResourceKey
from calico.core.model.metadata import Metadata, Resource
from calico.core.model.node import Node, NodeBGPSpec, NodeInterface, NodeSpec, OrchRef
from calico.core.net.detection import Interface, Version, detect, parse_method
from calico.datastore.initialize import ensure_initialized
from calico.datastore.resource_errors import AlreadyExists, DoesNotExist, UpdateConflict
from calico.datastore.resources import Resources
from calico.kernel.interfaces import read_interfaces
from calico.node.addresses import Decided, StartupError, decide, wishes
from calico.node.defaults import ensure_defaults
from calico.node.interfaces import answers_bgp, ask_world
from calico.node.paths import Paths

log = logging.getLogger(__name__)

WRITE_ATTEMPTS = 5
AnyResource = TypeVar("AnyResource", bound=Resource)


class Registered(Struct, frozen=True):
    """The node as it is in the datastore, and how its addresses were found."""

    node: Node
    how: Mapping[Version, Decided]


def node_name(environment: Mapping[str, str], paths: Paths) -> str:
    """Name this node: NODENAME, the file of last time, HOSTNAME, the kernel's name."""
    if name := environment.get("NODENAME", "").strip():
        return name
    try:
        if name := paths.nodename.read_text().strip():
            return name
    except OSError:
        pass
    return (environment.get("HOSTNAME") or gethostname()).strip().lower()


def start_up(
    resources: Resources, environment: Mapping[str, str], name: str, paths: Paths
) -> Registered:
    """Do all of it. Raises StartupError, DatastoreError."""
    ensure_initialized(resources, cluster_type=environment.get("CLUSTER_TYPE", ""))
    registered = register(resources, environment, name)
    ensure_defaults(resources, environment, registered.node)
    paths.nodename.parent.mkdir(parents=True, exist_ok=True)
    written = paths.nodename.with_suffix(".new")
    written.write_text(name)
    written.chmod(0o644)
    written.replace(paths.nodename)
    for version, decided in registered.how.items():
        facts = {"family": f"IPv{version}", "address": decided.address, "how": decided.how}
        log.info("node address", extra=facts)
    return registered


def register(resources: Resources, environment: Mapping[str, str], name: str) -> Registered:
    """Get or build the Node, bring it up to date. Raises StartupError, DatastoreError."""
    for _ in range(WRITE_ATTEMPTS):
        stored = _find(resources, name)
        wanted, how = _wanted(stored, environment, name)
        _refuse_twin(stored, wanted, environment)
        if stored is not None and wanted == stored:
            return Registered(stored, how)
        _refuse_conflicts(resources, wanted, environment)
        try:
            if stored is None:
                return Registered(cast(Node, resources.create(wanted)), how)
            return Registered(cast(Node, resources.update(wanted)), how)
        except (AlreadyExists, UpdateConflict, DoesNotExist):
            continue  # somebody was quicker: decide again from what is there now
    raise StartupError(f"Node {name} is written by somebody else all the time; is its name unique?")


def _find(resources: Resources, name: str) -> Node | None:
    try:
        return cast(Node, resources.get(ResourceKey("Node", "", name)))
    except DoesNotExist:
        return None


def _wanted(
    stored: Node | None, environment: Mapping[str, str], name: str
) -> tuple[Node, Mapping[Version, Decided]]:
    node = stored or Node(metadata=Metadata(name=name), spec=NodeSpec())
    bgp = node.spec.bgp or NodeBGPSpec()
    how: dict[Version, Decided] = {}
    if environment.get("CALICO_NETWORKING_BACKEND") != "none":
        interfaces = read_interfaces()
        known: dict[Version, str] = {4: bgp.ipv4_address, 6: bgp.ipv6_address}
        for version, wish in wishes(environment).items():
            how[version] = decide(wish, version, known[version], interfaces, ask_world)
        bgp = replace(bgp, ipv4_address=how[4].address, ipv6_address=how[6].address)
        if not (bgp.ipv4_address or bgp.ipv6_address):
            raise StartupError("the node has neither an IPv4 nor an IPv6 address; set IP or IP6")
        node = _with_interfaces(node, environment, interfaces)
    if number := environment.get("AS", "").strip():
        bgp = replace(bgp, as_number=_as_number(number))
    spec = replace(node.spec, bgp=None if bgp == NodeBGPSpec() else bgp)
    if reference := environment.get("CALICO_K8S_NODE_REF", "").strip():
        spec = replace(spec, orch_refs=(OrchRef(reference, "k8s"),))
    return replace(node, spec=spec), how


def _with_interfaces(
    node: Node, environment: Mapping[str, str], interfaces: Sequence[Interface]
) -> Node:
    wanted = [v for v, wish in wishes(environment).items() if wish.value not in {"", "none"}]
    found: tuple[NodeInterface, ...] = ()
    if wanted:
        everything = parse_method("first-found")
        accepted: dict[str, list[str]] = {}
        for version in wanted:
            for candidate in detect(everything, interfaces, version).considered:
                if not candidate.refused:
                    address = candidate.address.partition("/")[0]
                    accepted.setdefault(candidate.interface, []).append(address)
        found = tuple(NodeInterface(name, tuple(accepted[name])) for name in sorted(accepted))
    return replace(node, spec=replace(node.spec, interfaces=found))


def _as_number(text: str) -> int:
    high, dot, low = text.partition(".")
    try:
        number = (int(high) << 16) + int(low) if dot else int(text)
    except ValueError:
        number = -1
    if not 0 <= number <= 0xFFFFFFFF:
        raise StartupError(f"AS={text!r} is no AS number; write 64512, or 1.100 for 65636")
    return number


def _refuse_twin(stored: Node | None, wanted: Node, environment: Mapping[str, str]) -> None:
    """Refuse the name of another machine that is alive: each would undo the other's Node.

    A machine whose address changed finds its old one answering no more; another machine of the
    same name answers there, by BGP.
    """
    if environment.get("DISABLE_NODE_IP_CHECK") == "true" or stored is None:
        return
    old, new = stored.spec.bgp or NodeBGPSpec(), wanted.spec.bgp or NodeBGPSpec()
    ours = {str(ip_interface(text).ip) for each in read_interfaces() for text in each.addresses}
    for before, after, asked in (
        (old.ipv4_address, new.ipv4_address, environment.get("IP", "")),
        (old.ipv6_address, new.ipv6_address, environment.get("IP6", "")),
    ):
        address = before.partition("/")[0]
        # An address that IP names may be another machine's way to us, such as a NAT's; one that
        # is only kept because nothing was asked must be here, like one that was detected.
        is_given = asked != "" and address == after.partition("/")[0]
        if address not in {"", *ours} and not is_given and answers_bgp(address):
            raise StartupError(
                f"Node {wanted.metadata.name} is registered with {address}, where another "
                "machine answers BGP: two machines have this name. Give this one its own by "
                "NODENAME, or stop the other"
            )


def _refuse_conflicts(resources: Resources, wanted: Node, environment: Mapping[str, str]) -> None:
    """Refuse an address that another node has: routes to both would be lost."""
    if environment.get("DISABLE_NODE_IP_CHECK") == "true" or wanted.spec.bgp is None:
        return
    ours = {
        address.partition("/")[0]
        for address in (wanted.spec.bgp.ipv4_address, wanted.spec.bgp.ipv6_address)
        if address
    }
    for other in resources.list("Node").items:
        if not isinstance(other, Node) or other.metadata.name == wanted.metadata.name:
            continue
        bgp = other.spec.bgp or NodeBGPSpec()
        for address in (bgp.ipv4_address, bgp.ipv6_address):
            if address and address.partition("/")[0] in ours:
                raise StartupError(
                    f"Node {wanted.metadata.name}: {address.partition('/')[0]} is the address of "
                    f"Node {other.metadata.name} already; give one of them another address (IP, "
                    "IP6), or delete the other Node if it is gone"
                )
