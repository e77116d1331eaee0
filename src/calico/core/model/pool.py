"""IP pools and reservations: which addresses may be given out, to whom, and how they are reached.

Source: api/pkg/apis/projectcalico/v3/{ippool,ipreservation}.go; datastore-etcd 1.2.6.
"""

from msgspec import field

from calico.core.model.metadata import ApiStruct, Condition, Resource


class IPPoolSpec(ApiStruct, frozen=True):
    """A CIDR, cut into blocks of `block_size` (a prefix length; 0: the default).

    The modes are Never, Always or CrossSubnet; "" is Never.
    """

    cidr: str = field(default_factory=str)
    vxlan_mode: str = ""
    ipip_mode: str = ""
    nat_outgoing: bool = False
    disabled: bool = False
    disable_bgp_export: bool = False
    block_size: int = 0
    node_selector: str = ""
    namespace_selector: str = ""
    allowed_uses: tuple[str, ...] = ()
    assignment_mode: str | None = None


class IPPoolStatus(ApiStruct, frozen=True):
    """What controllers say of the pool."""

    conditions: tuple[Condition, ...] = ()


class IPPool(Resource, frozen=True):
    """A range of addresses for workloads, tunnels or load balancers."""

    spec: IPPoolSpec = field(default_factory=IPPoolSpec)
    status: IPPoolStatus | None = None


class IPReservationSpec(ApiStruct, frozen=True):
    """Addresses and CIDRs that are never given out by themselves."""

    reserved_cidrs: tuple[str, ...] = ()


class IPReservation(Resource, frozen=True):
    """Addresses kept out of automatic assignment."""

    spec: IPReservationSpec = field(default_factory=IPReservationSpec)
