"""The kinds as the command line knows them: aliases, and the columns of their tables.

Columns are functions of the resource's JSON document, so tables, custom columns and templates all
read what `-o json` prints.

Source: shared/spec calicoctl 7b.3 (calicoctl/resourcemgr).
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from msgspec import Struct

Document: TypeAlias = Mapping[str, Any]
Column: TypeAlias = Callable[[Document, "TableContext"], str]

CELL_LIMIT = 80  # of NETS and CIDRS


class TableContext(Struct, frozen=True):
    """What a table needs beside the resource: the cluster's AS number."""

    as_number: str = "64512"


class KindTable(Struct, frozen=True):
    """One kind: its other names, and its columns."""

    kind: str
    aliases: tuple[str, ...]
    columns: Mapping[str, Column]
    ps: tuple[str, ...]
    wide: tuple[str, ...]


def show(value: object, unset: str = "") -> str:
    """Print one cell as Go's %v does."""
    if value is None:
        return unset
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return show_float(value)
    if isinstance(value, list | tuple):
        return ",".join(show(item) for item in value)
    return str(value)


def show_float(value: float) -> str:
    """Print a float as Go's %v: shortest form, exponents from 1e+21; orders are cut at 1e+06."""
    if value == int(value) and abs(value) < 1e6:
        return str(int(value))
    text = repr(value) if abs(value) < 1e6 else f"{value:e}"
    mantissa, separator, exponent = text.partition("e")
    if not separator:
        return text
    if "." in mantissa:
        mantissa = mantissa.rstrip("0").rstrip(".")
    return f"{mantissa}e{exponent[0]}{int(exponent[1:]):02d}"


def field(*path: str, unset: str = "") -> Column:
    """Make a column that shows what stands at `path` of the document."""

    def column(document: Document, _: TableContext) -> str:
        return show(_at(document, path), unset)

    return column


def _order(document: Document, _: TableContext) -> str:
    order = document["spec"].get("order")
    return "<nil>" if order is None else show_float(float(order))


def _at(document: Document, path: tuple[str, ...]) -> Any:  # noqa: ANN401  # any JSON value
    value: Any = document
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _cut(*path: str) -> Column:
    def column(document: Document, _: TableContext) -> str:
        text = show(_at(document, path))
        return text if len(text) <= CELL_LIMIT else text[: CELL_LIMIT - 3] + "..."

    return column


def _count(*path: str) -> Column:
    def column(document: Document, _: TableContext) -> str:
        return str(len(_at(document, path) or ()))

    return column


def _peer_node(document: Document, _: TableContext) -> str:
    spec = document["spec"]
    return str(spec.get("node") or spec.get("nodeSelector") or "(global)")


def _node_as_number(document: Document, context: TableContext) -> str:
    bgp = document["spec"].get("bgp")
    if not bgp:
        return ""
    return show(bgp["asNumber"]) if bgp.get("asNumber") else f"({context.as_number})"


def _labels_to_apply(document: Document, _: TableContext) -> str:
    labels = document["spec"].get("labelsToApply") or {}
    return ",".join(f"{key}={labels[key]}" for key in sorted(labels))


def _nats(document: Document, _: TableContext) -> str:
    nats = document["spec"].get("ipNATs") or ()
    return ",".join(f"{{{nat['internalIP']} {nat['externalIP']}}}" for nat in nats)


def _workload(document: Document, _: TableContext) -> str:
    spec = document["spec"]
    return str(spec.get("workload") or spec.get("pod") or "")


_NAME = field("metadata", "name")
_POLICY: Mapping[str, Column] = {
    "NAME": _NAME,
    "TIER": field("spec", "tier", unset="default"),
    "ORDER": _order,
    "SELECTOR": field("spec", "selector"),
}
_POLICY_PS, _POLICY_WIDE = ("NAME", "TIER"), ("NAME", "TIER", "ORDER", "SELECTOR")
_ONLY_NAME = ("NAME",)


