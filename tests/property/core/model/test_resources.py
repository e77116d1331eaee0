"""Whatever a resource holds comes back as it was, and is written one way alone."""

import math
from functools import cache

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import inspect

from calico.core.model.checks import check, check_stored
from calico.core.model.codec import decode, encode
from calico.core.model.defaults import with_defaults
from calico.core.model.duration import Duration, parse_duration
from calico.core.model.registry import KINDS
from calico.core.model.stored import read_form, stored_form

texts = st.text(alphabet='a6:<&\u2028\u00e9"\\\n', max_size=4)
durations = st.builds(Duration, st.integers(-(2**62), 2**62))
SCALARS = {
    inspect.StrType: texts,
    inspect.IntType: st.integers(-3, 2**32),
    inspect.BoolType: st.booleans(),
    inspect.FloatType: st.floats(allow_nan=False, allow_infinity=False),
    inspect.NoneType: st.none(),
    inspect.DictType: st.dictionaries(texts, texts, max_size=2),
    inspect.CustomType: durations,
    inspect.RawType: st.nothing(),
}


def values(wanted):
    """Draw what a type of the API may hold; of a struct, a few fields at a time."""
    if isinstance(wanted, inspect.StructType):
        return structs(wanted.cls)
    if isinstance(wanted, inspect.VarTupleType):
        return st.lists(values(wanted.item_type), max_size=2).map(tuple)
    if isinstance(wanted, inspect.UnionType):
        return st.one_of(*(values(option) for option in wanted.types))
    return SCALARS[type(wanted)]


@cache
def structs(cls):
    drawn = {
        field.name: st.deferred(lambda wanted=field.type: values(wanted))
        for field in inspect.type_info(cls).fields
        if field.name != "managed_fields"
    }
    names = st.sets(st.sampled_from(sorted(drawn)), max_size=4)
    return names.flatmap(
        lambda chosen: st.builds(cls, **{name: drawn[name] for name in sorted(chosen)})
    )


resources = st.sampled_from(sorted(KINDS)).flatmap(lambda kind: structs(KINDS[kind].type))


@given(resources)
def test_what_is_written_is_read(resource):
    raw = encode(resource)
    assert decode(resource.kind, raw, strict=True) == resource
    assert encode(decode(resource.kind, raw)) == raw


@given(resources)
def test_spacing_and_order_do_not_matter(resource):
    tree = msgspec.json.decode(encode(resource))
    shuffled = {name: tree[name] for name in sorted(tree, reverse=True)}
    raw = msgspec.json.format(msgspec.json.encode(shuffled))
    assert decode(resource.kind, raw) == resource


@given(resources)
def test_storing_is_done_once(resource):
    stored = stored_form(resource)
    assert stored_form(stored) == stored
    seen = read_form(stored)
    assert stored_form(seen) == stored


@given(resources)
def test_any_resource_can_be_filled_in_and_checked(resource):
    """Bad input is a value: a resource of the right types is judged, and nothing is raised."""
    filled = with_defaults(resource)
    assert with_defaults(filled) == filled
    found = check(filled)
    assert all(problem.field and problem.reason for problem in found)
    if not found:
        assert check_stored(filled) == (), "what may be written can be obeyed"


@given(durations)
def test_durations(duration):
    assert parse_duration(duration.text) == duration


@pytest.mark.parametrize("number", [math.pi, 2.0**70, -(2.0**-30), 5e-324, 1.7976931348623157e308])
def test_floats_survive(number):
    raw = encode(KINDS["Tier"].type(spec=structs_spec(number)))
    assert decode("Tier", raw).spec.order == number


def structs_spec(order):
    return msgspec.convert(
        {"order": order}, inspect.type_info(KINDS["Tier"].type).fields[2].type.cls
    )
