"""How rule sets are rendered: what of Felix's configuration they depend on, fixed for a process.

    FelixConfiguration --> (felix reads it) --> RenderSettings --> every module of core/render

There is no setting for the "allow" action (NftablesFilterAllowAction): in nftables, accepting
and returning from a base chain are the same to every other table, since an accept ends only the
base chain it is given in.

Source: felix spec 6.2, policy-semantics 3.5, 3.6; the marks are markbits/mark_bits.go's.
"""

from typing import Literal, TypeAlias

from msgspec import Struct

from calico.core.nftables.vocabulary import Limit, Span

DenyAction: TypeAlias = Literal["Drop", "Reject"]
ToHostAction: TypeAlias = Literal["Drop", "Return", "Accept"]


class RenderSettings(Struct, frozen=True):
    """See the module. The defaults are Felix's."""

    interface_prefixes: tuple[str, ...] = ("cali",)
    ipv6: bool = True
    mark_mask: int = 0xFFFF0000
    endpoint_to_host_action: ToHostAction = "Drop"
    filter_deny_action: DenyAction = "Drop"
    disable_conntrack_invalid_check: bool = False
    allow_vxlan_from_workloads: bool = False
    allow_ipip_from_workloads: bool = False
    vxlan_port: int = 4789
    source_spoofing: bool = False  # WorkloadSourceSpoofing is Any
    log_prefix: str = "calico-packet"
    log_limit: Limit | None = None
    nat_outgoing_address: str = ""  # IPv4; "" masquerades
    nat_port_range: Span | None = None
    nat_outgoing_interface: str = ""  # masquerade only what leaves here
    nat_exclude_hosts: bool = False  # NATOutgoingExclusions is IPPoolsAndHostIPs

    @property
    def accept_mark(self) -> int:
        """The bit that says "this workload's egress policy accepts": the mask's lowest."""
        return self.mark_mask & -self.mark_mask

    @property
    def pass_mark(self) -> int:
        """The bit that says "leave this tier": the mask's second lowest."""
        rest = self.mark_mask ^ self.accept_mark
        return rest & -rest


def log_limit(rate: str, burst: int) -> Limit | None:
    """Read LogActionRateLimit, "10/minute"; None for no limit, and for what cannot be read."""
    number, _, unit = rate.partition("/")
    if not number.isdecimal() or int(number) == 0:
        return None
    match unit:
        case "second" | "minute" | "hour" | "day":
            return Limit(rate=int(number), unit=unit, burst=burst)
        case _:
            return None
