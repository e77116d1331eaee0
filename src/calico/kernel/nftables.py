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

from collections.abc import Mapping, Sequence
from errno import EINVAL, ELOOP, EMLINK, ENOBUFS, ENOENT, ENOMEM, EOPNOTSUPP, EPERM

from calico.core.nftables.changes import (
    AddElements,
    Change,
    Contents,
    DeleteChain,
    DeleteElements,
    DeleteSet,
    Entry,
    Rules,
    SetRules,
    Subject,
    subject,
)
from calico.core.nftables.vocabulary import Element, Family
from calico.kernel.netlink import (
    NETLINK_NETFILTER,
    KernelError,
    Message,
    NetlinkSocket,
    Request,
)
from calico.kernel.nftables_batch import Batch, How, Work
from calico.kernel.nftables_contents import (
    is_asleep,
    read_contents,
    read_handles,
)
from calico.kernel.nftables_messages import BEGIN, END, TableMessages

_OPERATION = "change nftables"
_ROUNDS = 40  # halving 4,000 elements takes 12, weakening a chain 3
# A loop, or masquerading where it is not legal, is found by walking the whole table: whatever
# rule comes after the wrong one is refused as well, and only the first is to blame.
_SPREADING = {ELOOP, EMLINK, EOPNOTSUPP}
_REMOVALS = DeleteChain, DeleteSet, DeleteElements
_HOPELESS = {ENOBUFS, ENOMEM, EPERM}  # not the fault of any one change


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
        self._apply([Work(change) for change in changes], failures)
        return failures

    def _apply(self, work: list[Work], failures: dict[Subject, str]) -> None:
        for _ in range(_ROUNDS):
            if not work:
                return
            batch = Batch(self._messages, self._handles_of)
            wrong = batch.encode(work)
            reasons = {i: KernelError(_OPERATION, EINVAL, why) for i, why in wrong.items()}
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

    def _handles_of(self, chain: str, believed: Rules) -> list[int]:
        """Find the handles of these rules; too few or many: the belief is wrong."""
        if not believed:
            return []
        known = self._handles.get(chain)
        if known is None:
            known = self._handles[chain] = read_handles(self._netlink, self._messages, chain)
        return known

    def _learn(self, batch: Batch, echoes: Mapping[int, Message]) -> None:
        """Remember the handles of the rules just written, where the kernel told them."""
        for chain, handles in batch.learned(echoes).items():
            if handles is None:
                self._handles.pop(chain, None)
            else:
                self._handles[chain] = handles

    def _blame(self, batch: Batch, refused: Mapping[int, KernelError]) -> dict[int, KernelError]:
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

    def _apply_in_halves(self, work: list[Work], failures: dict[Subject, str]) -> None:
        """Find the change that spoils the whole; each half is in a legal order by itself."""
        if len(work) == 1:
            failures[subject(work[0].change)] = "the kernel refuses the table with this change"
            return
        middle = len(work) // 2
        self._apply(work[:middle], failures)
        self._apply(work[middle:], failures)

    def _weakened(
        self,
        work: Sequence[Work],
        reasons: Mapping[int, KernelError],
        failures: dict[Subject, str],
    ) -> list[Work]:
        """Prepare the next attempt: without, or with less of, what was refused."""
        given_up: set[Subject] = set()
        rest: list[Work] = []
        for index, item in enumerate(work):
            error = reasons.get(index)
            if error is None:
                rest.append(item)
            elif weaker := self._weaker(item, error, failures):
                rest.extend(weaker)
            elif not (isinstance(item.change, _REMOVALS) and error.errno == ENOENT):
                given_up.add(subject(item.change))
                failures[subject(item.change)] = error.reason
        return [w for w in rest if not self._concerns(w.change, given_up)]

    def _weaker(self, item: Work, error: KernelError, failures: dict[Subject, str]) -> list[Work]:
        """Say what to try instead of a refused change; nothing: leave it out."""
        match item.change:
            case SetRules(chain=chain, old=old, instead=instead):
                self._handles.pop(chain, None)
                if item.how is How.EDIT and old:
                    return [Work(item.change, How.REPLACE)]
                if item.how is not How.INSTEAD and instead is not None:
                    failures[subject(item.change)] = error.reason
                    return [Work(item.change, How.INSTEAD)]
            case AddElements(set_name=name, shape=shape, elements=elements) if len(elements) > 1:
                return [Work(AddElements(name, shape, half)) for half in _halves(elements)]
            case DeleteElements(set_name=name, shape=shape, elements=elements) if len(elements) > 1:
                return [Work(DeleteElements(name, shape, half)) for half in _halves(elements)]
        return []

    def _concerns(self, change: Change, given_up: set[Subject]) -> bool:
        if isinstance(change, AddElements | DeleteElements):
            return Subject("set", change.set_name) in given_up
        return subject(change) in given_up


def _halves(elements: Mapping[Element, Entry]) -> list[dict[Element, Entry]]:
    rows = list(elements.items())
    middle = len(rows) // 2
    return [dict(rows[:middle]), dict(rows[middle:])]
