"""What kube-controllers would write: a profile for each namespace and its service account.

    Namespace shop {team: sales} --> Profile kns.shop          allows all; labels pcns.team ...
                                 `-> Profile ksa.shop.default  no rules; its own name

Pods of a namespace have both, in this order, and policies can select them by these labels.

Source: shared/spec kube-controllers, datastore-kubernetes 2.7.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from uuid import uuid4

from calico.core.model.codec import encode
from calico.core.model.keys import ResourceKey, path_of
from calico.core.model.metadata import Metadata
from calico.core.model.profile import Profile, ProfileSpec
from calico.core.model.rule import Rule
from calico.datastore.client import Datastore, Put
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
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return Profile(metadata=Metadata(name, uid=str(uuid4()), creation_timestamp=now), spec=spec)


def write_namespaces(store: Datastore, namespaces: Iterable[Namespace]) -> None:
    """Write the profiles of these namespaces, over what may be there."""
    profiles = [profile for one in namespaces for profile in namespace_profiles(one)]
    puts = [
        Put(path_of(ResourceKey("Profile", "", profile.metadata.name)), encode(profile))
        for profile in profiles
    ]
    if puts:
        store.commit(puts)
