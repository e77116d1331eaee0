"""One transaction in the making: changes become messages, and each message knows its change.

    [Work, ...] --Batch.encode--> requests, and for each its owner's place in the row

The rules of a chain are edited by handle: rules that stay are not named, so their counters go on
counting and the kernel has little to check. Handles of rules that stand already are asked of
whoever remembers them; those of new rules come back as echoes.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import IntEnum
from typing import TypeAlias

from calico.core.nftables.changes import (
    AddChain,
    AddElements,
    AddSet,
    Change,
    DeleteChain,
    DeleteElements,
    DeleteSet,
    Rules,
    SetRules,
    edit,
)
from calico.kernel.netlink import NLM_F_ECHO, Message, Request
from calico.kernel.nftables_contents import rule_handle
from calico.kernel.nftables_messages import TableMessages
from calico.kernel.nftables_rules import UNENCODABLE

HandlesOf: TypeAlias = Callable[[str, Rules], list[int]]

_ECHOED_RULES = 1_000  # more echoes could overrun the receive buffer; handles are read on demand


class How(IntEnum):
    """How the rules of a chain are written, from the gentlest way on."""

    EDIT = 0
    REPLACE = 1
    INSTEAD = 2


class Work:
    """A change on its way, and how much of it was given up."""

    def __init__(self, change: Change, how: How = How.EDIT) -> None:
        self.change = change
        self.how = how


class Batch:
    """One transaction: its messages, whose they are, and the handles that will be known."""

    def __init__(self, messages: TableMessages, handles_of: HandlesOf) -> None:
        self._messages = messages
        self._handles_of = handles_of
        self.requests = [messages.add_table()]
        self.owners = [-1]
        self._handles: dict[str, list[int]] = {}  # negative: minus the index of the request
        self._gone: list[str] = []

    def encode(self, work: Sequence[Work]) -> dict[int, str]:
        """Encode all; return which cannot even be said, and why."""
        wrong: dict[int, str] = {}
        for index, item in enumerate(work):
            try:
                self._encode(index, item)
            except UNENCODABLE as error:
                wrong[index] = f"no encoding: {error!r}"
        self._ask_for_handles()
        return wrong

    def _add(self, owner: int, requests: Iterable[Request]) -> None:
        self.requests.extend(requests)
        self.owners.extend([owner] * (len(self.requests) - len(self.owners)))

    def _encode(self, index: int, item: Work) -> None:
        messages = self._messages
        match item.change:
            case SetRules():
                self._encode_rules(index, item.change, item.how)
            case AddElements(set_name=name, shape=shape, elements=elements):
                self._add(index, messages.add_elements(name, shape, elements))
            case DeleteElements(set_name=name, shape=shape, elements=elements):
                self._add(index, messages.delete_elements(name, shape, elements))
            case AddChain(name=name, hook=hook):
                self._add(index, [messages.add_chain(name, hook)])
            case DeleteChain(name=name):
                self._add(index, [messages.flush_chain(name), messages.delete_chain(name)])
                self._gone.append(name)
            case AddSet(name=name, shape=shape):
                self._add(index, [messages.add_set(name, shape)])
            case DeleteSet(name=name):
                self._add(index, [messages.delete_set(name)])

    def _encode_rules(self, index: int, change: SetRules, how: How) -> None:
        messages, chain = self._messages, change.chain
        rules = (change.instead or ()) if how is How.INSTEAD else change.new
        kept, old = list[int](), change.old
        if how is How.EDIT and old:
            kept = self._handles_of(chain, old)
        if how is not How.EDIT or old is None or len(kept) != len(old):
            self._add(index, [messages.flush_chain(chain)])
            kept, old = [], ()
        first, last_old, last_new = edit(old, rules)
        following = kept[last_old] if last_old < len(kept) else None
        added = []
        for rule in rules[first:last_new]:
            self._add(index, messages.add_rule(chain, rule, following))
            added.append(1 - len(self.requests))
        self._add(index, [messages.delete_rule(chain, h) for h in kept[first:last_old]])
        self._handles[chain] = [*kept[:first], *added, *kept[last_old:]]

    def _ask_for_handles(self) -> None:
        """Let the kernel echo new rules, with the handles it gave them, if they are not many."""
        added = [-h for handles in self._handles.values() for h in handles if h < 0]
        if len(added) <= _ECHOED_RULES:
            for index in added:
                kind, flags, body = self.requests[index]
                self.requests[index] = kind, flags | NLM_F_ECHO, body

    def learned(self, echoes: Mapping[int, Message]) -> dict[str, list[int] | None]:
        """Tell the handles that are now known, and the chains of which none are."""
        known: dict[str, list[int] | None] = dict.fromkeys(self._gone)
        for chain, handles in self._handles.items():
            if all(h > 0 or -h in echoes for h in handles):
                known[chain] = [h if h > 0 else rule_handle(echoes[-h]) for h in handles]
            else:
                known[chain] = None
        return known
