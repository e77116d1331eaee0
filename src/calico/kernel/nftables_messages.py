"""The messages of nf_tables: tables, chains, rules, sets and elements of one table.

    Change --> TableMessages --> [(message type, flags, body), ...] --> one transaction

Notes that `nft` wants, so that it can print what we made: the byte order and the type of a set's
key, and a rule's comment in its user data.

Source: linux/netfilter/nf_tables.h; libnftnl's udata.h for the notes.
"""

import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import count

from calico.core.nftables.changes import Entry
from calico.core.nftables.vocabulary import Element, Family, Hook, Rule, Set, Verdict
from calico.kernel.netlink import (
    NLA_F_NESTED,
    NLM_F_APPEND,
    NLM_F_CREATE,
    Request,
    attribute,
    nested,
    text,
)
from calico.kernel.nftables_fields import (
    FAMILY_NUMBERS,
    HOST_32,
    NAME,
    NFNL_SUBSYS_NFTABLES,
    FieldWire,
    encode_key,
    key_length,
    wires,
)
from calico.kernel.nftables_intervals import interval, points
from calico.kernel.nftables_matches import ANONYMOUS_NAME
from calico.kernel.nftables_rules import COMMENT_NOTE, AnonymousSet, encode_rule, note
from calico.kernel.nftables_wire import encode_verdict, number

NEWTABLE, GETTABLE, DELTABLE = 0, 1, 2
NEWCHAIN, GETCHAIN, DELCHAIN = 3, 4, 5
NEWRULE, GETRULE, DELRULE = 6, 7, 8
NEWSET, GETSET, DELSET = 9, 10, 11
NEWSETELEM, GETSETELEM, DELSETELEM = 12, 13, 14

SET_ANONYMOUS, SET_CONSTANT, SET_INTERVAL, SET_MAP, SET_CONCATENATION = 1, 2, 4, 8, 128
ELEMENT_IS_END = 1
TABLE_DORMANT = 1
VERDICT_TYPE = 0xFFFFFF00
HOOK_NUMBERS = {"prerouting": 0, "input": 1, "forward": 2, "output": 3, "postrouting": 4}
ARP_HOOK_NUMBERS = {"input": 0, "output": 1, "forward": 2}
CHAIN_POLICIES = {"drop": 0, "accept": 1}

KEY_ORDER_NOTE = 0  # in a set's user data, as libnftnl numbers them

_BATCH_BEGIN, _BATCH_END = 16, 17
_LIST_BYTES = 60_000  # an attribute holds 65,535 at most
_TYPE_BITS = 6  # nft joins its type numbers by this

_BATCH_BODY = struct.pack(">BBH", 0, 0, NFNL_SUBSYS_NFTABLES)
BEGIN: Request = (_BATCH_BEGIN, 0, _BATCH_BODY)
END: Request = (_BATCH_END, 0, _BATCH_BODY)


def message_type(message: int) -> int:
    """Give the netlink message type of a message of nf_tables."""
    return NFNL_SUBSYS_NFTABLES << 8 | message


