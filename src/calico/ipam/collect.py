"""Tidy up after addresses: what has cooled down, what a crash or another program left.

    own blocks --> cooled addresses freed; claims that were begun finished or dropped;
                   empty blocks given back, save one of each version

An empty block is given back when it was empty the last time, too, so that a node that has just
lost a pod and gets another keeps its block. One empty block always stays.

Ownership: only this node's blocks, through this node's desk; no addresses are released that are
not cooling already.
Source: shared/spec datastore-etcd 1.9.10; kube-controllers, node controller.
"""

from collections.abc import Sequence

from msgspec import Struct

from calico.core.ipam.affinity import condition
from calico.core.ipam.assign import Assigned
from calico.core.ipam.block import is_empty
from calico.datastore.client import Change
from calico.ipam.affinities import Yield
from calico.ipam.desk import Desk
from calico.ipam.ledger import affinity_path, block_path

VERSIONS = (4, 6)


class Collected(Struct, frozen=True):
    """What one round did, and the blocks that were empty in it."""

    freed: int = 0
    finished: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    released: tuple[str, ...] = ()
    empty: frozenset[str] = frozenset()


class Collect(Struct, frozen=True):
    """One round. `last` is the answer of the round before."""

    last: Collected = Collected()

    def decide(self, desk: Desk) -> tuple[Collected, Sequence[Change]]:
        """Want the node's own records tidy."""
        freed = 0
        finished, dropped, released = [], [], []
        empty: set[str] = set()
        for version in VERSIONS:
            for cidr, affinity in desk.affinities(desk.owner, version).items():
                block = desk.settled_block(cidr)
                match condition(block, affinity.state, desk.owner):
                    case "stale" | "no block":
                        desk.ledger.delete(affinity_path(desk.owner, cidr))
                        dropped.append(cidr)
                        continue
                    case "unfinished" if block is not None:
                        desk.want(desk.owner, Assigned(blocks={cidr: block}, claims=(cidr,)), "")
                        finished.append(cidr)
                freed += _free_cooled(desk, cidr)
                if block is not None and is_empty(block):
                    empty.add(cidr)
            released += self._give_back(desk, version, empty)
        return (
            Collected(freed, tuple(finished), tuple(dropped), tuple(released), frozenset(empty)),
            (),
        )

    def _give_back(self, desk: Desk, version: int, empty: set[str]) -> list[str]:
        """Give back the blocks that stay empty, all but the first."""
        ours = sorted(cidr for cidr in empty if (":" in cidr) == (version == 6))
        released = []
        for cidr in ours[1:]:
            if cidr in self.last.empty:
                answer, _ = Yield(desk.owner, cidr, must_be_empty=True).decide(desk)
                released += [cidr] if answer == "released" else []
        return released


def _free_cooled(desk: Desk, cidr: str) -> int:
    """Want the block as `desk.block` shows it, if addresses in it have cooled down."""
    stored, shown = desk.ledger.record(block_path(cidr)), desk.block(cidr)
    if shown is None or shown is stored:
        return 0
    before = getattr(stored, "unallocated", ())
    desk.ledger.put(block_path(cidr), shown)
    return len(shown.unallocated) - len(before)