def _table(
    kind: str,
    aliases: tuple[str, ...],
    columns: Mapping[str, Column],
    ps: tuple[str, ...] = (),
    wide: tuple[str, ...] = (),
) -> KindTable:
    every = tuple(columns)
    return KindTable(kind, aliases, columns, ps or every, wide or ps or every)


def _policy(kind: str, *aliases: str) -> KindTable:
    return _table(kind, aliases, _POLICY, _POLICY_PS, _POLICY_WIDE)


TABLES: tuple[KindTable, ...] = (
    _table("BGPConfiguration", ("bgpconfig", "bgpconfigs"), {
        "NAME": _NAME,
        "LOGSEVERITY": field("spec", "logSeverityScreen"),
        "MESHENABLED": field("spec", "nodeToNodeMeshEnabled", unset="-"),
        "ASNUMBER": field("spec", "asNumber", unset="-"),
    }),
    _table("BGPFilter", ("bgpf", "bgpfs", "bf", "bfs"), {
        "NAME": _NAME,
        "NUMEXPORTV4": _count("spec", "exportV4"),
        "NUMIMPORTV4": _count("spec", "importV4"),
        "NUMEXPORTV6": _count("spec", "exportV6"),
        "NUMIMPORTV6": _count("spec", "importV6"),
    }),
    _table("BGPPeer", ("bgpp", "bgpps", "bp", "bps"), {
        "NAME": _NAME,
        "PEERIP": field("spec", "peerIP"),
        "NODE": _peer_node,
        "ASN": field("spec", "asNumber", unset="0"),
    }),
    _table("CalicoNodeStatus", ("nodestatus", "nodestatuses"), {
        "NAME": _NAME,
        "NODE": field("spec", "node"),
        "CLASSES": field("spec", "classes"),
    }, ("NAME", "NODE"), ("NAME", "NODE", "CLASSES")),
    _table("ClusterInformation", ("clusterinfo", "clusterinfos"), {
        "NAME": _NAME,
        "CLUSTERGUID": field("spec", "clusterGUID"),
        "CLUSTERTYPE": field("spec", "clusterType"),
        "CALICOVERSION": field("spec", "calicoVersion"),
        "DATASTOREREADY": field("spec", "datastoreReady", unset="<nil>"),
    }),
    _table("FelixConfiguration", ("felixconfig", "felixconfigs"), {"NAME": _NAME}),
    _policy("GlobalNetworkPolicy", "gnp", "gnps"),
    _table("GlobalNetworkSet", ("gnetsets",), {"NAME": _NAME, "NETS": _cut("spec", "nets")},
           _ONLY_NAME, ("NAME", "NETS")),
    _table("HostEndpoint", ("hep", "heps"), {
        "NAME": _NAME,
        "NODE": field("spec", "node"),
        "INTERFACE": field("spec", "interfaceName"),
        "IPS": field("spec", "expectedIPs"),
        "PROFILES": field("spec", "profiles"),
    }, ("NAME", "NODE"), ("NAME", "NODE", "INTERFACE", "IPS", "PROFILES")),
    _table("IPAMConfiguration", ("ipamconfig", "ipamconfigs"), {
        "NAME": _NAME,
        "STRICTAFFINITY": field("spec", "strictAffinity", unset="false"),
        "AUTOALLOCATEBLOCKS": field("spec", "autoAllocateBlocks", unset="false"),
        "MAXBLOCKSPERHOST": field("spec", "maxBlocksPerHost", unset="0"),
    }, ("NAME", "STRICTAFFINITY", "AUTOALLOCATEBLOCKS"),
       ("NAME", "STRICTAFFINITY", "AUTOALLOCATEBLOCKS", "MAXBLOCKSPERHOST")),
    _table("IPPool", ("ipp", "ipps", "pool", "pools"), {
        "NAME": _NAME,
        "CIDR": field("spec", "cidr"),
        "NAT": field("spec", "natOutgoing", unset="false"),
        "IPIPMODE": field("spec", "ipipMode", unset="Never"),
        "VXLANMODE": field("spec", "vxlanMode", unset="Never"),
        "DISABLED": field("spec", "disabled", unset="false"),
        "DISABLEBGPEXPORT": field("spec", "disableBGPExport", unset="false"),
        "SELECTOR": field("spec", "nodeSelector"),
        "ASSIGNMENTMODE": field("spec", "assignmentMode", unset="<nil>"),
    }, ("NAME", "CIDR", "SELECTOR"),
       ("NAME", "CIDR", "NAT", "IPIPMODE", "VXLANMODE", "DISABLED", "DISABLEBGPEXPORT",
        "SELECTOR", "ASSIGNMENTMODE")),
    _table("IPReservation", ("reservation", "reservations"), {
        "NAME": _NAME, "CIDRS": _cut("spec", "reservedCIDRs"),
    }, _ONLY_NAME, ("NAME", "CIDRS")),
    _table("KubeControllersConfiguration", ("kubecontrollersconfig", "kubecontrollersconfigs"),
           {"NAME": _NAME}),
    _policy("NetworkPolicy", "policy", "policies", "np", "pol", "pols"),
    _table("NetworkSet", ("netsets",), {"NAME": _NAME, "NETS": _cut("spec", "nets")},
           _ONLY_NAME, ("NAME", "NETS")),
    _table("Node", ("no", "nos"), {
        "NAME": _NAME,
        "ASN": _node_as_number,
        "IPV4": field("spec", "bgp", "ipv4Address"),
        "IPV6": field("spec", "bgp", "ipv6Address"),
    }, _ONLY_NAME, ("NAME", "ASN", "IPV4", "IPV6")),
    _table("Profile", ("pro", "pros"), {"NAME": _NAME, "LABELS": _labels_to_apply},
           _ONLY_NAME, ("NAME", "LABELS")),
    _policy("StagedGlobalNetworkPolicy", "sgnp", "sgnps"),
    _table("StagedKubernetesNetworkPolicy",
           ("stagedkubernetespolicy", "stagedkubernetespolicies", "sknp", "skpol", "skpols"),
           {"NAME": _NAME, "PODSELECTOR": field("spec", "podSelector")},
           _ONLY_NAME, ("NAME", "PODSELECTOR")),
    _policy("StagedNetworkPolicy", "stagedpolicy", "stagedpolicies", "snp", "spol", "spols"),
    _table("Tier", (), {"NAME": _NAME, "ORDER": _order}),
    _table("WorkloadEndpoint", ("wep", "weps"), {
        "NAME": _NAME,
        "WORKLOAD": _workload,
        "NODE": field("spec", "node"),
        "NETWORKS": field("spec", "ipNetworks"),
        "INTERFACE": field("spec", "interfaceName"),
        "PROFILES": field("spec", "profiles"),
        "NATS": _nats,
        "ORCHESTRATOR": field("spec", "orchestrator"),
    }, ("WORKLOAD", "NODE", "NETWORKS", "INTERFACE"),
       ("NAME", "WORKLOAD", "NODE", "NETWORKS", "INTERFACE", "PROFILES", "NATS")),
)  # fmt: skip

BY_KIND: Mapping[str, KindTable] = {table.kind: table for table in TABLES}


def _plural(kind: str) -> str:
    if kind.endswith("Policy"):
        return kind[:-1] + "ies"
    return kind + ("es" if kind.endswith("s") else "s")


_BY_NAME: Mapping[str, str] = {
    name.lower(): table.kind
    for table in TABLES
    for name in (table.kind, _plural(table.kind), *table.aliases)
}


def kind_named(text: str) -> str | None:
    """Find the kind that a user means, in any case; None if there is none."""
    return _BY_NAME.get(text.lower())
