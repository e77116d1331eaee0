"""create, apply, replace, delete, get, validate: resources from files and by name.

    files --documents--> decode, strict --> Resources --> what was done, in calicoctl's words
    kind, names -----------------------> Resources --> output.py

All resources of a command are tried; what failed is told together at the end.

Source: shared/spec calicoctl 7b.3.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import TypeAlias

import msgspec
from msgspec.structs import replace

from calico.calicoctl import messages
from calico.calicoctl.errors import CommandError
from calico.calicoctl.files import Document, FileError, read_path
from calico.calicoctl.get import get
from calico.calicoctl.kinds import BY_KIND, kind_named
from calico.calicoctl.removal import NodeAddresses
from calico.calicoctl.store import open_resources
from calico.core.model.checks import check
from calico.core.model.codec import decode
from calico.core.model.defaults import with_defaults
from calico.core.model.keys import ResourceKey
from calico.core.model.metadata import API_VERSION, Metadata, Resource
from calico.core.model.problem import InvalidResource
from calico.core.model.registry import KINDS
from calico.datastore.client import DatastoreError
from calico.datastore.initialize import ensure_initialized
from calico.datastore.node_removal import delete_node
from calico.datastore.resource_errors import (
    AlreadyExists,
    DoesNotExist,
    NotSupported,
    identifier,
)
from calico.datastore.resources import Resources, resource_key

Operation: TypeAlias = Callable[[ResourceKey, Resource | None], None]

_MANAGED_ELSEWHERE = "knp.default."
_ON_CLUSTER_INFORMATION = {
    "create": ("create or apply", ""),
    "apply": ("apply", "resource is readonly"),
    "replace": ("apply or replace", ""),
    "delete": ("delete", ""),
}


def run(arguments: argparse.Namespace) -> None:
    """Run one of the commands. Raises CommandError."""
    if arguments.command == "get":
        resources = open_resources(arguments)
        try:
            sys.stdout.write(get(resources, arguments, _wanted(arguments)))
        finally:
            resources.datastore.close()
        return
    if arguments.command == "delete" and not arguments.filename:
        keys = _keys(arguments)
        if not keys:
            raise CommandError("name what to delete: calicoctl delete KIND NAME, or -f FILE")
        _run_all(arguments, [(key, None) for key in keys])
        return
    found = [(resource_key(resource), resource) for resource in _from_files(arguments)]
    if not found:
        if arguments.skip_empty:
            print("No resources specified")
            return
        raise CommandError(f"no resources specified in {arguments.filename}")
    _run_all(arguments, found)


def _run_all(
    arguments: argparse.Namespace, found: Sequence[tuple[ResourceKey, Resource | None]]
) -> None:
    if arguments.command == "validate":
        operation: Operation = _validate
        store = None
    else:
        store = open_resources(arguments)
        operation = _operation(store, arguments)
        if arguments.command != "delete":
            _initialise(store)
    errors: list[str] = []
    done = 0
    try:
        for key, resource in found:
            try:
                operation(key, resource)
                done += 1
            except InvalidResource as error:  # of many documents, say which
                errors.append(f"{identifier(key)}: {error}")
            except DatastoreError as error:
                errors.append(str(error))
    finally:
        if store is not None:
            store.datastore.close()
    kinds = {key.kind for key, _ in found}
    outcome = messages.Outcome(messages.VERBS[arguments.command], kinds, len(found), done, errors)
    print(messages.success(outcome), end="")
    if errors:
        raise CommandError(messages.failure(outcome))


def _operation(store: Resources, arguments: argparse.Namespace) -> Operation:
    """Give the command's work on one resource; deletion by name has only the key."""

    def create(resource: Resource) -> None:
        try:
            store.create(replace(resource, metadata=_bare(resource.metadata)))
        except AlreadyExists:
            if not arguments.skip_exists:
                raise

    def substitute(resource: Resource) -> None:
        store.get(resource_key(resource))  # says that it does not exist
        store.apply(resource)

    writes = {"create": create, "apply": store.apply, "replace": substitute}

    def operate(key: ResourceKey, resource: Resource | None) -> None:
        _refuse_managed(key)
        if key.kind == "ClusterInformation":  # Calico's own record: datastoreReady hangs on it
            operation, why = _ON_CLUSTER_INFORMATION[arguments.command]
            raise NotSupported(operation, key.kind, why)
        if resource is None or arguments.command == "delete":
            _delete(store, key, resource, skips=arguments.skip_not_exists)
        else:
            writes[arguments.command](resource)

    return operate


