"""The words in which each kind says what its fields may hold.

    CHECKS = {"vxlan_mode": one_of("Never", "Always"), "nets": all_of(at_most(256), each(network))}
    fields(spec, "spec", CHECKS) --> Problem("spec.vxlanMode", "never", "must be Never or Always")

A check is asked about values that are present; absent ones (None, "", nothing) are right by
default, and a kind that needs a field says so itself. A reason says what to write instead.

Source: libcalico-go/lib/validator/v3/validator.go and the CRD schemas; policy-semantics 3.9.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeAlias

from calico.core.model.duration import Duration
from calico.core.model.json_names import api_name
from calico.core.model.metadata import ApiStruct
from calico.core.model.problem import Problem, shown
from calico.core.net.ports import parse_port
from calico.core.net.prefix import (
    canonical_prefix,
    has_host_bits,
    ip_version,
    parse_address,
    parse_prefix,
)
from calico.core.selector.parser import SelectorError, parse_selector

Check: TypeAlias = Callable[[str, object], Iterator[Problem]]
LONGEST_SELECTOR = 1024
PORT_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*\Z")
LONGEST_PORT_NAME = 15
PLAIN_DURATION = re.compile(r"([0-9]+(ms|s|m|h))*\Z")


def fields(part: ApiStruct, path: str, checks: Mapping[str, Check]) -> Iterator[Problem]:
    """Ask the checks of one part of a resource, attribute by attribute."""
    for attribute, check in checks.items():
        value: object = getattr(part, attribute)
        if value is None or value in ("", ()):
            continue
        yield from check(f"{path}.{api_name(attribute)}", value)


def problem(path: str, value: object, reason: str) -> Iterator[Problem]:
    """Yield one problem."""
    yield Problem(path, shown(value), reason)


def one_of(*options: str | int) -> Check:
    """Allow these values alone."""

    def check(path: str, value: object) -> Iterator[Problem]:
        if value not in options:
            yield from problem(path, value, f"must be {listed(options)}")

    return check


def one_of_any_case(*options: str) -> Check:
    """Allow these words alone, in upper or lower case."""

    def check(path: str, value: object) -> Iterator[Problem]:
        if str(value).lower() not in {option.lower() for option in options}:
            yield from problem(path, value, f"must be {listed(options)}")

    return check


def listed(options: Sequence[str | int]) -> str:
    """Write alternatives as people do."""
    *first, last = map(str, options)
    return f"{', '.join(first)} or {last}" if first else last


def text_like(pattern: str, wanted: str) -> Check:
    """Allow texts that match a pattern as a whole."""
    compiled = re.compile(rf"(?:{pattern})\Z")

    def check(path: str, value: object) -> Iterator[Problem]:
        if compiled.match(str(value)) is None:
            yield from problem(path, value, f"must be {wanted}")

    return check


def number(low: int, high: int) -> Check:
    """Allow numbers of a range, both ends included."""

    def check(path: str, value: object) -> Iterator[Problem]:
        if not (isinstance(value, int) and low <= value <= high):
            yield from problem(path, value, f"must be {low} to {high}")

    return check


def each(inner: Check) -> Check:
    """Ask a check of every item of a list."""

    def check(path: str, value: object) -> Iterator[Problem]:
        if isinstance(value, tuple):
            for index, item in enumerate(value):
                yield from inner(f"{path}[{index}]", item)

    return check


def parts(checks: Mapping[str, Check]) -> Check:
    """Ask a table of checks of a part."""

    def check(path: str, value: object) -> Iterator[Problem]:
        if isinstance(value, ApiStruct):
            yield from fields(value, path, checks)

    return check


def all_of(*checks: Check) -> Check:
    """Ask several checks."""

    def check(path: str, value: object) -> Iterator[Problem]:
        for inner in checks:
            yield from inner(path, value)

    return check


def at_most(limit: int) -> Check:
    """Allow so many items, or characters."""

    def check(path: str, value: object) -> Iterator[Problem]:
        if isinstance(value, tuple) and len(value) > limit:
            yield from problem(path, f"{len(value)} items", f"must have at most {limit} items")
        if isinstance(value, str) and len(value) > limit:
            yield from problem(path, value, f"must have at most {limit} characters")

    return check


def no_repeats(path: str, value: object) -> Iterator[Problem]:
    """Allow every item once."""
    if isinstance(value, tuple):
        repeated = {item: None for item in value if value.count(item) > 1}
        for item in repeated:
            yield from problem(path, item, "is given more than once; remove the repetition")


def selector(path: str, value: object) -> Iterator[Problem]:
    """Allow selectors; a complaint names the column."""
    text = str(value)
    try:
        parse_selector(text)
    except SelectorError as error:
        yield from problem(path, value, f"not a selector: {error}")
    yield from at_most(LONGEST_SELECTOR)(path, text)


def plain_selector(path: str, value: object) -> Iterator[Problem]:
    """Allow selectors without global(), which only an entity rule's namespaceSelector may hold."""
    yield from selector(path, value)
    if "global(" in str(value):
        reason = (
            "global() can only be used in the namespaceSelector of a rule's source or destination"
        )
        yield from problem(path, value, reason)


