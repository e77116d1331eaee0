"""The IP pools, by CIDR.

    IPPool records --> Pools --> {CIDR: pool, or None once gone}

Two records with one CIDR are a mistake that the datastore cannot exclude; the smaller name counts.

Source: datastore-etcd 1.6 (conflict rule); felix/dataplane/linux/masq_mgr.go.
"""

from collections.abc import Mapping
from typing import Final

from calico.core.intent.nat import Mode, Pool
from calico.core.model.pool import IPPool
from calico.core.net.prefix import canonical_prefix

MODES: Final[Mapping[str, Mode]] = {"Always": "Always", "CrossSubnet": "CrossSubnet"}


def pool_of(record: IPPool) -> Pool | None:
    """Return a pool as rules see it; None if its CIDR cannot be read."""
    try:
        cidr = canonical_prefix(record.spec.cidr)
    except ValueError:
        return None
    spec = record.spec
    workloads = spec.allowed_uses != ("LoadBalancer",)
    vxlan, ipip = MODES.get(spec.vxlan_mode, "Never"), MODES.get(spec.ipip_mode, "Never")
    return Pool(cidr, spec.nat_outgoing, workloads, vxlan, "Never" if ":" in cidr else ipip)


def by_cidr(pools: Mapping[str, Pool]) -> dict[str, Pool]:
    """Define the pools: of those with one CIDR, the one whose name is smallest."""
    return {pools[name].cidr: pools[name] for name in sorted(pools, reverse=True)}


class Pools:
    """The definition, maintained, at the cost of all pools: there are few."""

    def __init__(self) -> None:
        self._pools: dict[str, Pool] = {}
        self._reported: dict[str, Pool] = {}

    def set_pool(self, name: str, pool: Pool | None) -> None:
        """Set a pool; None means "it no longer exists"."""
        self._pools.pop(name, None)
        if pool is not None:
            self._pools[name] = pool

    def flush(self) -> dict[str, Pool | None]:
        """Return what changed since the last flush, in CIDR order."""
        old, new = self._reported, by_cidr(self._pools)
        self._reported = new
        return {
            cidr: new.get(cidr) for cidr in sorted({*old, *new}) if old.get(cidr) != new.get(cidr)
        }
