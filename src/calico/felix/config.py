"""Merge the agent's settings from every source into one typed value.

    environment FELIX_x ----+
    file felix.cfg ---------+   highest first
    datastore, this node ---+--> merge --> Merged(config, problems, not_acted_on)
    datastore, by selector -+
    datastore, all nodes ---+
    defaults ---------------+

A value that cannot be read is a problem with its source, parameter, value and fix; a parameter
marked fatal then ends the start, any other falls back to its default at that source's rank.

Source: shared/spec felix 6.2.
"""

import configparser
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import msgspec
from msgspec import Struct

from calico.felix.parameters import LIVE, PARAMETERS, FelixConfig, Parameter, Value

Raw: TypeAlias = Mapping[str, str]  # parameter name, any case -> text


class Source(Struct, frozen=True):
    """Where settings come from, and what it says."""

    name: str  # "environment", "file /etc/calico/felix.cfg", "FelixConfiguration default"
    values: Raw
    local: bool = False


class Problem(Struct, frozen=True):
    """A value that could not be used."""

    source: str
    parameter: str
    value: str
    reason: str
    fatal: bool

    def __str__(self) -> str:
        return f"{self.source}: {self.parameter} is {self.value!r}: {self.reason}"


class Merged(Struct, frozen=True):
    """The outcome: what to run with, what was wrong, and what was said that changes nothing."""

    config: FelixConfig
    problems: tuple[Problem, ...]
    not_acted_on: tuple[str, ...]


def environment_source(environment: Mapping[str, str]) -> Source:
    """Take FELIX_* (any case) out of a process environment."""
    values = {
        name[len("FELIX_") :]: value
        for name, value in environment.items()
        if name.upper().startswith("FELIX_")
    }
    return Source("environment", values, local=True)


def file_source(path: str, text: str) -> Source:
    """Read Felix's INI file, all sections merged. Raises ValueError naming the file and line."""
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]  # keep the case
    try:
        parser.read_string(text if text.lstrip().startswith("[") else "[global]\n" + text, path)
    except configparser.Error as error:
        raise ValueError(f"{path}: {error}") from error
    values = {
        name: value for section in parser.sections() for name, value in parser[section].items()
    }
    return Source(f"file {path}", values, local=True)


def merge(sources: Sequence[Source]) -> Merged:
    """Merge `sources`, highest first. Never raises for a bad value."""
    folded = [(source, {k.lower(): v for k, v in source.values.items()}) for source in sources]
    problems: list[Problem] = []
    fields: dict[str, Value] = {}
    for parameter in PARAMETERS:
        fields[parameter.field] = _value(parameter, folded, problems)
    acted_on = {parameter.name.lower() for parameter in PARAMETERS} | {n.lower() for n in LIVE}
    others = sorted({n for source in sources for n in source.values if n.lower() not in acted_on})
    return Merged(msgspec.convert(fields, FelixConfig), tuple(problems), tuple(others))


def _value(
    parameter: Parameter, folded: Sequence[tuple[Source, Raw]], problems: list[Problem]
) -> Value:
    for source, values in folded:
        text = values.get(parameter.name.lower(), "").strip()
        if not text or (parameter.local and not source.local):
            continue
        try:
            return parameter.parse("" if text.lower() == "none" else text)
        except ValueError as error:
            problems.append(Problem(source.name, parameter.name, text, str(error), parameter.fatal))
            break
    return parameter.parse(parameter.default)