def network(path: str, value: object) -> Iterator[Problem]:
    """Allow addresses, and CIDRs without bits beyond their length."""
    yield from any_network(path, value)
    try:
        stray = has_host_bits(str(value))
    except ValueError:
        return
    if stray:
        right = canonical_prefix(str(value))
        yield from problem(path, value, f"has bits beyond its length; write {right}")


def any_network(path: str, value: object) -> Iterator[Problem]:
    """Allow addresses and CIDRs."""
    try:
        parse_prefix(str(value))
    except ValueError as error:
        yield from problem(path, value, str(error))


def cidr_only(path: str, value: object) -> Iterator[Problem]:
    """Allow CIDRs, not bare addresses."""
    if "/" not in str(value):
        suffix = 128 if ":" in str(value) else 32
        yield from problem(path, value, f"must be a CIDR; write {value}/{suffix} for one address")


def of_version(version: int) -> Check:
    """Allow addresses and CIDRs of one IP version."""

    def check(path: str, value: object) -> Iterator[Problem]:
        if ip_version(str(value)) != version:
            yield from problem(path, value, f"must be IPv{version}")

    return check


def address(path: str, value: object) -> Iterator[Problem]:
    """Allow addresses without a length."""
    try:
        parse_address(str(value))
    except ValueError as error:
        yield from problem(path, value, str(error))


def address_of(version: int) -> Check:
    """Allow addresses of one IP version."""

    def check(path: str, value: object) -> Iterator[Problem]:
        try:
            found = parse_address(str(value)).version
        except ValueError as error:
            yield from problem(path, value, str(error))
            return
        if found != version:
            yield from problem(path, value, f"must be an IPv{version} address")

    return check


def port_name(path: str, value: object) -> Iterator[Problem]:
    """Allow the names that Kubernetes allows for ports."""
    text = str(value)
    if len(text) > LONGEST_PORT_NAME or not PORT_NAME.match(text) or not re.search("[a-z]", text):
        reason = "must be at most 15 lower case letters, digits and single '-', with a letter"
        yield from problem(path, value, reason)


def port(path: str, value: object) -> Iterator[Problem]:
    """Allow port numbers, spans and names; no packet carries port 0."""
    if not isinstance(value, int | str):
        return
    try:
        span = parse_port(value)
    except ValueError as error:
        yield from problem(path, value, str(error))
        return
    if isinstance(span, str):
        yield from port_name(path, span)
    elif span.first < 1:
        yield from problem(path, value, "port 0 is out of range; ports are 1 to 65535")


def plain_duration(path: str, value: object) -> Iterator[Problem]:
    """Allow durations that a schema of the API allows: no fractions, no minus."""
    if isinstance(value, Duration) and PLAIN_DURATION.match(value.text) is None:
        reason = "must be whole hours, minutes, seconds or milliseconds, like 90s or 1500ms"
        yield from problem(path, value.text, reason)


def regular_expression(path: str, value: object) -> Iterator[Problem]:
    """Allow regular expressions."""
    try:
        re.compile(str(value))
    except re.error as error:
        yield from problem(path, value, f"not a regular expression: {error}")
