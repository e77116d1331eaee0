"""Network sets: addresses outside the cluster, with labels, so that selectors can name them.

Source: api/pkg/apis/projectcalico/v3/{networkset,globalnetworkset}.go.
"""

from msgspec import field

from calico.core.model.metadata import ApiStruct, Resource


class NetworkSetSpec(ApiStruct, frozen=True):
    """The addresses and CIDRs of the set."""

    nets: tuple[str, ...] = ()


class NetworkSet(Resource, frozen=True):
    """A set that the policies of its namespace may select."""

    spec: NetworkSetSpec = field(default_factory=NetworkSetSpec)


class GlobalNetworkSetSpec(ApiStruct, frozen=True):
    """The addresses and CIDRs of the set."""

    nets: tuple[str, ...] = ()


class GlobalNetworkSet(Resource, frozen=True):
    """A set that any policy may select."""

    spec: GlobalNetworkSetSpec = field(default_factory=GlobalNetworkSetSpec)
