"""Which tunnels are on.

    pools, settings --> {"vxlan4", "vxlan6", "ipip"} or some of them

A tunnel is on if the settings say so, or, when they say nothing, if a pool asks for it. The VXLAN
of IPv6 depends on the pools alone.

Source: felix spec 6.9; felix/calc/encapsulation_resolver.go.
"""

from collections.abc import Iterable

from calico.core.calc.settings import CalcSettings
from calico.core.intent.nat import Pool
from calico.core.intent.tunnels import TunnelKind
from calico.core.net.prefix import is_ipv6


def encapsulation(pools: Iterable[Pool], settings: CalcSettings) -> frozenset[TunnelKind]:
    """Return the tunnels that are on."""
    asked: set[TunnelKind] = set()
    for pool in pools:
        if pool.vxlan != "Never":
            asked.add("vxlan6" if is_ipv6(pool.cidr) else "vxlan4")
        if pool.ipip != "Never":
            asked.add("ipip")
    told: dict[TunnelKind, bool | None] = {"vxlan4": settings.vxlan, "ipip": settings.ipip}
    for kind, is_on in told.items():
        if is_on is not None:
            (asked.add if is_on else asked.discard)(kind)
    return frozenset(asked)
