"""Typed resources over a datastore: what calicoctl, the CNI service and the node programs use.

    get, list <-- from_record <-- entries            (core/model: codec, defaults, checks, stored)
    create, update, apply --> with_defaults --> rules of the kind --> check --> to_record --> commit

Creating gives a resource its uid and time; updating demands the revision that was read, so two
writers never undo each other unseen. resource_rules.py holds what single kinds demand of the
records around them (a policy's tier must exist, pools must not overlap).

A record that is no valid resource does not hide the others: `list` gives it beside them, `get`
raises Unreadable, `delete` removes it.

Failure: the errors of resource_errors.py, InvalidResource, and the datastore's own.
Source: shared/spec datastore-etcd 1.2.1, 1.2.2, 1.2.6, 1.3.
"""

import time
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from msgspec import Struct
from msgspec.structs import replace

from calico.core.model.checks import check
from calico.core.model.defaults import with_defaults
from calico.core.model.keys import ResourceKey, kind_prefix, path_of
from calico.core.model.metadata import Metadata, Resource
from calico.core.model.pool import IPPool
from calico.core.model.problem import InvalidResource, Problem
from calico.core.model.registry import KINDS
from calico.core.model.stored import from_record, to_record
from calico.datastore import resource_rules as rules
from calico.datastore.client import Conflict, Datastore, Delete, Entry, NotFound, Put
from calico.datastore.resource_errors import (
    AlreadyExists,
    DoesNotExist,
    Unreadable,
    UpdateConflict,
    identifier,
)

APPLY_ATTEMPTS = 5
POOL_PAUSE_SECONDS = 0.5  # for assignments from a pool that is about to go


class ResourceList(Struct, frozen=True):
    """All of a kind, at one revision of the store, and the records that could not be read."""

    items: Sequence[Resource]
    revision: int
    unreadable: Sequence[Unreadable] = ()


def resource_key(resource: Resource) -> ResourceKey:
    """Return the key of a resource."""
    metadata = resource.metadata
    return ResourceKey(resource.kind, metadata.namespace, metadata.name)