def _delete(store: Resources, key: ResourceKey, resource: Resource | None, *, skips: bool) -> None:
    version = "" if resource is None else resource.metadata.resource_version
    try:
        if key.kind == "Node":
            delete_node(store, key.name, NodeAddresses(store.datastore, key.name), version)
        else:
            store.delete(key, version)
    except DoesNotExist:
        if not skips:
            raise


def _validate(_: ResourceKey, resource: Resource | None) -> None:
    assert resource is not None  # noqa: S101
    problems = check(with_defaults(resource))
    if problems:
        raise InvalidResource(problems)


def _initialise(store: Resources) -> None:
    """Write what every cluster has; if that fails, the command itself will say why."""
    try:
        ensure_initialized(store, pause=lambda _: None)
    except DatastoreError:
        return


def _refuse_managed(key: ResourceKey) -> None:
    if key.kind == "NetworkPolicy" and key.name.startswith(_MANAGED_ELSEWHERE):
        raise DatastoreError(
            f"operation is not supported on NetworkPolicy({key.name}): kubernetes network "
            "policies must be managed through the kubernetes API"
        )


def _bare(metadata: Metadata) -> Metadata:
    """Keep what create sends."""
    return Metadata(
        name=metadata.name,
        namespace=metadata.namespace,
        resource_version=metadata.resource_version,
        labels=metadata.labels,
        annotations=metadata.annotations,
    )


def _from_files(arguments: argparse.Namespace) -> list[Resource]:
    if not arguments.filename:
        raise CommandError(f"name a file: calicoctl {arguments.command} -f FILE")
    try:
        documents = read_path(arguments.filename, arguments.recursive)
        return [_resource(document, arguments) for document in documents]
    except FileError as error:
        raise CommandError(f"failed to execute command: {error}") from error


def _resource(document: Document, arguments: argparse.Namespace) -> Resource:
    kind = str(document.content.get("kind", ""))
    version = document.content.get("apiVersion")
    if kind not in KINDS or kind not in BY_KIND or version != API_VERSION:
        known = ", ".join(sorted(BY_KIND))
        raise FileError(
            f"{document.where}: unknown resource type ({kind}) and/or version ({version}); "
            f"use apiVersion {API_VERSION} and one of {known}"
        )
    try:
        resource = decode(kind, msgspec.json.encode(document.content), strict=True)
    except InvalidResource as error:
        name = (document.content.get("metadata") or {}).get("name", "")
        raise FileError(f"{document.where}: {kind} {name}: {error}") from error
    namespace = namespace_of(kind, resource.metadata.namespace, getattr(arguments, "namespace", ""))
    return replace(resource, metadata=replace(resource.metadata, namespace=namespace))


def namespace_of(kind: str, of_resource: str, of_client: str) -> str:
    """Decide a resource's namespace. Raises CommandError when the two contradict."""
    if not KINDS[kind].namespaced:
        if of_resource:
            raise CommandError(
                "namespace should not be specified for a non-namespaced resource. "
                f"{kind} is not a namespaced resource"
            )
        if of_client:
            raise CommandError(f"{kind} is not namespaced")
        return ""
    if of_resource and of_client and of_resource != of_client:
        raise CommandError(
            f"resource namespace does not match client namespace. {of_resource} != {of_client}"
        )
    return of_resource or of_client or "default"


def _kind(text: str) -> str:
    kind = kind_named(text)
    if kind is None:
        known = ", ".join(sorted(BY_KIND))
        raise CommandError(f"resource type '{text}' is not supported; known: {known}")
    return kind


def _keys(arguments: argparse.Namespace) -> list[ResourceKey]:
    if not arguments.kind:
        return []
    kind = _kind(arguments.kind)
    if "" in arguments.names:
        raise CommandError("resource name may not be empty")
    namespace = namespace_of(kind, "", arguments.namespace)
    return [ResourceKey(kind, namespace, name) for name in arguments.names]


def _wanted(arguments: argparse.Namespace) -> list[ResourceKey]:
    """Say what get is asked for; a key without a name is all of a kind."""
    if arguments.filename:
        return [resource_key(resource) for resource in _from_files(arguments)]
    if not arguments.kind:
        raise CommandError("name what to get: calicoctl get KIND [NAME...], or -f FILE")
    kind = _kind(arguments.kind)
    everywhere = arguments.all_namespaces
    if everywhere and arguments.namespace:
        raise CommandError(
            "cannot use both --namespace and --all-namespaces flags at the same time"
        )
    if everywhere and arguments.names:
        raise CommandError("cannot use --all-namespace flag for getting a single resource")
    if everywhere and not KINDS[kind].namespaced:
        raise CommandError(f"{kind} is not namespaced")
    if everywhere:
        return [ResourceKey(kind, "", "")]
    return _keys(arguments) or [ResourceKey(kind, namespace_of(kind, "", arguments.namespace), "")]
