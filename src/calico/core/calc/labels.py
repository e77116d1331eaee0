"""The labels by which selectors know an endpoint or a network set.

    its own labels   (cleaned, and with the forced ones) --+
    labels of its profiles, first profile first          --+--> effective labels

A pod cannot put itself into another namespace or service account: labels that only profiles may
give are removed from its own, and the ones that say where it is are forced.

Source: policy-semantics 3.2; libcalico-go updateprocessors/workloadendpointprocessor.go.
"""

from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

from calico.core.model.endpoint import HostEndpoint, WorkloadEndpoint
from calico.core.model.network_set import GlobalNetworkSet, NetworkSet

Labels: TypeAlias = Mapping[str, str]

NAMESPACE_LABEL = "projectcalico.org/namespace"
ORCHESTRATOR_LABEL = "projectcalico.org/orchestrator"
SERVICE_ACCOUNT_LABEL = "projectcalico.org/serviceaccount"
NAMESPACE_PREFIX = "pcns."  # before each label that an endpoint has from its namespace
SERVICE_ACCOUNT_PREFIX = "pcsa."  # before each label that it has from its service account
NAMESPACE_PROFILE_PREFIX = "kns."  # before the namespace's name, in its profile's name


class Labelled(NamedTuple):
    """Own labels in key order, and the profiles that add to them: what is equal is shared."""

    own: tuple[tuple[str, str], ...]
    profiles: tuple[str, ...] = ()


def labelled(own: Labels, profiles: tuple[str, ...] = ()) -> Labelled:
    """Put labels into the form in which equal ones are equal."""
    return Labelled(tuple(sorted(own.items())), profiles)


def effective_labels(subject: Labelled, profiles: Mapping[str, Labels]) -> Labels:
    """Define what selectors see: own labels win, then the first profile that has the key."""
    merged: dict[str, str] = {}
    for name in reversed(subject.profiles):
        merged.update(profiles.get(name, {}))
    merged.update(subject.own)
    return merged


def workload_endpoint_labels(endpoint: WorkloadEndpoint) -> Labelled:
    """Clean and force the own labels of a workload endpoint."""
    own = {
        key: value
        for key, value in endpoint.metadata.labels.items()
        if not key.startswith((NAMESPACE_PREFIX, SERVICE_ACCOUNT_PREFIX))
    }
    own[NAMESPACE_LABEL] = endpoint.metadata.namespace
    own[ORCHESTRATOR_LABEL] = endpoint.spec.orchestrator
    if endpoint.spec.service_account_name:
        own[SERVICE_ACCOUNT_LABEL] = endpoint.spec.service_account_name
    return labelled(own, endpoint.spec.profiles)


def host_endpoint_labels(endpoint: HostEndpoint) -> Labelled:
    """Return the labels of a host endpoint: nothing is forced."""
    return labelled(endpoint.metadata.labels, endpoint.spec.profiles)


def network_set_labels(network_set: NetworkSet | GlobalNetworkSet) -> Labelled:
    """Return the labels of a set: a namespaced one stands in its namespace, as endpoints do."""
    own = network_set.metadata.labels
    if isinstance(network_set, GlobalNetworkSet):
        return labelled(own)
    namespace = network_set.metadata.namespace
    return labelled({**own, NAMESPACE_LABEL: namespace}, (NAMESPACE_PROFILE_PREFIX + namespace,))
