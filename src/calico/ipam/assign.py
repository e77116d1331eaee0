"""Requests for addresses: so many of a version, or given ones.

    Assign(ipv4=1, ipv6=1, ...) --> Assignment: all of them, or NoFreeAddress and none
    AssignAddress("10.65.3.65") --> Assignment, or Taken

`also` is called with the assignment and gives further changes for the same commit; it may be
called again if the commit is lost. A request fails as a whole: with one version short, the
addresses of the other are not taken either.

Source: shared/spec datastore-etcd 1.9.5, 1.9.7; cni 4.8.
"""

from collections.abc import Callable, Mapping, Sequence
from ipaddress import ip_address
from typing import Literal

import msgspec
from msgspec import Struct

from calico.core.ipam import assign as core
from calico.core.ipam.affinity import LOAD_BALANCER, unselected, yielding
from calico.core.ipam.assign import Assigned, Given, Want
from calico.core.ipam.block import attribute
from calico.core.ipam.pools import (
    Choice,
    Labels,
    PoolRequest,
    Use,
    choose,
    unknown_pools,
)
from calico.datastore.client import Change
from calico.ipam.desk import Desk
from calico.ipam.errors import IpamError, NoFreeAddress, Taken
from calico.ipam.ledger import affinity_path, block_path
from calico.ipam.surroundings import namespace_labels, node_labels


class Assignment(Struct, frozen=True):
    """The addresses given, by version."""

    ipv4: tuple[Given, ...] = ()
    ipv6: tuple[Given, ...] = ()

    @property
    def all(self) -> tuple[Given, ...]:
        """The addresses of both versions, IPv4 first."""
        return (*self.ipv4, *self.ipv6)


Also = Callable[[Assignment], Sequence[Change]]


def nothing_else(assignment: Assignment) -> Sequence[Change]:  # noqa: ARG001  # the default `also`
    """Add no changes to the commit."""
    return ()


class Assign(Struct, frozen=True, kw_only=True):
    """A request for any free addresses. Pools are CIDRs or names; none: all that select us."""

    handle: str
    attributes: Mapping[str, str]
    use: Use
    ipv4: int = 0
    ipv6: int = 0
    ipv4_pools: tuple[str, ...] = ()
    ipv6_pools: tuple[str, ...] = ()
    namespace: str = ""  # its labels matter to pools with a namespaceSelector
    max_blocks: int = 0
    also: Also = nothing_else

    def decide(self, desk: Desk) -> tuple[Assignment, Sequence[Change]]:
        """Take the addresses of both versions. Raises NoFreeAddress."""
        assignment = Assignment(
            self._version(desk, 4, self.ipv4, self.ipv4_pools),
            self._version(desk, 6, self.ipv6, self.ipv6_pools),
        )
        return assignment, self.also(assignment)

    def _version(
        self, desk: Desk, version: Literal[4, 6], count: int, named: tuple[str, ...]
    ) -> tuple[Given, ...]:
        if not count:
            return ()
        choice = self._choice(desk, PoolRequest(version, self.use, named, self._labels(desk)))
        owner = LOAD_BALANCER if self.use == "LoadBalancer" else desk.owner
        want = Want(version, count, attribute(self.handle, self.attributes), self.max_blocks)
        assigned = core.assign(want, desk.view(owner, version, choice, complete=False))
        if assigned is None:
            assigned = core.assign(want, desk.view(owner, version, choice, complete=True))
        if assigned is None or len(assigned.addresses) < count:
            raise NoFreeAddress(_shortage(version, count, assigned or Assigned(), choice))
        desk.want(owner, assigned, self.handle)
        return assigned.addresses

    def _labels(self, desk: Desk) -> Labels:
        if any(pool.namespace_selector for pool in desk.surroundings.pools):
            return namespace_labels(desk.ledger, self.namespace)
        return {}

    def _choice(self, desk: Desk, request: PoolRequest) -> Choice:
        pools = desk.surroundings.pools
        if unknown := unknown_pools(pools, request):
            known = ", ".join(f"{p.name} ({p.cidr})" for p in pools) or "none"
            raise IpamError(
                f"the given pool ({unknown[0]}) does not exist, or is not enabled; "
                f"IPv{request.version} was asked for; pools: {known}"
            )
        labels: Labels = {}
        if self.use != "LoadBalancer":
            labels = node_labels(desk.ledger, desk.node)
            _release_unselected(desk, request.version, labels)
        choice = choose(pools, request, labels)
        if not choice.pools:
            raise NoFreeAddress(_no_pool(desk.node, request, choice))
        return choice


