"""Read back what one table holds: chains, rules, sets, elements, as values.

    dumps of chains, sets, elements, rules --> Contents          only this table's

Nothing is remembered between two calls, so an agent that has just started reads the same as one
that wrote it all. Sets without a name (those of single rules) end up inside their rules.

Source: linux/netfilter/nf_tables.h.
"""

import struct
from collections.abc import Iterator, Mapping, Sequence
from errno import ENOENT
from typing import NamedTuple

from calico.core.nftables.changes import UNREADABLE_SET, UNREADABLE_VERDICT, Contents, Entry
from calico.core.nftables.vocabulary import (
    Chain,
    Element,
    Field,
    Hook,
    Rule,
    Set,
    Span,
    Value,
    Verdict,
)
from calico.kernel.netlink import (
    KernelError,
    Message,
    NetlinkSocket,
    attribute,
    attributes,
    list_items,
    text,
)
from calico.kernel.nftables_fields import FIELDS, FieldWire, decode_key, key_length, wires
from calico.kernel.nftables_intervals import Point, ranges
from calico.kernel.nftables_messages import (
    ARP_HOOK_NUMBERS,
    CHAIN_POLICIES,
    ELEMENT_IS_END,
    GETCHAIN,
    GETRULE,
    GETSET,
    GETSETELEM,
    GETTABLE,
    HOOK_NUMBERS,
    SET_ANONYMOUS,
    SET_INTERVAL,
    SET_MAP,
    TABLE_DORMANT,
    VERDICT_TYPE,
    TableMessages,
    message_type,
)
from calico.kernel.nftables_rules import UNENCODABLE, read_rule
from calico.kernel.nftables_wire import Reader, decode_verdict, u32

_TYPE_BITS = 6
_TYPE_MASK = (1 << _TYPE_BITS) - 1
_KNOWN_FLAGS = SET_INTERVAL | SET_MAP
_BODY = 4  # bytes before a message's attributes
_POLICIES = {number: name for name, number in CHAIN_POLICIES.items()}


class _FoundSet(NamedTuple):
    shape: Set
    is_anonymous: bool


def read_contents(
    netlink: NetlinkSocket, messages: TableMessages
) -> tuple[Contents, dict[str, list[int]]]:
    """Read the whole table, and the handles of each chain's rules; no table is an empty one.

    Raises KernelError if the kernel does not answer.
    """
    reading = _TableReading(netlink, messages)
    hooks = reading.chains()
    found = reading.sets()
    named = {name: s.shape for name, s in found.items() if not s.is_anonymous}
    elements = {name: reading.elements(name, shape) for name, shape in named.items()}
    anonymous = {
        name: reading.anonymous_values(name, s.shape) for name, s in found.items() if s.is_anonymous
    }
    rules, handles = reading.rules(Reader(messages.family, named, anonymous))
    chains = {name: Chain(tuple(rules.get(name, ())), hook) for name, hook in hooks.items()}
    return Contents(chains, named, elements), handles


def is_asleep(netlink: NetlinkSocket, messages: TableMessages) -> bool:
    """Tell whether someone has put the table to sleep, with all its rules."""
    kind, flags, body = messages.list_of(GETTABLE)
    try:
        answers = netlink.request("look at an nftables table", kind, flags, body)
    except KernelError as error:
        if error.errno == ENOENT:
            return False
        raise
    return any(u32(attributes(a.body, _BODY), 2) & TABLE_DORMANT for a in answers)


def read_handles(netlink: NetlinkSocket, messages: TableMessages, chain: str) -> list[int]:
    """List the handles of a chain's rules, in order; none if there is no such chain."""
    _, _, body = messages.list_of(GETRULE, text(2, chain))
    rows = _dump(netlink, GETRULE, body)
    return [rule_handle(row) for row in rows]


def rule_handle(message: Message) -> int:
    """Read the handle out of a message about a rule."""
    return int.from_bytes(attributes(message.body, _BODY)[3], "big")


def _dump(netlink: NetlinkSocket, message: int, body: bytes) -> list[Message]:
    try:
        return netlink.dump("list nftables objects", message_type(message), body)
    except KernelError as error:
        if error.errno == ENOENT:  # no such table, or the set went away meanwhile
            return []
        raise


