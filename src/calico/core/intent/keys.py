"""Names of the things that are intended: endpoints, policies, routes."""

from typing import NamedTuple


class EndpointKey(NamedTuple):
    """One workload endpoint of one node, as in its WorkloadEndpoint's name."""

    orchestrator: str  # "k8s", "cni" ...
    workload: str  # "<namespace>/<pod>" or "<namespace>/<container id>"
    endpoint: str  # "eth0"


class HostEndpointKey(NamedTuple):
    """One HostEndpoint of this node."""

    name: str


class PolicyKey(NamedTuple):
    """A policy; `namespace` is empty for the global kinds."""

    kind: str  # "NetworkPolicy", "GlobalNetworkPolicy" ...
    namespace: str
    name: str


class RouteKey(NamedTuple):
    """What the kernel tells routes apart by."""

    destination: str  # canonical CIDR, "10.65.0.1/32"
    metric: int = 0
