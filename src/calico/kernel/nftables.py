"""One nftables table in the kernel: read it back, change it.

    Contents <-- read_back --+               +-- chains, sets, elements, rules of this table
                             |  KernelTable  |
    Change, in order --------+               +-- one nfnetlink transaction --> failures by subject

A transaction is all or nothing, so one refused change would hold up the others. The kernel tells
which messages it refuses; those changes are weakened or left out, and the rest is tried again:

    rules of a chain   edit by handle -> replace all -> what is to stand there instead -> leave
    several elements   halves, down to the one that is refused
    a removal          of what is already gone counts as done

Ownership: the whole table of this name is ours, and nothing outside it is ever touched.

Handles (the kernel's numbers of rules) are a cache, checked by count and dropped at a refusal.

Source: linux/netfilter/nf_tables.h, the kernel's nfnetlink.c and nf_tables_api.c.
"""

from collections.abc import Iterable, Mapping, Sequence
from enum import IntEnum

from calico.core.nftables.changes import (
    AddChain,
    AddElements,
    AddSet,
    Change,
    Contents,
    DeleteChain,
    DeleteElements,
    DeleteSet,
    Entry,
    Rules,
    SetRules,
    Subject,
    edit,
    subject,
)
from calico.core.nftables.vocabulary import Element, Family
from calico.kernel.netlink import (
    NETLINK_NETFILTER,
    NLM_F_ECHO,
    KernelError,
    Message,
    NetlinkSocket,
    Request,
)
from calico.kernel.nftables_contents import (
    ENOENT,
    is_asleep,
    read_contents,
    read_handles,
    rule_handle,
)
from calico.kernel.nftables_messages import BEGIN, END, TableMessages
from calico.kernel.nftables_rules import UNENCODABLE

_OPERATION = "change nftables"
_ROUNDS = 40  # halving 4,000 elements takes 12, weakening a chain 3
_ECHOED_RULES = 1_000  # more echoes could overrun the receive buffer; handles are read on demand
# A loop, or masquerading where it is not legal, is found by walking the whole table: whatever
# rule comes after the wrong one is refused as well, and only the first is to blame.
_SPREADING = {31: "EMLINK", 40: "ELOOP", 95: "EOPNOTSUPP"}
_HOPELESS = {1: "EPERM", 12: "ENOMEM", 105: "ENOBUFS"}  # not the fault of any one change


class _How(IntEnum):
    """How the rules of a chain are written, from the gentlest way on."""

    EDIT = 0
    REPLACE = 1
    INSTEAD = 2


class _Work:
    """A change on its way, and what was given up about it."""

    def __init__(self, change: Change, how: _How = _How.EDIT) -> None:
        self.change = change
        self.how = how


class _Batch:
    """One transaction: its messages, whose they are, and the handles that will be known."""

    def __init__(self, table: Request) -> None:
        self.requests = [table]
        self.owners = [-1]
        self.handles: dict[str, list[int]] = {}  # negative: minus the index of the request
        self.gone: list[str] = []

    def add(self, owner: int, requests: Iterable[Request]) -> None:
        self.requests.extend(requests)
        self.owners.extend([owner] * (len(self.requests) - len(self.owners)))

    def ask_for_handles(self) -> None:
        """Let the kernel echo new rules, with the handles it gave them, if they are not many."""
        added = [-h for handles in self.handles.values() for h in handles if h < 0]
        if len(added) <= _ECHOED_RULES:
            for index in added:
                kind, flags, body = self.requests[index]
                self.requests[index] = kind, flags | NLM_F_ECHO, body