class _TableReading:
    def __init__(self, netlink: NetlinkSocket, messages: TableMessages) -> None:
        self._netlink = netlink
        self._messages = messages
        self._family = messages.family
        numbers = ARP_HOOK_NUMBERS if messages.family == "arp" else HOOK_NUMBERS
        self._hooks = {number: name for name, number in numbers.items()}

    def _rows(self, message: int, *more: bytes) -> Iterator[dict[int, bytes]]:
        _, _, body = self._messages.list_of(message, *more)
        for row in _dump(self._netlink, message, body):
            yield attributes(row.body, _BODY)

    def chains(self) -> dict[str, Hook | None]:
        """List chains; the kernel lists those of all tables, whatever is asked."""
        wanted = self._messages.name.encode() + b"\0"
        return {
            _name(row, 3): self._hook(row) if 4 in row else None
            for row in self._rows(GETCHAIN)
            if row[1] == wanted
        }

    def _hook(self, row: Mapping[int, bytes]) -> Hook:
        place = attributes(row[4])
        priority: int = struct.unpack(">i", place[2])[0]
        policy = _POLICIES[int.from_bytes(row[5], "big")]
        hook = self._hooks[int.from_bytes(place[1], "big")]
        return Hook(_name(row, 7), hook, priority, policy)  # type: ignore[arg-type]  # literals

    def sets(self) -> dict[str, _FoundSet]:
        """List sets and maps, with those of single rules."""
        return {_name(row, 2): self._set(row) for row in self._rows(GETSET)}

    def _set(self, row: dict[int, bytes]) -> _FoundSet:
        flags, key_type = u32(row, 3), u32(row, 4)
        is_anonymous = bool(flags & SET_ANONYMOUS)
        fields = _fields(FIELDS[self._family], key_type)
        verdicts = bool(flags & SET_MAP)
        strange = 0 if is_anonymous else flags & ~_KNOWN_FLAGS & ~0x80
        if fields is None or strange or (verdicts and u32(row, 6) != VERDICT_TYPE):
            return _FoundSet(UNREADABLE_SET, is_anonymous)
        intervals = bool(flags & SET_INTERVAL)
        if intervals and (verdicts or len(fields) > 1):
            return _FoundSet(UNREADABLE_SET, is_anonymous)
        return _FoundSet(Set(fields, intervals, verdicts), is_anonymous)

    def elements(self, name: str, shape: Set) -> dict[Element, Entry]:
        """List a set's elements; none of a set that cannot be read: it will be replaced."""
        if not shape.fields:
            return {}
        of = wires(self._family, shape.fields)
        if shape.intervals:
            (wire,) = of
            return {(v,): True for v in self._ranges(name, wire) if not isinstance(v, tuple)}
        if shape.verdicts:
            parsed = map(attributes, self._items(name))
            return {decode_key(of, _key(i)): _verdict(i.get(2, b"")) for i in parsed}
        return {decode_key(of, key): True for key in self._keys(name, of)}

    def anonymous_values(self, name: str, shape: Set) -> tuple[Value | Span, ...]:
        """List the values of a rule's own set."""
        if len(shape.fields) != 1:
            return ()
        (wire,) = wires(self._family, shape.fields)
        if shape.intervals:
            return tuple(self._ranges(name, wire))
        return tuple([wire.codec.decode(key) for key in self._keys(name, [wire])])

    def _ranges(self, name: str, wire: FieldWire) -> list[Value | Span]:
        parsed = map(attributes, self._items(name))
        points = [Point(_key(item), bool(u32(item, 3) & ELEMENT_IS_END)) for item in parsed]
        return ranges(wire, points)

    def _keys(self, name: str, of: Sequence[FieldWire]) -> Iterator[bytes]:
        """List the keys of a set without ranges; there can be a hundred thousand."""
        length = key_length(of)
        head = attribute(1, attribute(1, bytes(length)))[:8]
        for item in self._items(name):
            if item.startswith(head):
                yield item[8 : 8 + length]
            else:
                yield _key(attributes(item))

    def _items(self, name: str) -> Iterator[bytes]:
        for row in self._rows(GETSETELEM, text(2, name)):
            yield from list_items(row.get(3, b""))

    def rules(self, reader: Reader) -> tuple[dict[str, list[Rule]], dict[str, list[int]]]:
        """List the rules of every chain, in order, and their handles."""
        rules: dict[str, list[Rule]] = {}
        handles: dict[str, list[int]] = {}
        known: dict[tuple[bytes, bytes], Rule] = {}  # many chains share many rules
        for row in self._rows(GETRULE):
            chain, written = _name(row, 2), (row.get(4, b""), row.get(7, b""))
            rule = known.get(written)
            if rule is None:
                rule = known[written] = read_rule(reader, *written)
            rules.setdefault(chain, []).append(rule)
            handles.setdefault(chain, []).append(int.from_bytes(row[3], "big"))
        return rules, handles


def _name(row: Mapping[int, bytes], kind: int) -> str:
    return row[kind].rstrip(b"\0").decode()


def _verdict(data: bytes) -> Verdict:
    try:
        return decode_verdict(data)
    except UNENCODABLE:
        return UNREADABLE_VERDICT


def _key(item: Mapping[int, bytes]) -> bytes:
    return attributes(item[1])[1]


def _fields(known: Mapping[Field, FieldWire], key_type: int) -> tuple[Field, ...] | None:
    """Tell the fields of a key by nft's type number; None: not of our words.

    "saddr" and "daddr" are both addresses, "iifname" and "oifname" both names: the first known
    one stands for its type, since sets of the same shape must compare as equal.
    """
    fields: list[Field] = []
    while key_type:
        field = next((f for f, w in known.items() if w.type_id == key_type & _TYPE_MASK), None)
        if field is None:
            return None
        fields.append(field)
        key_type >>= _TYPE_BITS
    return tuple(reversed(fields))
