"""Records that the lab writes itself: what kube-controllers would, and resources at hand.

    Namespace shop {team: sales} --> Profile kns.shop          allows all; labels pcns.team ...
                                 `-> Profile ksa.shop.default  no rules; its own name

Pods of a namespace have both, in this order, and policies can select them by these labels.

Source: shared/spec kube-controllers, datastore-kubernetes 2.7.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import msgspec
from msgspec.structs import replace

from calico.core.model.checks import check
from calico.core.model.codec import decode
from calico.core.model.defaults import with_defaults
from calico.core.model.keys import ResourceKey, path_of
from calico.core.model.metadata import Metadata, Resource
from calico.core.model.problem import InvalidResource
from calico.core.model.profile import Profile, ProfileSpec
from calico.core.model.rule import Rule
from calico.core.model.stored import to_record
from calico.datastore.client import Datastore, Delete, Put
from calico.lab.pods import SERVICE_ACCOUNT
from calico.lab.shape import Namespace


def namespace_profiles(namespace: Namespace) -> tuple[Profile, Profile]:
    """Make the two profiles of a namespace."""
    labels = {f"pcns.{key}": value for key, value in namespace.labels.items()}
    labels["pcns.projectcalico.org/name"] = namespace.name
    allow = (Rule(action="Allow"),)
    account = {"pcsa.projectcalico.org/name": SERVICE_ACCOUNT}
    return (
        _profile(f"kns.{namespace.name}", ProfileSpec(allow, allow, labels)),
        _profile(f"ksa.{namespace.name}.{SERVICE_ACCOUNT}", ProfileSpec(labels_to_apply=account)),
    )


def _profile(name: str, spec: ProfileSpec) -> Profile:
    return Profile(metadata=Metadata(name), spec=spec)


def write_namespaces(store: Datastore, namespaces: Iterable[Namespace]) -> None:
    """Write the profiles of these namespaces, over what may be there."""
    write(store, [profile for one in namespaces for profile in namespace_profiles(one)])


def write(store: Datastore, resources: Iterable[Resource]) -> None:
    """Write resources as a client would, in one commit. Raises InvalidResource."""
    puts = [Put(path(resource), to_record(_checked(resource))) for resource in resources]
    if puts:
        store.commit(puts)


def remove(store: Datastore, resources: Iterable[Resource]) -> None:
    """Delete resources, in one commit."""
    if deletes := [Delete(path(resource)) for resource in resources]:
        store.commit(deletes)


def path(resource: Resource) -> str:
    """Say where a resource is stored."""
    metadata = resource.metadata
    return path_of(ResourceKey(resource.kind, metadata.namespace, metadata.name))


def _checked(resource: Resource) -> Resource:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    known = replace(resource.metadata, uid=str(uuid4()), creation_timestamp=now)
    whole = with_defaults(replace(resource, metadata=known))
    if problems := check(whole):
        raise InvalidResource(problems)
    return whole


def parse_resource(document: Mapping[str, Any]) -> Resource:
    """Read a resource as people write it. Raises InvalidResource for an unknown field."""
    return decode(str(document["kind"]), msgspec.json.encode(document), strict=True)
