"""BGPFilters as functions of BIRD.

    BGPFilter "a" --> 'bgp_a_importFilterV4'(bool to_ibgp), ... --called by--> sessions, in order

The first rule whose conditions all hold ends the filter of the session; where none does, the
function returns and the next one is called. A filter that cannot be said is not left out by
itself: the sessions that use it are, since without it they would let through what it rejects.

BIRD cannot compare a prefix with a set of prefixes; as the original's, such an Equal never holds
and such a NotEqual always does.

Source: bgp-confd 5.6; confd/pkg/resource/template/template_funcs.go.
"""

import hashlib
import re
from collections.abc import Iterator
from typing import Literal, TypeAlias

from calico.core.model.bgp import BGPFilter, BGPFilterOperation, BGPFilterRule
from calico.core.net.prefix import LONGEST, canonical_prefix, ip_version, prefix_length
from calico.core.render.bird_filters import GREATEST
from calico.core.render.bird_peers import Version

Direction: TypeAlias = Literal["import", "export"]

_GREATEST_NAME, _KEPT_OF_NAME = 45, 28  # BIRD's names have 64 letters
_NAME = re.compile(r"[A-Za-z0-9._-]+")
_INTERFACE = re.compile(r"[A-Za-z0-9_.*-]{1,15}")
_OPERATORS = {"Equal": "=", "NotEqual": "!=", "In": "~", "NotIn": "!~"}
_PEER_TYPES = {"": "", "iBGP": "to_ibgp", "eBGP": "!to_ibgp"}
_COMMUNITY = re.compile(r"[0-9]+(:[0-9]+){1,2}", re.ASCII)


def function_name(filter_name: str, direction: Direction, version: Version) -> str:
    """Name the function of a filter; a long name is cut, and told apart by its digest."""
    if len(filter_name) > _GREATEST_NAME:
        digest = hashlib.sha256(filter_name.encode()).hexdigest()[:16].upper()
        filter_name = f"{filter_name[:_KEPT_OF_NAME]}_{digest}"
    return f"'bgp_{filter_name}_{direction}FilterV{version}'"


def rules(bgp_filter: BGPFilter, direction: Direction, version: Version) -> list[str]:
    """Render the statements of a filter, none if it has no rules here. Raises ValueError."""
    if not _NAME.fullmatch(bgp_filter.metadata.name):
        raise ValueError("its name is none")
    spec = bgp_filter.spec
    listed = {
        ("import", 4): spec.import_v4,
        ("import", 6): spec.import_v6,
        ("export", 4): spec.export_v4,
        ("export", 6): spec.export_v6,
    }[direction, version]
    return [_statement(rule, version) for rule in listed]


def community(text: str) -> tuple[str, str]:
    """Return BIRD's attribute and value of a community. Raises ValueError."""
    if not _COMMUNITY.fullmatch(text):
        raise ValueError(f"{text} is no community")
    parts = [int(part) for part in text.split(":")]
    name, bits = ("bgp_community", 16) if len(parts) == 2 else ("bgp_large_community", 32)
    if any(part >> bits for part in parts):
        raise ValueError(f"{text} is no community: a number is too great")
    return name, f"({', '.join(map(str, parts))})"


def added(text: str) -> str:
    """Return the statement that adds a community. Raises ValueError."""
    name, value = community(text)
    return f"{name}.add({value});"


def _statement(rule: BGPFilterRule, version: Version) -> str:
    if rule.action not in {"Accept", "Reject"}:
        raise ValueError(f"action {rule.action} is neither Accept nor Reject")
    body = [line for one in rule.operations for line in _operation(one)]
    body.append(f"{rule.action.lower()};")
    conditions = [condition for condition in _conditions(rule, version) if condition]
    whole = " ".join(body)
    return f"if {' && '.join(conditions)} then {{ {whole} }}" if conditions else whole


def _conditions(rule: BGPFilterRule, version: Version) -> Iterator[str]:
    """Yield what must hold, "" for what always does."""
    yield _known(_PEER_TYPES, rule.peer_type, "peerType")
    if rule.cidr or rule.match_operator:
        yield _on_prefix(rule, version)
    yield _known({"": "", "RemotePeers": "source = RTS_BGP"}, rule.source, "source")
    if rule.interface:
        if not _INTERFACE.fullmatch(rule.interface):
            raise ValueError("interface is no name of interfaces")
        yield f'ifname != "" && ifname ~ "{rule.interface}"'
    if rule.communities is not None:
        name, value = community(((*(rule.communities.values or ()), ""))[0])
        yield f"{value} ~ {name}"
    if rule.as_path_prefix:
        yield f"bgp_path ~ [= {' '.join(map(_as_number, rule.as_path_prefix))} * =]"
    if rule.priority is not None:
        yield f"defined(bgp_local_pref) && bgp_local_pref = {_preference(rule.priority)}"


def _on_prefix(rule: BGPFilterRule, version: Version) -> str:
    cidr = canonical_prefix(rule.cidr)
    operator = _known(_OPERATORS, rule.match_operator, "matchOperator")
    if ip_version(cidr) != version:
        raise ValueError(f"cidr {cidr} is of the other IP version")
    if rule.prefix_length is None:
        return f"net {operator} {cidr}"
    least = max(prefix_length(cidr), rule.prefix_length.min or 0)
    most = rule.prefix_length.max
    most = min(LONGEST[version], LONGEST[version] if most is None else most)
    if operator in {"=", "!="} or least > most:
        return "true" if operator in {"!=", "!~"} else "false"
    return f"net {operator} [ {cidr}{{{least},{most}}} ]"


def _operation(operation: BGPFilterOperation) -> list[str]:
    if operation.add_community is not None:
        return [added(operation.add_community.value or "")]
    if operation.prepend_as_path is not None:
        # the last that is put before a path is its first
        numbers = reversed(operation.prepend_as_path.prefix or ())
        return [f"bgp_path.prepend({_as_number(number)});" for number in numbers]
    if operation.set_priority is not None:
        return [f"bgp_local_pref = {_preference(operation.set_priority.value)};"]
    raise ValueError("an operation says nothing")


def _as_number(number: int) -> str:
    if not 0 <= number < 1 << 32:
        raise ValueError(f"{number} is no AS number")
    return str(number)


def _preference(priority: int | None) -> int:
    if priority is None or not 0 < priority < GREATEST:
        raise ValueError(f"{priority} is no priority")
    return GREATEST - priority


def _known(words: dict[str, str], word: str, what: str) -> str:
    if word not in words:
        raise ValueError(f"{what} {word} is unknown")
    return words[word]