class Resources:
    """Reads and writes resources. Safe for several threads, as its datastore is.

    `release_affinities(cidr)` is called when a pool is deleted: IPAM, a room above, gives it.
    """

    def __init__(
        self,
        datastore: Datastore,
        now: Callable[[], float] = time.time,
        new_uid: Callable[[], str] = lambda: str(uuid.uuid4()),
        release_affinities: Callable[[str], None] | None = None,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self.datastore = datastore
        self._now = now
        self._new_uid = new_uid
        self._release_affinities = release_affinities
        self._pause = pause

    def get(self, key: ResourceKey) -> Resource:
        """Read one. Raises DoesNotExist, Unreadable."""
        _demand_namespace(key)
        if (virtual := rules.virtual(key)) is not None:
            return virtual
        found = rules.as_got(_readable(key.kind, self._entry(key)))
        if found is None:
            raise DoesNotExist(key)
        return found

    def list(self, kind: str, namespace: str = "") -> ResourceList:
        """Read all of a kind, of one namespace if given."""
        prefix = kind_prefix(kind) + (f"{namespace}/" if namespace else "")
        listing = self.datastore.list(prefix)
        items: list[Resource] = []
        unreadable: list[Unreadable] = []
        for entry in listing.entries:
            try:
                items.append(rules.as_listed(_readable(kind, entry)))
            except Unreadable as error:
                unreadable.append(error)
        return ResourceList([*items, *rules.always_there(kind)], listing.revision, unreadable)

    def create(self, resource: Resource) -> Resource:
        """Write a new one; return it as stored. Raises AlreadyExists, InvalidResource."""
        rules.before_create(self, resource)
        metadata = resource.metadata
        if metadata.resource_version:
            raise _invalid(
                "ResourceVersion", metadata, "field must not be set for a Create request"
            )
        resource = with_defaults(resource)
        if not resource.metadata.name:
            hint = " (GenerateName is not supported)" if metadata.generate_name else ""
            reason = f"field must be set for a Create request{hint}"
            raise InvalidResource((Problem("Metadata.Name", "", reason),))
        _demand_namespace(resource_key(resource))
        born = replace(
            resource.metadata,
            uid=metadata.uid or self._new_uid(),
            creation_timestamp=metadata.creation_timestamp or self._timestamp(),
        )
        return self._write(replace(resource, metadata=born), rules.problems_of_new, expected=0)

    def update(self, resource: Resource) -> Resource:
        """Write over the revision that was read; return it as stored.

        Raises UpdateConflict, DoesNotExist, InvalidResource.
        """
        rules.before_update(resource)
        _demand_namespace(resource_key(resource))
        expected = _revision_for_update(resource.metadata)
        return self._write(with_defaults(resource), rules.problems_of_changed, expected)

    def apply(self, resource: Resource) -> Resource:
        """Create, or write over what is there, at the resource version given, if one is given.

        Of the stored metadata all is kept but labels and annotations.
        """
        given = resource.metadata.resource_version
        new = replace(resource, metadata=replace(resource.metadata, resource_version=""))
        for attempt in range(1, APPLY_ATTEMPTS + 1):
            try:
                return self.create(new)
            except AlreadyExists as error:
                existing = error.existing
            if existing is None:
                existing = self.get(resource_key(resource))  # says why it cannot be read
            try:
                return self.update(_over(existing, resource))
            except (UpdateConflict, DoesNotExist):
                if given or attempt == APPLY_ATTEMPTS:
                    raise
        raise AssertionError("unreachable")

    def delete(self, key: ResourceKey, resource_version: str = "") -> Resource | None:
        """Delete one, if it is at that version (if given).

        Returns what was deleted; None: it could not be read. Raises DoesNotExist, UpdateConflict.
        """
        _demand_namespace(key)
        rules.before_delete(self, key)
        if key.kind == IPPool.__name__:
            resource_version = self._retire_pool(key, resource_version)
        entry = self._entry(key)
        expected = _parse_revision(resource_version) if resource_version else None
        try:
            self.datastore.commit([Delete(entry.path, expected)])
        except Conflict as error:
            raise _conflict(key, error) from error
        return _read_or_none(key.kind, entry)

    def _entry(self, key: ResourceKey) -> Entry:
        try:
            return self.datastore.get(path_of(key))
        except NotFound as error:
            raise DoesNotExist(key) from error

    def _timestamp(self) -> str:
        return datetime.fromtimestamp(int(self._now()), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def _write(self, resource: Resource, question: rules.Question, expected: int) -> Resource:
        if problems := (*question(self, resource), *check(resource)):
            raise InvalidResource(problems)
        key, value = resource_key(resource), to_record(resource)
        try:
            revision = self.datastore.commit([Put(path_of(key), value, expected)])
        except Conflict as error:
            if expected:
                raise _conflict(key, error) from error
            existing = _read_or_none(key.kind, error.actual)
            raise AlreadyExists(identifier(key), existing) from error
        return from_record(key.kind, value, revision)

    def _retire_pool(self, key: ResourceKey, resource_version: str) -> str:
        """Let nobody assign from a pool any more; return the version it must still be at."""
        try:
            pool = self.get(key)
        except Unreadable:
            return resource_version  # nobody assigns from what cannot be read
        if isinstance(pool, IPPool) and not pool.spec.disabled:
            version = resource_version or pool.metadata.resource_version
            disabled = replace(pool, spec=replace(pool.spec, disabled=True))
            metadata = replace(pool.metadata, resource_version=version)
            self.update(replace(disabled, metadata=metadata))
            resource_version = ""
        if isinstance(pool, IPPool) and self._release_affinities is not None:
            self._pause(POOL_PAUSE_SECONDS)
            self._release_affinities(pool.spec.cidr)
        return resource_version


def _readable(kind: str, entry: Entry) -> Resource:
    try:
        return from_record(kind, entry.value, entry.revision)
    except InvalidResource as error:
        raise Unreadable(entry.path, entry.value, str(error)) from error


def _read_or_none(kind: str, entry: Entry | None) -> Resource | None:
    try:
        return None if entry is None else _readable(kind, entry)
    except Unreadable:
        return None


def _over(existing: Resource, resource: Resource) -> Resource:
    """Return what replaces a stored resource: its metadata, but labels and annotations anew."""
    given = resource.metadata
    metadata = replace(
        existing.metadata,
        labels=given.labels,
        annotations=given.annotations,
        resource_version=given.resource_version or existing.metadata.resource_version,
    )
    return replace(resource, metadata=metadata)


def _revision_for_update(metadata: Metadata) -> int:
    for name, value in (
        ("ResourceVersion", metadata.resource_version),
        ("CreationTimestamp", metadata.creation_timestamp),
        ("UID", metadata.uid),
    ):
        if not value:
            raise _invalid(name, metadata, "field must be set for an Update request")
    return _parse_revision(metadata.resource_version)


def _invalid(name: str, metadata: Metadata, reason: str) -> InvalidResource:
    value = metadata.resource_version if name == "ResourceVersion" else ""
    return InvalidResource((Problem(f"Metadata.{name}", value, reason),))


def _parse_revision(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        problem = Problem("ResourceVersion", text, "must be the decimal number that was read")
        raise InvalidResource((problem,))
    return int(text)


def _demand_namespace(key: ResourceKey) -> None:
    if KINDS[key.kind].namespaced and not key.namespace:
        reason = "namespace is not specified on namespaced resource"
        raise InvalidResource((Problem("Metadata.Namespace", "", reason),))


def _conflict(key: ResourceKey, error: Conflict) -> UpdateConflict | DoesNotExist:
    if error.actual is None:
        return DoesNotExist(key)
    return UpdateConflict(key, _read_or_none(key.kind, error.actual))