class TableMessages:
    """Encodes for one table of one family. Set ids count on, so that none repeats in a batch."""

    def __init__(self, family: Family, name: str) -> None:
        self.family = family
        self.header = bytes([FAMILY_NUMBERS[family], 0, 0, 0])
        self._table = self.header + text(1, name)  # every message names its table first
        self.name = name
        self._ids = count(1)

    def _message(self, message: int, flags: int, *attributes: bytes) -> Request:
        return message_type(message), flags, self._table + b"".join(attributes)

    def add_table(self) -> Request:
        """Create the table, or wake one that somebody put to sleep (flag 0: not dormant)."""
        return self._message(NEWTABLE, NLM_F_CREATE, number(2, 0))

    def delete_table(self) -> Request:
        """Remove the table with all it holds."""
        return self._message(DELTABLE, 0)

    def add_chain(self, name: str, hook: Hook | None) -> Request:
        """Create a chain; of one that is there, set the policy."""
        if hook is None:
            return self._message(NEWCHAIN, NLM_F_CREATE, text(3, name))
        numbers = ARP_HOOK_NUMBERS if self.family == "arp" else HOOK_NUMBERS
        where = nested(
            4, number(1, numbers[hook.hook]), attribute(2, struct.pack(">i", hook.priority))
        )
        policy = number(5, CHAIN_POLICIES[hook.policy])
        return self._message(
            NEWCHAIN, NLM_F_CREATE, text(3, name), where, policy, text(7, hook.type)
        )

    def delete_chain(self, name: str) -> Request:
        """Remove a chain and its rules."""
        return self._message(DELCHAIN, 0, text(3, name))

    def flush_chain(self, name: str) -> Request:
        """Remove all rules of a chain."""
        return self._message(DELRULE, 0, text(2, name))

    def delete_rule(self, chain: str, handle: int) -> Request:
        """Remove one rule."""
        return self._message(DELRULE, 0, text(2, chain), _handle(3, handle))

    def add_rule(self, chain: str, rule: Rule, before: int | None) -> list[Request]:
        """Add a rule at the end or before another; its anonymous sets come first.

        The last request is the rule itself. Raises ValueError and its like if it has no encoding.
        """
        expressions, sets = encode_rule(rule, self.family, self._ids)
        requests = [r for anonymous in sets for r in self._anonymous_set(anonymous)]
        parts = [_chain(chain), attribute(4 | NLA_F_NESTED, expressions)]
        if before is not None:
            parts.append(_handle(6, before))
        if rule.comment:
            parts.append(attribute(7, note(COMMENT_NOTE, rule.comment.encode() + b"\0")))
        flags = NLM_F_CREATE | (NLM_F_APPEND if before is None else 0)
        requests.append(self._message(NEWRULE, flags, *parts))
        return requests

    def _anonymous_set(self, anonymous: AnonymousSet) -> list[Request]:
        (wire,) = wires(self.family, [anonymous.field])
        flags = SET_ANONYMOUS | SET_CONSTANT | (SET_INTERVAL if anonymous.intervals else 0)
        if anonymous.intervals:
            items = [
                _plain_element(p.key, ELEMENT_IS_END if p.is_end else 0)
                for p in points(wire, anonymous.values)
            ]
        else:
            items = [_plain_element(encode_key([wire], (v,))) for v in anonymous.values]  # type: ignore[arg-type]  # no spans here
        size = nested(9, number(1, len(items)))
        made = self._message(
            NEWSET,
            NLM_F_CREATE,
            text(2, ANONYMOUS_NAME),
            *_key_attributes([wire], flags),
            number(10, anonymous.set_id),
            size,
            _notes([wire]),
        )
        filled = self._elements(NEWSETELEM, ANONYMOUS_NAME, items, number(4, anonymous.set_id))
        return [made, *filled]

    def add_set(self, name: str, shape: Set) -> Request:
        """Create a named set or verdict map."""
        of = wires(self.family, shape.fields)
        flags = (SET_INTERVAL if shape.intervals else 0) | (SET_MAP if shape.verdicts else 0)
        parts = _key_attributes(of, flags)
        if shape.verdicts:
            parts += [number(6, VERDICT_TYPE), number(7, 0)]
        # Every NEWSET must carry an id; it is only looked at for references inside a batch.
        parts += [number(10, next(self._ids)), _notes(of)]
        return self._message(NEWSET, NLM_F_CREATE, text(2, name), *parts)

    def delete_set(self, name: str) -> Request:
        """Remove a set and its elements."""
        return self._message(DELSET, 0, text(2, name))

    def add_elements(
        self, name: str, shape: Set, elements: Mapping[Element, Entry]
    ) -> list[Request]:
        """Add elements, in as many messages as they need."""
        return self._elements(NEWSETELEM, name, self._encoded(shape, elements))

    def delete_elements(
        self, name: str, shape: Set, elements: Mapping[Element, Entry]
    ) -> list[Request]:
        """Remove elements, in as many messages as they need."""
        keys = self._encoded(Set(shape.fields, shape.intervals), elements)
        return self._elements(DELSETELEM, name, keys)

    def _encoded(self, shape: Set, elements: Mapping[Element, Entry]) -> Iterator[bytes]:
        of = wires(self.family, shape.fields)
        if shape.intervals:
            (wire,) = of
            for (value,) in elements:
                first, end = interval(wire, value)
                yield _plain_element(first)
                if end is not None:
                    yield _plain_element(end, ELEMENT_IS_END)
        elif shape.verdicts:
            for element, entry in elements.items():
                yield _map_element(encode_key(of, element), entry)
        else:
            length = key_length(of)
            head = _plain_element(bytes(length))[:12]  # three nested attributes, all alike
            padding = b"\0" * (-length & 3)
            for element in elements:
                yield head + encode_key(of, element) + padding

    def _elements(
        self, message: int, name: str, items: Iterable[bytes], *more: bytes
    ) -> list[Request]:
        requests, chunk, size = [], list[bytes](), 0
        head = (text(2, name), *more)
        for item in items:
            if size + len(item) > _LIST_BYTES:
                requests.append(self._message(message, NLM_F_CREATE, *head, nested(3, *chunk)))
                chunk, size = [], 0
            chunk.append(item)
            size += len(item)
        if chunk:
            requests.append(self._message(message, NLM_F_CREATE, *head, nested(3, *chunk)))
        return requests

    def list_of(self, message: int, *attributes: bytes) -> Request:
        """Ask for all objects of one kind in this table."""
        return self._message(message, 0, *attributes)


@lru_cache(maxsize=256)
def _chain(name: str) -> bytes:
    """Name the chain of a rule; the rules of a chain come one after the other."""
    return text(2, name)


def _handle(kind: int, handle: int) -> bytes:
    return attribute(kind, struct.pack(">Q", handle))


def _key_attributes(of: Sequence[FieldWire], flags: int) -> list[bytes]:
    key_type = 0
    for wire in of:
        key_type = key_type << _TYPE_BITS | wire.type_id
    return [number(3, flags), number(4, key_type), number(5, key_length(of))]


def _notes(of: Sequence[FieldWire]) -> bytes:
    """Tell nft how to read the key: 1 the machine's byte order, 2 the network's."""
    host = len(of) == 1 and of[0].codec in {HOST_32, NAME}
    order = note(KEY_ORDER_NOTE, struct.pack("=I", 1 if host else 2))
    return attribute(13, order)


def _plain_element(key: bytes, flags: int = 0) -> bytes:
    value = nested(1, attribute(1, key))
    return nested(1, value, number(3, flags)) if flags else nested(1, value)


def _map_element(key: bytes, entry: Entry) -> bytes:
    if not isinstance(entry, Verdict):
        msg = "an element of a verdict map needs a verdict"
        raise TypeError(msg)
    return nested(1, nested(1, attribute(1, key)), encode_verdict(entry))
