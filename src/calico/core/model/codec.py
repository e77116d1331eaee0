"""Resources to JSON and back, byte for byte as the Go client writes them.

    resource --encode--> bytes          bytes --decode--> resource, or InvalidResource

Writing: msgspec lays the fields out in order and sorts maps; then `<`, `>`, `&`, U+2028 and
U+2029 are escaped and whole floats lose their fraction, as encoding/json does.

Reading is one typed pass. Only what that pass refuses is looked at again, to allow what Go
allows: null for "absent", AS numbers as text, another kind's name. Unknown fields are dropped,
or, when `strict`, reported all together.

Invariant: encode(decode(encode(x))) == encode(x).
Source: Go's encoding/json; api/pkg/lib/numorstring; datastore-etcd 1.2.1.
"""

import re
from collections.abc import Iterator
from functools import cache
from typing import TypeAlias

import msgspec
from msgspec import DecodeError, Raw, ValidationError, inspect
from msgspec.structs import replace

from calico.core.model.duration import Duration, parse_duration
from calico.core.model.metadata import Resource
from calico.core.model.policy import (
    GlobalNetworkPolicy,
    NetworkPolicy,
    StagedGlobalNetworkPolicy,
    StagedNetworkPolicy,
)
from calico.core.model.problem import InvalidResource, Problem, shown
from calico.core.model.registry import KINDS
from calico.core.model.tier import Tier

__all__ = ["InvalidResource", "decode", "encode"]

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

ESCAPES = (
    (b"<", rb"\u003c"),
    (b">", rb"\u003e"),
    (b"&", rb"\u0026"),
    ("\u2028".encode(), rb"\u2028"),
    ("\u2029".encode(), rb"\u2029"),
)
WITH_ORDER = (
    Tier,
    NetworkPolicy,
    GlobalNetworkPolicy,
    StagedNetworkPolicy,
    StagedGlobalNetworkPolicy,
)
AS_NUMBERS = frozenset({"asNumber", "localASNumber", "asPathPrefix", "prefix"})
HIGHEST_AS_NUMBER = 0xFFFF_FFFF


def encode(resource: Resource) -> bytes:
    """Return the JSON of a resource, as the Go client would write it."""
    if isinstance(resource, WITH_ORDER) and resource.spec.order is not None:
        order = Raw(go_number(resource.spec.order).encode())
        resource = replace(resource, spec=replace(resource.spec, order=order))
    text: bytes = encoder().encode(resource)
    for character, escape in ESCAPES:
        text = text.replace(character, escape)
    return text


def go_number(number: float) -> str:
    """Write a float as Go does: whole numbers without a fraction, exponents only far out."""
    if number == 0:
        return "0"
    if 1e-6 <= abs(number) < 1e21:
        text = format_plain(number)
        return text.rstrip("0").rstrip(".") if "." in text else text
    mantissa, _, exponent = repr(float(number)).partition("e")
    sign, digits = exponent[0], exponent[1:].lstrip("0")
    return f"{mantissa.removesuffix('.0')}e{sign}{digits}"


def format_plain(number: float) -> str:
    """Write the shortest digits of a float without an exponent."""
    text = repr(float(number))
    if "e" not in text:
        return text
    mantissa, _, exponent = text.partition("e")
    whole, _, fraction = mantissa.partition(".")
    sign = "-" if whole.startswith("-") else ""
    digits, shift = whole.lstrip("-") + fraction, int(exponent) - len(fraction)
    if shift >= 0:
        return sign + digits + "0" * shift
    return f"{sign}0.{digits.rjust(-shift, '0')}"


def decode(kind: str, raw: bytes, strict: bool = False) -> Resource:
    """Return the resource of a record. Raises InvalidResource."""
    decoder = decoder_of(kind)
    try:
        resource = decoder.decode(raw)
    except ValidationError as error:
        resource = decode_again(kind, raw, error)
    except (DecodeError, UnicodeDecodeError) as error:
        raise InvalidResource((Problem("", "", f"not JSON: {error}"),)) from error
    if strict:
        unknown = tuple(unknown_fields(KINDS[kind].type, msgspec.json.decode(raw)))
        if unknown:
            raise InvalidResource(unknown)
    return resource


@cache
def encoder() -> msgspec.json.Encoder:
    """Return the encoder; maps are sorted by the bytes of their keys."""
    return msgspec.json.Encoder(enc_hook=to_json, order="deterministic")


