"""The workload endpoints of this node, one for each interface.

    WorkloadEndpoint records of this node --> LocalEndpoints --> {key: endpoint, without its
                                                                  tiers; None once gone}

Two records may claim one interface for a while (a pod re-created under another name, an old
record left over); the smaller key has it, and the other is as if it were not there.

Invariant: no two reported endpoints share an interface.
Source: felix/dataplane/linux/endpoint_mgr.go; datastore-etcd 1.2.4.
"""

from collections.abc import Mapping

from calico.core.calc.contributors import host_member, readable
from calico.core.intent.endpoints import QosControls, WorkloadEndpoint
from calico.core.intent.keys import EndpointKey
from calico.core.model import endpoint as model
from calico.core.model.endpoint_names import (
    EndpointName,
    endpoint_name_prefix,
    parse_endpoint_name,
)
from calico.core.net.prefix import canonical_prefix, is_ipv6


def is_on(node: str, record: model.WorkloadEndpoint) -> bool:
    """Tell whether an endpoint is on a node: its name says so, or else its spec."""
    spec_says = record.spec.node == node
    # Most endpoints are elsewhere, and their names need not be taken apart.
    if not spec_says and not record.metadata.name.startswith(endpoint_name_prefix((node,))):
        return False
    name = _name(record)
    return name.node == node if name else spec_says


def endpoint_key(record: model.WorkloadEndpoint) -> EndpointKey:
    """Return who an endpoint is on its node. Its name says so; no two records share a key."""
    namespace, name = record.metadata.namespace, _name(record)
    if name is None:
        return EndpointKey(record.spec.orchestrator, f"{namespace}/{record.metadata.name}", "")
    return EndpointKey(name.orchestrator, f"{namespace}/{name.workload}", name.endpoint)


def _name(record: model.WorkloadEndpoint) -> EndpointName | None:
    try:
        return parse_endpoint_name(record.metadata.name)
    except ValueError:
        return None


def local_endpoint(record: model.WorkloadEndpoint, revision: int) -> WorkloadEndpoint:
    """Return an endpoint as the kernel side sees it, still without tiers."""
    spec = record.spec
    addresses = readable(host_member, spec.ip_networks)
    return WorkloadEndpoint(
        interface=spec.interface_name,
        ipv4_addresses=tuple(address for address in addresses if not is_ipv6(address)),
        ipv6_addresses=tuple(address for address in addresses if is_ipv6(address)),
        mac=spec.mac.lower(),
        profiles=spec.profiles,
        allowed_source_prefixes=readable(canonical_prefix, spec.allow_spoofed_source_prefixes),
        qos=qos_controls(spec.qos_controls),
        revision=revision,
    )


def qos_controls(controls: model.QoSControls | None) -> QosControls:
    """Return the limits that rules impose; a limit of 0 is none."""
    if controls is None:
        return QosControls()
    return QosControls(
        ingress_packet_rate=controls.ingress_packet_rate or None,
        ingress_packet_burst=controls.ingress_packet_burst or None,
        egress_packet_rate=controls.egress_packet_rate or None,
        egress_packet_burst=controls.egress_packet_burst or None,
        ingress_max_connections=controls.ingress_max_connections or None,
        egress_max_connections=controls.egress_max_connections or None,
    )


def one_per_interface(
    endpoints: Mapping[EndpointKey, WorkloadEndpoint],
) -> dict[EndpointKey, WorkloadEndpoint]:
    """Define who has an interface: the smallest key that claims it."""
    owners: dict[str, EndpointKey] = {}
    for key in sorted(endpoints):
        owners.setdefault(endpoints[key].interface, key)
    return {key: endpoints[key] for key in owners.values()}


class LocalEndpoints:
    """The definition, maintained. None means "it no longer exists"."""

    def __init__(self) -> None:
        self._endpoints: dict[EndpointKey, WorkloadEndpoint] = {}
        self._claims: dict[str, set[EndpointKey]] = {}
        self._dirty: set[str] = set()  # interfaces
        self._reported: dict[str, tuple[EndpointKey, WorkloadEndpoint]] = {}  # by interface

    def set_endpoint(self, key: EndpointKey, endpoint: WorkloadEndpoint | None) -> None:
        """Cost: the claims to one interface, or two if it moves."""
        old = self._endpoints.pop(key, None)
        if old is not None:
            self._claims[old.interface].discard(key)
            self._dirty.add(old.interface)
        if endpoint is not None:
            self._endpoints[key] = endpoint
            self._claims.setdefault(endpoint.interface, set()).add(key)
            self._dirty.add(endpoint.interface)

    def flush(self) -> dict[EndpointKey, WorkloadEndpoint | None]:
        """Return what changed since the last flush."""
        gone: dict[EndpointKey, WorkloadEndpoint | None] = {}
        here: dict[EndpointKey, WorkloadEndpoint | None] = {}
        before: dict[EndpointKey, WorkloadEndpoint] = {}
        for interface in sorted(self._dirty):
            old = self._reported.pop(interface, None)
            if old is not None:
                gone[old[0]] = None
                before[old[0]] = old[1]
            claims = self._claims.get(interface)
            if claims:
                key = min(claims)
                self._reported[interface] = key, self._endpoints[key]
                here[key] = self._endpoints[key]
            else:
                self._claims.pop(interface, None)
        self._dirty.clear()
        changed = {**gone, **here}
        return {key: new for key, new in changed.items() if new != before.get(key)}
