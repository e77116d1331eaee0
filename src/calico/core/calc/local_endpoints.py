"""The workload endpoints of this node, one for each interface.

    WorkloadEndpoint records of this node --> LocalEndpoints --> {key: endpoint without tiers, and
                                                                  its labels; None once gone}

Two records may claim one interface for a while (a pod re-created under another name, an old
record left over); the smaller key has it, and the other is as if it were not there.

Invariant: no two reported endpoints share an interface.
Source: felix/dataplane/linux/endpoint_mgr.go; datastore-etcd 1.2.4.
"""

from collections.abc import Mapping

from msgspec import Struct

from calico.core.calc.contributors import host_member, readable
from calico.core.calc.labels import Labelled, workload_endpoint_labels
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


class LocalEndpoint(Struct, frozen=True):
    """An endpoint as the kernel side sees it, save its tiers; and the labels that decide those."""

    endpoint: WorkloadEndpoint
    labels: Labelled


def local_endpoint(record: model.WorkloadEndpoint, revision: int) -> LocalEndpoint:
    """Return what becomes of a usable record of this node."""
    spec = record.spec
    addresses = readable(host_member, spec.ip_networks)
    endpoint = WorkloadEndpoint(
        interface=spec.interface_name,
        ipv4_addresses=tuple(address for address in addresses if not is_ipv6(address)),
        ipv6_addresses=tuple(address for address in addresses if is_ipv6(address)),
        mac=spec.mac.lower(),
        profiles=spec.profiles,
        allowed_source_prefixes=readable(canonical_prefix, spec.allow_spoofed_source_prefixes),
        qos=qos_controls(spec.qos_controls),
        revision=revision,
    )
    return LocalEndpoint(endpoint, workload_endpoint_labels(record))


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
    endpoints: Mapping[EndpointKey, LocalEndpoint],
) -> dict[EndpointKey, LocalEndpoint]:
    """Define who has an interface: the smallest key that claims it."""
    owners: dict[str, EndpointKey] = {}
    for key in sorted(endpoints):
        owners.setdefault(endpoints[key].endpoint.interface, key)
    return {key: endpoints[key] for key in owners.values()}


class LocalEndpoints:
    """The definition, maintained. None means "it no longer exists"."""

    def __init__(self) -> None:
        self._endpoints: dict[EndpointKey, LocalEndpoint] = {}
        self._claims: dict[str, set[EndpointKey]] = {}
        self._dirty: set[str] = set()  # interfaces
        self._owners: dict[str, EndpointKey] = {}  # of interfaces, as reported
        self._reported: dict[EndpointKey, LocalEndpoint] = {}

    def set_endpoint(self, key: EndpointKey, local: LocalEndpoint | None) -> None:
        """Cost: the claims to one interface, or two if it moves."""
        old = self._endpoints.pop(key, None)
        if old is not None:
            self._claims[old.endpoint.interface].discard(key)
            self._dirty.add(old.endpoint.interface)
        if local is not None:
            self._endpoints[key] = local
            self._claims.setdefault(local.endpoint.interface, set()).add(key)
            self._dirty.add(local.endpoint.interface)

    def flush(self) -> dict[EndpointKey, LocalEndpoint | None]:
        """Return what changed since the last flush."""
        touched = {self._owners.pop(i) for i in self._dirty if i in self._owners}
        here: dict[EndpointKey, LocalEndpoint] = {}
        for interface in self._dirty:
            if self._claims[interface]:
                key = min(self._claims[interface])
                self._owners[interface] = key
                here[key] = self._endpoints[key]
            else:
                del self._claims[interface]
        self._dirty.clear()
        delta: dict[EndpointKey, LocalEndpoint | None] = {}
        for key in sorted(touched | here.keys()):
            old, new = self._reported.pop(key, None), here.get(key)
            if new is not None:
                self._reported[key] = new
            if new != old:
                delta[key] = new
        return delta

    def reported(self, key: EndpointKey) -> LocalEndpoint | None:
        """Return what the last flush left of an endpoint."""
        return self._reported.get(key)
