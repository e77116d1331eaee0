"""What our chains, sets and rules are called in the kernel: Calico's names in its nftables mode.

    policy ("NetworkPolicy", "shop", "web"), ingress --> filter-cali-pi-np/shop/web
    interface cali1a2b3c, to the workload            --> filter-cali-tw-cali1a2b3c
    IP set "s:wXyZ...", kind address                 --> cali40s-wXyZ... (cut to 31 characters)

People find a policy in `nft list ruleset` by these names, and a restarted agent finds its own
objects by the tables that hold them. One table serves all of Calico's layers, so a chain's
name starts with its layer: "filter-", "raw-", "nat-".

A set of kind net has "-net" behind its name. The two kinds are different objects to the kernel
(an interval tree, a hash), and a rule must never mean one while the table holds the other: with
two names a set that changes kind is a new set, and its users are rendered again.

Source: felix spec 6.6, 6.7; felix/rules/rule_defs.go, felix/nftables/table_layer.go,
libcalico-go/lib/hash/unique_id.go. The verdict maps carry the layer too ("filter-cali-...").
"""

import re
from base64 import urlsafe_b64encode
from hashlib import sha256
from typing import Final, Literal, NamedTuple, TypeAlias

from calico.core.intent.ip_sets import IpSetKind
from calico.core.intent.keys import PolicyKey

Direction: TypeAlias = Literal["ingress", "egress"]  # as the workload sees it
IpFamily: TypeAlias = Literal["ip", "ip6"]

DIRECTIONS: Final[tuple[Direction, ...]] = ("ingress", "egress")

FORWARD: Final = "filter-cali-FORWARD"
INPUT: Final = "filter-cali-INPUT"
WORKLOAD_TO_HOST: Final = "filter-cali-wl-to-host"
FROM_WORKLOAD: Final = "filter-cali-from-wl-dispatch"  # a chain, and the verdict map it asks
TO_WORKLOAD: Final = "filter-cali-to-wl-dispatch"
ARP: Final = "filter-cali-arp-dispatch"
PREROUTING: Final = "raw-cali-PREROUTING"
RPF_SKIP: Final = "raw-cali-rpf-skip"
RAW_OUTPUT: Final = "raw-cali-OUTPUT"
POSTROUTING: Final = "nat-cali-POSTROUTING"
NAT_OUTGOING: Final = "nat-cali-nat-outgoing"

MASQUERADED_POOLS: Final = "masq-ipam-pools"
NETWORK_POOLS: Final = "network-ip-pools"
ALL_HOSTS: Final = "all-hosts-net"
ALL_VXLAN: Final = "all-vxlan-net"

CHAIN_NAME_LENGTH: Final = 255  # what the kernel takes
SET_NAME_LENGTH: Final = 31  # an ipset's, kept for nftables by Calico
GROUP_ID_LENGTH: Final = 20
COMMENT_LENGTH: Final = 127  # what `nft` takes
INTERFACE_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,15}")

SHORT_KINDS: Final = {
    "NetworkPolicy": "np",
    "GlobalNetworkPolicy": "gnp",
    "KubernetesNetworkPolicy": "knp",
    "KubernetesClusterNetworkPolicy": "kcnp",
    "StagedNetworkPolicy": "snp",
    "StagedGlobalNetworkPolicy": "sgnp",
    "StagedKubernetesNetworkPolicy": "sknp",
}

_ODD_IN_COMMENT: Final = re.compile(r"[^A-Za-z0-9_ @%+=:,./-]")


class ProfileKey(NamedTuple):
    """A profile, as one of the two things that have rules."""

    name: str


RulesKey: TypeAlias = PolicyKey | ProfileKey


def limited(prefix: str, name: str, length: int) -> str:
    """Join the two; a name that makes it too long is replaced by "_" and its hash, cut to fit.

    A name that just fits but starts with "_" is hashed as well, since it could be such a hash.
    """
    name = name or "_"
    room = length - len(prefix)
    if len(name) < room or (len(name) == room and not name.startswith("_")):
        return prefix + name
    digest = urlsafe_b64encode(sha256(name.encode()).digest()).decode().rstrip("=")
    return f"{prefix}_{digest}"[:length]


def policy_id(key: PolicyKey) -> str:
    """Name a policy in short, as chain names and log prefixes do."""
    kind = SHORT_KINDS.get(key.kind, key.kind)
    return f"{kind}/{key.namespace}/{key.name}" if key.namespace else f"{kind}/{key.name}"


def rules_chain(key: RulesKey, direction: Direction) -> str:
    """Name the chain that holds one direction of a policy or a profile."""
    way = "i" if direction == "ingress" else "o"
    if isinstance(key, ProfileKey):
        return limited(f"filter-cali-pr{way}-", key.name, CHAIN_NAME_LENGTH)
    return limited(f"filter-cali-p{way}-", policy_id(key), CHAIN_NAME_LENGTH)


def endpoint_chain(interface: str, direction: Direction) -> str:
    """Name the chain that judges what comes from (egress) or goes to a workload."""
    return f"filter-cali-{'tw' if direction == 'ingress' else 'fw'}-{interface}"


def owner_interface(chain: str) -> str:
    """Name the interface whose chain this is; "" for a chain of nobody's own."""
    for prefix in ("filter-cali-tw-", "filter-cali-fw-", "filter-cali-arp-"):
        if chain.startswith(prefix) and not chain.endswith("-dispatch"):
            return chain.removeprefix(prefix)
    return ""


def arp_chain(interface: str) -> str:
    """Name the chain that judges ARP sent to a workload."""
    return f"filter-cali-arp-{interface}"


def set_name(family: IpFamily, set_id: str, kind: IpSetKind | None = None) -> str:
    """Name an IP set in one family's table; those of Calico itself have no kind in their name."""
    version = "4" if family == "ip" else "6"
    name = f"cali{version}0{set_id}"[:SET_NAME_LENGTH].replace(":", "-")
    return f"{name}-net" if kind == "net" else name


def comment(*parts: str) -> str:
    """Join what a rule's comment says, without characters that tools stumble over."""
    return _ODD_IN_COMMENT.sub("_", " ".join(parts))[:COMMENT_LENGTH]