@cache
def decoder_of(kind: str) -> msgspec.json.Decoder[Resource]:
    """Return the decoder of a kind. Raises KeyError if there is no such kind."""
    return msgspec.json.Decoder(KINDS[kind].type, dec_hook=from_json)


def to_json(value: object) -> str:
    """Write the one type of ours that JSON does not know."""
    if isinstance(value, Duration):
        return value.text
    raise TypeError(f"{type(value)} has no JSON form")


def from_json(wanted: type, value: object) -> Duration:
    """Read the one type of ours that JSON does not know. Raises ValueError."""
    if wanted is Duration and isinstance(value, str):
        return parse_duration(value)
    raise ValueError("a duration is text, like 90s or 1m30s")


def decode_again(kind: str, raw: bytes, error: ValidationError) -> Resource:
    """Read a record that the typed pass refused, as Go would. Raises InvalidResource."""
    tree: Json = msgspec.json.decode(raw)
    if isinstance(tree, dict):
        tree = {**tree, "kind": kind}
    try:
        return decoder_of(kind).decode(msgspec.json.encode(tolerated(tree)))
    except ValidationError as again:
        raise InvalidResource((problem_of(again, tree),)) from error


def tolerated(tree: Json, name: str = "") -> Json:
    """Rewrite what Go accepts and the typed pass does not."""
    match tree:
        case dict():
            return {key: tolerated(value, key) for key, value in tree.items() if value is not None}
        case list():
            return [tolerated(value, name) for value in tree]
        case str() if name in AS_NUMBERS:
            return as_number(tree)
        case "true" | "false" if name == "deleted":
            return tree == "true"
        case _:
            return tree


def as_number(text: str) -> int | str:
    """Return the number of "65000" or "1.100"; other text as it is."""
    high, dot, low = text.partition(".")
    if not (text.isascii() and high.isdigit() and (low.isdigit() or not dot)):
        return text
    number = (int(high) << 16) + int(low) if dot else int(high)
    fits = number <= HIGHEST_AS_NUMBER and not (dot and max(int(high), int(low)) > 0xFFFF)
    return number if fits else text


MESSAGE = re.compile(r"(?P<reason>.*?)(?: - at `\$\.?(?P<path>.*)`)?\Z", re.DOTALL)
STEP = re.compile(r"\.?([^.\[\]]+)|\[([0-9]+)\]")


def problem_of(error: ValidationError, tree: Json) -> Problem:
    """Turn msgspec's complaint into ours."""
    found = MESSAGE.match(str(error))
    path = (found["path"] or "") if found else ""
    reason = str(found["reason"] if found else error).replace("`", "")
    return Problem(path, shown(value_at(tree, path)), reason[:1].lower() + reason[1:])


def value_at(tree: Json, path: str) -> Json:
    """Return what stands at a path, as far as it leads."""
    for name, index in STEP.findall(path):
        if isinstance(tree, dict) and name in tree:
            tree = tree[name]
        elif isinstance(tree, list) and index and int(index) < len(tree):
            tree = tree[int(index)]
    return tree


def unknown_fields(wanted: type[Resource], tree: Json) -> Iterator[Problem]:
    """Yield a problem for every field of a document that its kind does not have."""
    for path, value in strangers(inspect.type_info(wanted), tree, ""):
        yield Problem(path, shown(value), "unknown field: it is misspelt or in the wrong place")


def strangers(wanted: inspect.Type, tree: Json, path: str) -> Iterator[tuple[str, Json]]:
    """Yield (path, value) of every object member that no field is called."""
    match wanted, tree:
        case inspect.StructType(), dict():
            yield from strange_members(wanted, tree, path)
        case inspect.VarTupleType(), list():
            for index, value in enumerate(tree):
                yield from strangers(wanted.item_type, value, f"{path}[{index}]")
        case inspect.UnionType(), _:
            for option in wanted.types:
                yield from strangers(option, tree, path)
        case _:
            return


def strange_members(
    wanted: inspect.StructType, tree: dict[str, Json], path: str
) -> Iterator[tuple[str, Json]]:
    """Yield (path, value) of every unknown member of one object."""
    types = {field.encode_name: field.type for field in wanted.fields}
    for name, value in tree.items():
        inner = f"{path}.{name}" if path else name
        if name in types:
            yield from strangers(types[name], value, inner)
        elif name != wanted.tag_field:
            yield inner, value
