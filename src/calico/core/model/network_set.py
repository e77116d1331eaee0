"""Network sets: addresses outside the cluster, with labels, so that selectors can name them.

Source: api/pkg/apis/projectcalico/v3/{networkset,globalnetworkset}.go.
"""

from collections.abc import Iterator

from msgspec import field

from calico.core.model.constraints import any_network, each, fields, problem
from calico.core.model.metadata import ApiStruct, Resource
from calico.core.model.naming import metadata
from calico.core.model.problem import Problem

NAMESPACE_LABEL = "projectcalico.org/namespace"


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


def check_network_set(network_set: NetworkSet | GlobalNetworkSet) -> Iterator[Problem]:
    """Yield all that is wrong with a network set."""
    yield from metadata(network_set.metadata)
    if NAMESPACE_LABEL in network_set.metadata.labels:
        reason = f"label {NAMESPACE_LABEL} is Calico's own; remove it"
        yield from problem("metadata.labels", NAMESPACE_LABEL, reason)
    yield from fields(network_set.spec, "spec", {"nets": each(any_network)})


def usable_network_set(network_set: NetworkSet | GlobalNetworkSet) -> Iterator[Problem]:
    """Yield what makes a network set impossible to program."""
    yield from fields(network_set.spec, "spec", {"nets": each(any_network)})