class KernelTable:
    """The table of this family and name, in the namespace of the socket. For one thread."""

    def __init__(self, family: Family, name: str, netlink: NetlinkSocket | None = None) -> None:
        self.family = family
        self.name = name
        self._netlink = netlink or NetlinkSocket(NETLINK_NETFILTER)
        self._messages = TableMessages(family, name)
        self._handles: dict[str, list[int]] = {}

    @property
    def port_id(self) -> int:
        """The sender that our own transactions are announced with."""
        return self._netlink.port_id

    def close(self) -> None:
        """Close the socket, shared or not; the table stays in force."""
        self._netlink.close()

    def read_back(self) -> Contents:
        """Read all that the table holds. Raises KernelError.

        A table that someone put to sleep is woken first: its rules would be there, and do nothing.
        """
        if is_asleep(self._netlink, self._messages):
            self._must([self._messages.add_table()])
        contents, self._handles = read_contents(self._netlink, self._messages)
        return contents

    def delete(self) -> None:
        """Remove the table with all it holds; fine if there is none. Raises KernelError."""
        self._handles.clear()
        self._must([self._messages.add_table(), self._messages.delete_table()])

    def _must(self, requests: Sequence[Request]) -> None:
        refused, _ = self._netlink.transaction(_OPERATION, BEGIN, requests, END)
        for error in refused.values():
            raise error

    def apply(self, changes: Sequence[Change]) -> Mapping[Subject, str]:
        """Make all these changes, or all but those refused; return the reasons by subject.

        Raises KernelError if the kernel refuses to work at all.
        """
        failures: dict[Subject, str] = {}
        self._apply([_Work(change) for change in changes], failures)
        return failures

    def _apply(self, work: list[_Work], failures: dict[Subject, str]) -> None:
        for _ in range(_ROUNDS):
            if not work:
                return
            batch, reasons = self._encode(work)
            if not reasons:
                refused, echoes = self._netlink.transaction(_OPERATION, BEGIN, batch.requests, END)
                if not refused:
                    self._learn(batch, echoes)
                    return
                reasons = self._blame(batch, refused)
            if -1 in reasons:  # the whole, and nothing in it
                break
            work = self._weakened(work, reasons, failures)
        self._apply_in_halves(work, failures)

    def _encode(self, work: Sequence[_Work]) -> tuple[_Batch, dict[int, KernelError]]:
        """Encode all; tell which changes cannot even be said."""
        batch = _Batch(self._messages.add_table())
        wrong: dict[int, KernelError] = {}
        for index, item in enumerate(work):
            try:
                self._encode_one(batch, index, item)
            except UNENCODABLE as error:
                wrong[index] = KernelError(_OPERATION, 22, f"no encoding: {error!r}")  # EINVAL
        batch.ask_for_handles()
        return batch, wrong

    def _encode_one(self, batch: _Batch, index: int, item: _Work) -> None:
        messages = self._messages
        match item.change:
            case SetRules():
                self._encode_rules(batch, index, item.change, item.how)
            case AddElements(set_name=name, shape=shape, elements=elements):
                batch.add(index, messages.add_elements(name, shape, elements))
            case DeleteElements(set_name=name, shape=shape, elements=elements):
                batch.add(index, messages.delete_elements(name, shape, elements))
            case AddChain(name=name, hook=hook):
                batch.add(index, [messages.add_chain(name, hook)])
            case DeleteChain(name=name):
                batch.add(index, [messages.flush_chain(name), messages.delete_chain(name)])
                batch.gone.append(name)
            case AddSet(name=name, shape=shape):
                batch.add(index, [messages.add_set(name, shape)])
            case DeleteSet(name=name):
                batch.add(index, [messages.delete_set(name)])

    def _encode_rules(self, batch: _Batch, index: int, change: SetRules, how: _How) -> None:
        messages, chain = self._messages, change.chain
        rules = (change.instead or ()) if how is _How.INSTEAD else change.new
        kept, old = list[int](), change.old
        if how is _How.EDIT and old is not None:
            kept = self._handles_of(chain, old)
        if len(kept) != len(old or ()) or how is not _How.EDIT or old is None:
            batch.add(index, [messages.flush_chain(chain)])
            kept, old = [], ()
        first, last_old, last_new = edit(old, rules)
        following = kept[last_old] if last_old < len(kept) else None
        added = []
        for rule in rules[first:last_new]:
            batch.add(index, messages.add_rule(chain, rule, following))
            added.append(1 - len(batch.requests))
        batch.add(index, [messages.delete_rule(chain, h) for h in kept[first:last_old]])
        batch.handles[chain] = [*kept[:first], *added, *kept[last_old:]]

    def _handles_of(self, chain: str, believed: Rules) -> list[int]:
        """Find the handles of these rules; too few or many: the belief is wrong."""
        if not believed:
            return []
        known = self._handles.get(chain)
        if known is None:
            known = self._handles[chain] = read_handles(self._netlink, self._messages, chain)
        return known

    def _learn(self, batch: _Batch, echoes: Mapping[int, Message]) -> None:
        """Remember the handles of the rules just written, where the kernel told them."""
        for chain in batch.gone:
            self._handles.pop(chain, None)
        for chain, handles in batch.handles.items():
            self._handles.pop(chain, None)
            if all(h > 0 or -h in echoes for h in handles):
                self._handles[chain] = [h if h > 0 else rule_handle(echoes[-h]) for h in handles]

    def _blame(self, batch: _Batch, refused: Mapping[int, KernelError]) -> dict[int, KernelError]:
        """Find the changes that the kernel refused; -1, if it blames only the whole."""
        reasons: dict[int, KernelError] = {}
        is_spoilt = False
        for index in sorted(refused, key=lambda i: (i < 0, i)):
            owner, error = batch.owners[index] if index >= 0 else -1, refused[index]
            if error.errno in _HOPELESS or (index >= 0 and owner < 0):
                raise error
            if error.errno in _SPREADING:
                if is_spoilt:
                    continue
                is_spoilt = True
            if index >= 0 or not reasons:
                reasons.setdefault(owner, error)
        return reasons

    def _apply_in_halves(self, work: list[_Work], failures: dict[Subject, str]) -> None:
        """Find the change that spoils the whole; each half is in a legal order by itself."""
        if len(work) == 1:
            failures[subject(work[0].change)] = "the kernel refuses the table with this change"
            return
        middle = len(work) // 2
        self._apply(work[:middle], failures)
        self._apply(work[middle:], failures)

    def _weakened(
        self,
        work: Sequence[_Work],
        reasons: Mapping[int, KernelError],
        failures: dict[Subject, str],
    ) -> list[_Work]:
        """Prepare the next attempt: without, or with less of, what was refused."""
        deletes = DeleteChain, DeleteSet, DeleteElements
        only_deletes = all(isinstance(work[index].change, deletes) for index in reasons)
        given_up: set[Subject] = set()
        rest: list[_Work] = []
        for index, item in enumerate(work):
            error = reasons.get(index)
            if error is None or (not only_deletes and isinstance(item.change, deletes)):
                rest.append(item)  # a removal may fail only because its users were not rewritten
            elif weaker := self._weaker(item, error, failures):
                rest.extend(weaker)
            elif not (isinstance(item.change, deletes) and error.errno == ENOENT):
                given_up.add(subject(item.change))
                failures[subject(item.change)] = error.reason
        return [w for w in rest if not self._concerns(w.change, given_up)]

    def _weaker(self, item: _Work, error: KernelError, failures: dict[Subject, str]) -> list[_Work]:
        """Say what to try instead of a refused change; nothing: leave it out."""
        match item.change:
            case SetRules(chain=chain, old=old, instead=instead):
                self._handles.pop(chain, None)
                if item.how is _How.EDIT and old:
                    return [_Work(item.change, _How.REPLACE)]
                if item.how is not _How.INSTEAD and instead is not None:
                    failures[subject(item.change)] = error.reason
                    return [_Work(item.change, _How.INSTEAD)]
            case AddElements(set_name=name, shape=shape, elements=elements) if len(elements) > 1:
                return [_Work(AddElements(name, shape, half)) for half in _halves(elements)]
            case DeleteElements(set_name=name, shape=shape, elements=elements) if len(elements) > 1:
                return [_Work(DeleteElements(name, shape, half)) for half in _halves(elements)]
        return []

    def _concerns(self, change: Change, given_up: set[Subject]) -> bool:
        if isinstance(change, AddElements | DeleteElements):
            return Subject("set", change.set_name) in given_up
        return subject(change) in given_up


def _halves(elements: Mapping[Element, Entry]) -> list[dict[Element, Entry]]:
    rows = list(elements.items())
    middle = len(rows) // 2
    return [dict(rows[:middle]), dict(rows[middle:])]
