"""What can go wrong with one resource, in the words that calicoctl's users and scripts know.

    DatastoreError
     `-- ResourceError
          |-- DoesNotExist     |-- AlreadyExists    |-- UpdateConflict
          |-- NotSupported     `-- Unreadable       a record that is no valid resource

What is wrong *in* a resource is InvalidResource, of core/model.

Source: shared/spec calicoctl 7b.3 (error bodies), datastore-etcd 1.3.
"""

from calico.core.model.keys import ResourceKey
from calico.core.model.metadata import Resource
from calico.datastore.client import DatastoreError


def identifier(key: ResourceKey) -> str:
    """Name a resource as Calico does: "IPPool(p1)", "NetworkPolicy(shop/web)"."""
    return f"{key.kind}({key.namespace + '/' if key.namespace else ''}{key.name})"


class ResourceError(DatastoreError):
    """An operation on one resource failed."""


class DoesNotExist(ResourceError):
    """There is no such resource."""

    def __init__(self, key: ResourceKey) -> None:
        super().__init__(f"resource does not exist: {identifier(key)} with error: <nil>")
        self.key = key


class AlreadyExists(ResourceError):
    """There is one of that name; `existing` is it, if it can be read."""

    def __init__(self, name: str, existing: Resource | None, reason: str = "<nil>") -> None:
        super().__init__(f"resource already exists: {name} with error: {reason}")
        self.existing = existing


class UpdateConflict(ResourceError):
    """It is not at the revision that the writer had read; `existing` is what it is now."""

    def __init__(self, key: ResourceKey, existing: Resource | None) -> None:
        super().__init__(f"update conflict: {identifier(key)}")
        self.key = key
        self.existing = existing


class NotSupported(ResourceError):
    """What must not be done to that resource."""

    def __init__(self, operation: str, name: str, reason: str = "") -> None:
        why = f": {reason}" if reason else ""
        super().__init__(f"operation {operation} is not supported on {name}{why}")
        self.reason = reason


class Unreadable(ResourceError):
    """The record under `path` is no valid resource of its kind."""

    def __init__(self, path: str, value: bytes, reason: str) -> None:
        text = value.decode(errors="replace")
        super().__init__(f"failed to parse datastore entry key={path}; value={text}: {reason}")
        self.path = path
        self.reason = reason
