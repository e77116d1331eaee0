"""What this kernel can do, found by trying it where nobody notices.

    a nameless namespace, gone afterwards --create a link of each kind--> {kinds that exist}

No device or rule outlives the question. The kernel may load a module to answer it, as it would
when the kind is used.

Source: rtnetlink's "Unknown device type" (EOPNOTSUPP) and "operation not permitted" answers.
"""

import errno
import os
from pathlib import Path

from msgspec import Struct

from calico.kernel import netns
from calico.kernel.conntrack import KernelConnections
from calico.kernel.links import Links
from calico.kernel.netlink import NETLINK_NETFILTER, KernelError, NetlinkSocket

LINK_KINDS = ("bridge", "dummy", "ipip", "veth", "vxlan", "wireguard")

_GET_TABLES = 10 << 8 | 1  # NFNL_SUBSYS_NFTABLES, NFT_MSG_GETTABLE


class Features(Struct, frozen=True):
    """What can be used; `link_kinds` is some of LINK_KINDS."""

    link_kinds: frozenset[str] = frozenset()
    nftables: bool = False
    conntrack: bool = False
    ipv6: bool = False


def probe() -> Features:
    """Try everything. Raises KernelError if we may not (no CAP_NET_ADMIN, CAP_SYS_ADMIN)."""
    descriptor = netns.create()
    try:
        with netns.inside(descriptor):
            return Features(
                link_kinds=frozenset(kind for kind in LINK_KINDS if _has_link_kind(kind)),
                nftables=_has_nftables(),
                conntrack=_has_conntrack(),
                ipv6=Path("/proc/sys/net/ipv6").is_dir(),
            )
    finally:
        os.close(descriptor)


def _has_link_kind(kind: str) -> bool:
    with Links() as links:
        try:
            links.create(kind, "probe")
        except KernelError as error:
            if error.errno == errno.EPERM:
                raise
            return error.errno != errno.EOPNOTSUPP  # else: known, but it wants parameters
        links.delete("probe")
        return True


def _has_nftables() -> bool:
    with NetlinkSocket(NETLINK_NETFILTER) as opened:
        try:
            opened.dump("list tables", _GET_TABLES, b"\0\0\0\0")
        except KernelError:
            return False
        return True


def _has_conntrack() -> bool:
    connections = KernelConnections()
    try:
        connections.list()
    except KernelError:
        return False
    else:
        return True
    finally:
        connections.close()