class AssignAddress(Struct, frozen=True, kw_only=True):
    """A request for given addresses; each must lie in a pool that is enabled and of this use."""

    addresses: tuple[str, ...]
    handle: str
    attributes: Mapping[str, str]
    use: Use | None = None
    also: Also = nothing_else

    def decide(self, desk: Desk) -> tuple[Assignment, Sequence[Change]]:
        """Take each address. Raises Taken, IpamError."""
        given = [self._one(desk, address) for address in self.addresses]
        assignment = Assignment(
            tuple(g for g in given if ":" not in g.address),
            tuple(g for g in given if ":" in g.address),
        )
        return assignment, self.also(assignment)

    def _one(self, desk: Desk, text: str) -> Given:
        address, choice = self._located(desk, text)
        version: Literal[4, 6] = 6 if ":" in address else 4
        owner = LOAD_BALANCER if self.use == "LoadBalancer" else desk.owner
        want = Want(version, 1, attribute(self.handle, self.attributes))
        view = desk.view(owner, version, choice, complete=False)
        cidr = core.block_of(address, choice.pools[0])
        if block := desk.block(cidr):
            view = msgspec.structs.replace(view, blocks={cidr: block})
        answer = core.assign_address(address, want, view)
        if answer == "taken":
            raise Taken(f"address {address} is already assigned")
        if answer == "not affine":
            raise IpamError(
                f"address {address} lies in a block that is not affine to {desk.node}, "
                "and strict affinity is enabled"
            )
        desk.want(owner, answer, self.handle)
        return answer.addresses[0]

    def _located(self, desk: Desk, text: str) -> tuple[str, Choice]:
        try:
            address = ip_address(text)
        except ValueError as error:
            raise IpamError(f"{text!r} is not an IP address") from error
        usable = [pool for pool in desk.surroundings.pools if not pool.unusable]
        pool = next((p for p in usable if address in p.network), None)
        if pool is None:
            raise IpamError(f"address {address} is not in a configured, enabled IP pool")
        if self.use is not None and self.use not in pool.uses:
            raise IpamError(
                f"IP address {address} is in IP pool {pool.name}, which is not allowed for use "
                f"{self.use} (allowedUses: {', '.join(pool.uses)})"
            )
        return str(address), Choice((pool,), ())


def _release_unselected(desk: Desk, version: int, labels: Labels) -> None:
    """Give back empty blocks in pools that no longer select the node."""
    own = desk.affinities(desk.owner, version)
    for cidr in unselected(own, desk.surroundings.pools, labels):
        block = desk.block(cidr)
        if block and yielding(block, desk.owner, must_be_empty=True) == "delete block":
            desk.ledger.delete(block_path(cidr))
            desk.ledger.delete(affinity_path(desk.owner, cidr))


def _no_pool(node: str, request: PoolRequest, choice: Choice) -> str:
    if choice.selecting:
        head = "cannot find a qualified ippool, no pools match the required use"
        return f"{head} ({request.use}){_refusals(choice)}"
    head = f"no configured Calico pools for node {node}"
    state = "can be used" if choice.refused else "is configured"
    return f"{head}: no IPv{request.version} pool {state}{_refusals(choice)}"


def _shortage(version: int, count: int, assigned: Assigned, choice: Choice) -> str:
    got = len(assigned.addresses)
    head = f"Assigned {got} out of {count} requested IPv{version} addresses"
    return "; ".join((head, *assigned.why_short)) + _refusals(choice)


def _refusals(choice: Choice) -> str:
    return "".join(f"; pool {p.name} ({p.cidr}) {reason}" for p, reason in choice.refused)
