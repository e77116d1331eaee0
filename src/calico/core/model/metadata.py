"""What every resource carries: its kind, its metadata, and the way its JSON is laid out.

    {"kind": ..., "apiVersion": ..., "metadata": {...}, "spec": {...}, "status": {...}}
     the class     API_VERSION        Metadata

The order of attributes is the order on the wire. An attribute with a plain default is left out
while it holds it (Go's omitempty); one with `field(default_factory=...)` is always written.

Source: k8s.io/apimachinery meta/v1 ObjectMeta, Condition; datastore-etcd 1.2.1.
"""

from collections.abc import Mapping

from msgspec import Raw, Struct, field

from calico.core.model.json_names import api_name

API_VERSION = "projectcalico.org/v3"


class ApiStruct(Struct, frozen=True, omit_defaults=True, rename=api_name):
    """A part of a resource: frozen, named as in the API, empty parts left out."""


class OwnerReference(ApiStruct, frozen=True):
    """The Kubernetes object that owns a resource."""

    api_version: str = field(default_factory=str)
    kind: str = field(default_factory=str)
    name: str = field(default_factory=str)
    uid: str = field(default_factory=str)
    controller: bool | None = None
    block_owner_deletion: bool | None = None


class Metadata(ApiStruct, frozen=True):
    """Names, labels and history of a resource. Times are RFC 3339 text, "" while unset.

    `resource_version` is the store's revision in decimal: filled on read, never stored.
    """

    name: str = ""
    generate_name: str = ""
    namespace: str = ""
    self_link: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: str = ""
    deletion_timestamp: str | None = None
    deletion_grace_period_seconds: int | None = None
    labels: Mapping[str, str] = {}
    annotations: Mapping[str, str] = {}
    owner_references: tuple[OwnerReference, ...] = ()
    finalizers: tuple[str, ...] = ()
    managed_fields: tuple[Raw, ...] = ()


class Condition(ApiStruct, frozen=True):
    """One observed condition of a resource, in the Kubernetes form."""

    type: str = field(default_factory=str)
    status: str = field(default_factory=str)
    observed_generation: int = 0
    last_transition_time: str | None = field(default_factory=lambda: None)
    reason: str = field(default_factory=str)
    message: str = field(default_factory=str)


class Resource(ApiStruct, frozen=True, tag_field="kind", tag=True):
    """A user-visible object; the class's name is its kind, written first."""

    api_version: str = field(default_factory=lambda: API_VERSION)
    metadata: Metadata = field(default_factory=Metadata)

    @property
    def kind(self) -> str:
        """The kind, as in the API."""
        return type(self).__name__
