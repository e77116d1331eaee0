"""What changed in the intent since last time: all that passes from thinking to touching.

    core/calc --IntentDelta--> core/render (rule sets, endpoint routes, sysctls) --> reconcile

Whatever an entry of the delta refers to (a policy's IP sets, an endpoint's policies) is in this
delta or in an earlier one and not removed since; removals come in the same delta as the change
that made them unused.
"""

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

from calico.core.intent.endpoints import WorkloadEndpoint
from calico.core.intent.ip_sets import IpSet
from calico.core.intent.keys import EndpointKey, PolicyKey
from calico.core.intent.nat import Pool
from calico.core.intent.policies import Policy, Profile
from calico.core.intent.tunnels import ClusterRoute, RemoteEnd, RemoteKey, TunnelEnd, TunnelKind


class IntentDelta(Struct, frozen=True):
    """None means "no longer"; a key that is absent has not changed.

    `ip_sets` brings a set whole when it appears or changes kind; `members` brings the changes of
    sets that were there before: {(id, member): True or None}.
    """

    ip_sets: Mapping[str, IpSet | None] = {}
    members: Mapping[tuple[str, str], Literal[True] | None] = {}
    policies: Mapping[PolicyKey, Policy | None] = {}
    profiles: Mapping[str, Profile | None] = {}
    endpoints: Mapping[EndpointKey, WorkloadEndpoint | None] = {}
    pools: Mapping[str, Pool | None] = {}  # by CIDR
    cluster_routes: Mapping[str, ClusterRoute | None] = {}  # by destination CIDR
    tunnels: Mapping[TunnelKind, TunnelEnd | None] = {}
    remote_ends: Mapping[RemoteKey, RemoteEnd | None] = {}
    hosts: Mapping[str, Literal[True] | None] = {}  # by address
    own_hosts: Mapping[int, str | None] = {}  # this node's addresses, by IP version


class Intent(Struct, frozen=True):
    """The whole intent at one moment, as a definition gives it; same keys as the delta."""

    ip_sets: Mapping[str, IpSet] = {}
    policies: Mapping[PolicyKey, Policy] = {}
    profiles: Mapping[str, Profile] = {}
    endpoints: Mapping[EndpointKey, WorkloadEndpoint] = {}
    pools: Mapping[str, Pool] = {}
    cluster_routes: Mapping[str, ClusterRoute] = {}
    tunnels: Mapping[TunnelKind, TunnelEnd] = {}
    remote_ends: Mapping[RemoteKey, RemoteEnd] = {}
    hosts: Mapping[str, Literal[True]] = {}
    own_hosts: Mapping[int, str] = {}
