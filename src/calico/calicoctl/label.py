"""calicoctl label: set, change or remove one label of one resource.

Source: shared/spec calicoctl 7b.3, the row "label".
"""

import argparse

from msgspec.structs import replace

from calico.calicoctl.errors import CommandError
from calico.calicoctl.kinds import kind_named
from calico.calicoctl.resources import namespace_of
from calico.calicoctl.store import open_resources
from calico.core.model.keys import ResourceKey
from calico.core.model.problem import InvalidResource
from calico.datastore.client import DatastoreError
from calico.datastore.resource_errors import DoesNotExist, UpdateConflict
from calico.datastore.resources import Resources

ATTEMPTS = 5
_REFUSED = (
    "failed to update label of {what}, key {label} is already present. please "
    "use '--overwrite' to set a new value"
)


def run(arguments: argparse.Namespace) -> None:
    """Change the label. Raises CommandError."""
    kind = kind_named(arguments.kind)
    if kind is None:
        raise CommandError(f"resource type '{arguments.kind}' is not supported")
    if kind == "ClusterInformation":
        raise CommandError(f"failed to update {arguments.kind} {arguments.name}: it is read-only")
    key = ResourceKey(kind, namespace_of(kind, "", arguments.namespace), arguments.name)
    resources = open_resources(arguments)
    try:
        print(_change(resources, key, arguments))
    except DoesNotExist as error:
        raise CommandError(f"{arguments.kind} {arguments.name} not found") from error
    except InvalidResource as error:
        raise CommandError(str(error)) from error
    except DatastoreError as error:
        text = f"failed to get {arguments.kind} {arguments.name}, error {error}"
        raise CommandError(text) from error
    finally:
        resources.datastore.close()


def _change(resources: Resources, key: ResourceKey, arguments: argparse.Namespace) -> str:
    label, separator, value = arguments.label.partition("=")
    if not label or bool(separator) == arguments.remove:
        raise CommandError(f"invalid label {arguments.label}: write key=value, or --remove and key")
    what = f"{arguments.kind} {arguments.name}"
    for _ in range(ATTEMPTS):
        found = resources.get(key)
        labels = dict(found.metadata.labels)
        if arguments.remove:
            if labels.pop(label, None) is None:
                raise CommandError(f"cannot remove label of {what}, key {label} does not exist")
            done = f"Successfully removed label {label} from {what}"
        else:
            if label in labels and labels[label] != value and not arguments.overwrite:
                raise CommandError(_REFUSED.format(what=what, label=label))
            done = f"Successfully {'updated' if label in labels else 'set'} label {label} on {what}"
            labels[label] = value
        try:
            resources.update(replace(found, metadata=replace(found.metadata, labels=labels)))
        except UpdateConflict:
            continue
        return done
    raise CommandError(f"failed to update {what}, label not changed")
