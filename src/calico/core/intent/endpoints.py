"""The local endpoints, each with the policies that judge its traffic, in order."""

from typing import Literal

from msgspec import Struct

from calico.core.intent.keys import PolicyKey


class Tier(Struct, frozen=True):
    """The policies of one tier that apply to one endpoint, by direction.

    A direction without policies skips the tier, whatever its default action.
    """

    name: str
    default_action: Literal["Deny", "Pass"]
    ingress: tuple[PolicyKey, ...] = ()
    egress: tuple[PolicyKey, ...] = ()


class QosControls(Struct, frozen=True):
    """Limits of one workload endpoint; None is "no limit"."""

    ingress_packet_rate: int | None = None
    ingress_packet_burst: int | None = None
    egress_packet_rate: int | None = None
    egress_packet_burst: int | None = None
    ingress_max_connections: int | None = None
    egress_max_connections: int | None = None


class WorkloadEndpoint(Struct, frozen=True):
    """One local workload interface. Addresses are plain text without a prefix length."""

    interface: str
    ipv4_addresses: tuple[str, ...] = ()
    ipv6_addresses: tuple[str, ...] = ()
    mac: str = ""  # of the workload's end; "" if unknown
    tiers: tuple[Tier, ...] = ()
    profiles: tuple[str, ...] = ()
    allowed_source_prefixes: tuple[str, ...] = ()
    qos: QosControls = QosControls()
    revision: int = 0  # of the record this came from; who waits for an endpoint compares it


def addresses(endpoint: WorkloadEndpoint | None) -> tuple[str, ...]:
    """Return an endpoint's addresses of both IP versions."""
    return (*endpoint.ipv4_addresses, *endpoint.ipv6_addresses) if endpoint else ()
