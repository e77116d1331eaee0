"""The form a resource has in the datastore, which is not quite the one that users see.

    as users see it --stored_form--> as it is stored --encode--> bytes
    as users see it <--read_form--- as it is stored <--decode-- bytes

Stored, a policy carries the label of its tier and an annotation with its name, and a workload
endpoint the labels of its namespace and orchestrator; the revision never is. The annotation tells
a name given by the user from one of an older release, which began with "default.".

Invariant: read_form(stored_form(x)) is x with its tier's label.
Source: libcalico-go/lib/backend/model/keys.go, api/pkg/defaults; datastore-etcd 1.2.1, 1.2.2,
1.2.4.
"""

from collections.abc import Mapping

import msgspec
from msgspec import DecodeError
from msgspec.structs import replace

from calico.core.model.codec import decode, encode
from calico.core.model.endpoint import WorkloadEndpoint
from calico.core.model.metadata import API_VERSION, ApiStruct, Metadata, Resource
from calico.core.model.policy import (
    GlobalNetworkPolicy,
    NetworkPolicy,
    Policy,
    StagedGlobalNetworkPolicy,
    StagedNetworkPolicy,
)
from calico.core.model.problem import InvalidResource, Problem
from calico.core.model.tier import DEFAULT_TIER

NAME_ANNOTATION = "projectcalico.org/metadata"
TIER_LABEL = "projectcalico.org/tier"
NAMESPACE_LABEL = "projectcalico.org/namespace"
ORCHESTRATOR_LABEL = "projectcalico.org/orchestrator"
POLICIES = (NetworkPolicy, GlobalNetworkPolicy, StagedNetworkPolicy, StagedGlobalNetworkPolicy)


class GivenName(ApiStruct, frozen=True):
    """What the annotation of a policy holds."""

    name: str = ""


def to_record(resource: Resource) -> bytes:
    """Return the value to store for a resource."""
    return encode(stored_form(resource))


def from_record(kind: str, raw: bytes, revision: int) -> Resource:
    """Return the resource of a stored value. Raises InvalidResource."""
    resource = read_form(decode(kind, raw))
    return replace(resource, metadata=replace(resource.metadata, resource_version=str(revision)))


def stored_form(resource: Resource) -> Resource:
    """Return the resource as it is stored."""
    metadata = replace(resource.metadata, resource_version="", self_link="")
    if isinstance(resource, POLICIES):
        metadata = policy_metadata(resource, metadata)
    elif isinstance(resource, WorkloadEndpoint):
        metadata = with_labels(
            metadata,
            {
                NAMESPACE_LABEL: metadata.namespace,
                ORCHESTRATOR_LABEL: resource.spec.orchestrator,
            },
        )
    return replace(resource, api_version=API_VERSION, metadata=metadata)


def policy_metadata(policy: Policy, metadata: Metadata) -> Metadata:
    """Add what a stored policy carries."""
    given = encode_name(metadata.name)
    annotations = {**metadata.annotations, NAME_ANNOTATION: given}
    labelled = with_labels(metadata, {TIER_LABEL: policy.spec.tier or DEFAULT_TIER})
    return replace(labelled, annotations=annotations)


def with_labels(metadata: Metadata, labels: Mapping[str, str]) -> Metadata:
    """Force labels."""
    return replace(metadata, labels={**metadata.labels, **labels})


def encode_name(name: str) -> str:
    """Return the annotation's text."""
    return msgspec.json.encode(GivenName(name)).decode()


def read_form(resource: Resource) -> Resource:
    """Return the resource as users see it. Raises InvalidResource for a broken annotation."""
    metadata = replace(resource.metadata, self_link="")
    if isinstance(resource, POLICIES):
        metadata = user_metadata(resource, metadata)
    return replace(resource, metadata=metadata)


def user_metadata(policy: Policy, metadata: Metadata) -> Metadata:
    """Undo what storing a policy did, and what older releases did."""
    name, annotations = metadata.name, dict(metadata.annotations)
    if annotations.get(NAME_ANNOTATION):
        name = given_name(annotations.pop(NAME_ANNOTATION))
    elif policy.spec.tier in {"", DEFAULT_TIER}:
        name = name.removeprefix(f"{DEFAULT_TIER}.")
    labels = {TIER_LABEL: DEFAULT_TIER, **metadata.labels}
    return replace(metadata, name=name, annotations=annotations, labels=labels)


def given_name(annotation: str) -> str:
    """Return the name in the annotation. Raises InvalidResource."""
    try:
        return msgspec.json.decode(annotation, type=GivenName).name
    except DecodeError as error:
        reason = f"is not what Calico writes there: {error}"
        found = Problem(f"metadata.annotations.{NAME_ANNOTATION}", annotation, reason)
        raise InvalidResource((found,)) from error
