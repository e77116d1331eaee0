"""calicoctl get: read resources and print them in the form asked for.

Source: shared/spec calicoctl 7b.3 "Output formats".
"""

import argparse
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct

from calico.calicoctl.errors import CommandError
from calico.calicoctl.kinds import BY_KIND, TableContext
from calico.calicoctl.output import render_json, render_table, render_yaml
from calico.core.model.bgp import BGPConfiguration
from calico.core.model.codec import encode
from calico.core.model.keys import ResourceKey
from calico.core.model.metadata import API_VERSION, Resource
from calico.core.model.registry import KINDS
from calico.datastore.client import DatastoreError
from calico.datastore.resource_errors import DoesNotExist
from calico.datastore.resources import Resources

_CLUSTER_FIELDS = (
    "namespace", "uid", "resourceVersion", "creationTimestamp", "deletionTimestamp",
    "deletionGracePeriodSeconds",
)  # fmt: skip


class Found(Struct, frozen=True):
    """One answer: a resource, or a list of all of a kind (`revision` is the store's)."""

    kind: str
    documents: Sequence[dict[str, Any]]
    revision: str = ""
    is_list: bool = False


def get(resources: Resources, arguments: argparse.Namespace, wanted: list[ResourceKey]) -> str:
    """Return what to print. Raises CommandError, after printing what was found."""
    found: list[Found] = []
    errors: list[str] = []
    for key in wanted:
        try:
            answer, unreadable = _find(resources, key)
            found.append(answer)
            errors += unreadable
        except DatastoreError as error:
            errors.append(str(error))
    if arguments.export:
        found = [_exported(answer) for answer in found]
    text = _render(resources, arguments, found) if found else ""
    if errors:
        print(text, end="")
        raise CommandError("\n".join(errors))
    return text


def _find(resources: Resources, key: ResourceKey) -> tuple[Found, list[str]]:
    if key.name:
        return Found(key.kind, [_document(resources.get(key))]), []
    listed = resources.list(key.kind, key.namespace)
    items = sorted(listed.items, key=_order) if key.kind == "Tier" else listed.items
    documents = [_document(item) for item in items]
    unreadable = [str(error) for error in listed.unreadable]
    return Found(key.kind, documents, str(listed.revision), is_list=True), unreadable


def _order(resource: Resource) -> tuple[bool, float, str]:
    order: float | None = getattr(resource.spec, "order", None)  # type: ignore[attr-defined]
    return order is None, order or 0.0, resource.metadata.name


def _document(resource: Resource) -> dict[str, Any]:
    document: dict[str, Any] = msgspec.json.decode(encode(resource))
    return document


def _exported(answer: Found) -> Found:
    if answer.is_list:
        return answer
    documents = []
    for document in answer.documents:
        kept = {k: v for k, v in document["metadata"].items() if k not in _CLUSTER_FIELDS}
        documents.append({**document, "metadata": kept})
    return Found(answer.kind, documents)


def _render(resources: Resources, arguments: argparse.Namespace, found: Sequence[Found]) -> str:
    form, _, columns = arguments.output.partition("=")
    if form in {"yaml", "yml"}:
        return render_yaml([_whole(answer) for answer in found])
    if form == "json":
        return render_json([_whole(answer) for answer in found])
    if form == "name":
        names = [
            f"{KINDS[answer.kind].plural}/{document['metadata']['name']}"
            for answer in found
            for document in answer.documents
        ]
        return "".join(f"{name}\n" for name in names)
    if form in {"ps", "wide", "custom-columns"}:
        return _tables(resources, arguments, found, columns)
    raise CommandError(
        f"unrecognized output format '{arguments.output}'; use ps, wide, yaml, json, name or "
        "custom-columns=A,B"
    )


def _tables(
    resources: Resources, arguments: argparse.Namespace, found: Sequence[Found], columns: str
) -> str:
    context = TableContext()
    if any(answer.kind == "Node" for answer in found):
        context = TableContext(_cluster_as_number(resources))
    tables = []
    for answer in found:
        headings = _headings(arguments, answer.kind, columns)
        try:
            tables.append(render_table(answer.kind, answer.documents, headings, context))
        except ValueError as error:
            raise CommandError(str(error)) from error
    return "".join(tables)


def _headings(arguments: argparse.Namespace, kind: str, columns: str) -> Sequence[str]:
    if arguments.output.startswith("custom-columns"):
        if not columns:
            raise CommandError("need to specify at least one column")
        return columns.split(",")
    table = BY_KIND[kind]
    headings = table.wide if arguments.output == "wide" else table.ps
    shows_namespace = KINDS[kind].namespaced and (arguments.namespace or arguments.all_namespaces)
    return ("NAMESPACE", *headings) if shows_namespace else headings


def _cluster_as_number(resources: Resources) -> str:
    try:
        found = resources.get(ResourceKey("BGPConfiguration", "", "default"))
    except DoesNotExist:
        return TableContext().as_number
    number = found.spec.as_number if isinstance(found, BGPConfiguration) else None
    return str(number) if number else TableContext().as_number


def _whole(answer: Found) -> dict[str, Any]:
    if not answer.is_list:
        return answer.documents[0]
    return {
        "kind": f"{answer.kind}List",
        "apiVersion": API_VERSION,
        "metadata": {"resourceVersion": answer.revision},
        "items": list(answer.documents),
    }
