"""What an IP set is of, and the name by which Calico knows it.

    selector                    s:<hash of "s:" + selector>        addresses or CIDRs
    selector, protocol, port    n:<hash of "n:" + "<s:...>,tcp,http">   address and port
    service                     svc: (with ports)   svcnoport:     always empty without Kubernetes

Equal specs have equal ids, whichever rules they come from, and nothing else has that id.

Source: policy-semantics 3.1.4; felix spec 6.7; libcalico-go/lib/hash.
"""

from collections.abc import Iterator
from functools import lru_cache

from msgspec import Struct

from calico.core.calc.contributors import NamedPort
from calico.core.calc.protocols import PORT_PROTOCOL_NAMES, TCP
from calico.core.selector.ast import Selector, selector_id, unique_id
from calico.core.selector.parser import parse_selector


class SetSpec(Struct, frozen=True):
    """One IP set, before anyone knows its members. No selector: a service, which is empty.

    `port` makes it a set of (address, protocol, port); protocol None is "any that has ports".
    """

    id: str
    selector: Selector | None = None
    port: str = ""
    protocol: int | None = None
    with_ports: bool = False


@lru_cache(maxsize=8192)  # many rules say the same, and each is converted again when it changes
def selector_set(text: str) -> SetSpec:
    """Return the set of what a selector matches. Raises SelectorError if it cannot be read."""
    selector = parse_selector(text)
    return SetSpec(selector_id(selector), selector)


@lru_cache(maxsize=8192)
def named_port_set(text: str, protocol: int | None, port: str) -> SetSpec:
    """Return the set of (address, protocol, port) of a named port of what a selector matches."""
    of = selector_set(text)
    # A protocol without ports can only come from unchecked data; the original says tcp then.
    name = "any" if protocol is None else PORT_PROTOCOL_NAMES.get(protocol, "tcp")
    return SetSpec(
        unique_id("n", f"{of.id},{name},{port}"), of.selector, port, protocol, with_ports=True
    )


def service_set(namespace: str, name: str, *, with_ports: bool) -> SetSpec:
    """Return the set of a service's endpoints."""
    prefix = "svc" if with_ports else "svcnoport"
    return SetSpec(unique_id(prefix, f"{namespace}/{name}"), with_ports=with_ports)


def contribution(
    spec: SetSpec, members: tuple[str, ...], ports: tuple[NamedPort, ...]
) -> tuple[str, ...]:
    """Return what a matching contributor's members and named ports bring into a set."""
    if not spec.with_ports:
        return members
    return tuple(
        f"{address},{PORT_PROTOCOL_NAMES[port.protocol or TCP]}:{port.port}"
        for port in _asked_for(spec, ports)
        for address in members
    )


def _asked_for(spec: SetSpec, ports: tuple[NamedPort, ...]) -> Iterator[NamedPort]:
    for port in ports:
        # A port declared without a protocol (0) is tcp, and answers only to rules without one.
        has_ports = (port.protocol or TCP) in PORT_PROTOCOL_NAMES
        if port.name == spec.port and has_ports and spec.protocol in {None, port.protocol}:
            yield port
