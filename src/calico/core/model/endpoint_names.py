"""The names of workload endpoints, made of what they are.

    node "n-1", pod "web-0", endpoint "eth0"  <-->  "n--1-k8s-web--0-eth0"

Four parts joined by "-"; a "-" within a part is doubled. No part is empty or begins or ends with
"-", so the parts can be told apart again.

Invariant: parse_endpoint_name(endpoint_name(spec)) gives the parts back.
Source: libcalico-go/lib/names/workloadendpoint.go; datastore-etcd 1.2.4.
"""

from collections.abc import Sequence
from itertools import takewhile
from typing import NamedTuple

from calico.core.model.endpoint import WorkloadEndpointSpec


class EndpointName(NamedTuple):
    """The parts of a workload endpoint's name; `workload` is the pod or container."""

    node: str
    orchestrator: str
    workload: str
    endpoint: str


def name_parts(spec: WorkloadEndpointSpec) -> EndpointName:
    """Return the parts that name an endpoint; what is not known is empty."""
    workloads = {"k8s": spec.pod, "cni": spec.container_id, "libnetwork": "libnetwork"}
    workload = workloads.get(spec.orchestrator, spec.workload)
    return EndpointName(spec.node, spec.orchestrator, workload, spec.endpoint)


def endpoint_name(spec: WorkloadEndpointSpec) -> str:
    """Return the name that an endpoint must have. Raises ValueError."""
    return render_endpoint_name(name_parts(spec))


def render_endpoint_name(parts: EndpointName) -> str:
    """Join the parts of a name. Raises ValueError."""
    for field, part in zip(EndpointName._fields, parts, strict=True):
        if not part:
            raise ValueError(f"the endpoint's name needs its {field}")
        if part.startswith("-") or part.endswith("-"):
            raise ValueError(f"{field} '{part}' must not begin or end with '-'")
    return "-".join(map(escape, parts))


def endpoint_name_prefix(parts: Sequence[str]) -> str:
    """Return what names with these first parts begin with, as far as the parts are known.

    Prefixes match too much ("web" finds "web-0" too): compare the parts of what was listed.
    """
    return "".join(f"{escape(part)}-" for part in takewhile(bool, parts))


def escape(part: str) -> str:
    """Double every "-"."""
    return part.replace("-", "--")


def parse_endpoint_name(name: str) -> EndpointName:
    """Return the parts of a name. Raises ValueError."""
    parts, start, position = [], 0, 0
    while position < len(name):
        if name[position] != "-":
            position += 1
        elif name[position : position + 2] == "--":
            position += 2
        else:
            parts.append(name[start:position])
            start = position = position + 1
    parts.append(name[start:])
    if len(parts) != len(EndpointName._fields) or not all(parts):
        raise ValueError(f"'{name}' does not have the four parts of an endpoint's name")
    return EndpointName(*(part.replace("--", "-") for part in parts))
