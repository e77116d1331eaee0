"""Read what `nft -a -s list table` prints, and find the rules that stop packets.

    text --parse_chains--> Chain, Rule --stops--> the ways a base chain drops, with their rules

Only the text is read: enough to name a rule, its verdict, and how to delete it.

Source: nft(8).
"""

import re
from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct

_TABLE = re.compile(r"table (?P<family>\w+) (?P<name>\S+) \{")
_CHAIN = re.compile(r"chain (?P<name>\S+) \{")
_HOOK = re.compile(r"type \w+ hook (?P<hook>\w+) .*?priority [^;]*;(?: policy (?P<policy>\w+);)?")
_RULE = re.compile(r"(?P<text>.*?)\s*# handle (?P<handle>\d+)$", re.DOTALL)
_GOES = re.compile(r"\b(?:jump|goto) (\S+?)(?=[\s,}]|$)")
_STOPS = re.compile(r"\b(drop|reject)\b")
_IDLE = re.compile(
    r'counter( packets \d+ bytes \d+)?|comment "[^"]*"|log( (prefix "[^"]*"|level \w+))*'
)


class Rule(Struct, frozen=True):
    """One rule of one chain."""

    text: str
    handle: str


class Chain(Struct, frozen=True):
    """One chain; `hook` is empty for one that is only jumped to."""

    family: str
    table: str
    name: str
    hook: str = ""
    policy: str = ""
    rules: tuple[Rule, ...] = ()


class Stop(Struct, frozen=True):
    """A rule, or the policy (`rule` None), by which packets of a base chain are dropped."""

    base: Chain
    chain: Chain
    rule: Rule | None = None

    @property
    def is_unconditional(self) -> bool:
        """Whether it drops everything that gets there."""
        if self.rule is None:
            return True
        return _STOPS.match(_IDLE.sub("", self.rule.text).strip()) is not None


def parse_chains(text: str) -> tuple[Chain, ...]:
    """Read the tables of a listing; sets and maps are passed over."""
    chains: list[Chain] = []
    family = table = ""
    block: list[str] | None = None
    for line in text.splitlines():
        words = line.strip()
        if match := _TABLE.match(words):
            family, table = match["family"], match["name"]
        elif match := _CHAIN.match(words):
            block = [match["name"]]
        elif block is not None and words == "}":
            chains.append(_chain(family, table, block))
            block = None
        elif block is not None and words:
            block.append(words)
    return tuple(chains)


def _chain(family: str, table: str, block: Sequence[str]) -> Chain:
    name, *lines = block
    hook = policy = ""
    rules: list[Rule] = []
    unfinished: list[str] = []  # a long set is printed on several lines
    for line in lines:
        if match := _HOOK.match(line):
            hook, policy = match["hook"], match["policy"] or "accept"
            continue
        unfinished.append(line)
        if match := _RULE.match(" ".join(unfinished)):
            rules.append(Rule(match["text"], match["handle"]))
            unfinished = []
    return Chain(family, table, name, hook, policy, tuple(rules))


def stops(chains: Sequence[Chain], base: Chain) -> Iterator[Stop]:
    """Yield all by which packets of a base chain may be dropped, its policy last."""
    for chain in reachable(chains, base):
        for rule in chain.rules:
            if _STOPS.search(_IDLE.sub("", rule.text)):
                yield Stop(base, chain, rule)
    if base.policy == "drop":
        yield Stop(base, base)


def reachable(chains: Sequence[Chain], base: Chain) -> list[Chain]:
    """List a chain and those it leads to."""
    named: Mapping[str, Chain] = {
        chain.name: chain for chain in chains
        if (chain.family, chain.table) == (base.family, base.table)
    }  # fmt: skip
    found: dict[str, Chain] = {}
    waiting = [base.name]
    while waiting:
        name = waiting.pop()
        if name in named and name not in found:
            found[name] = named[name]
            waiting += [to for rule in named[name].rules for to in _GOES.findall(rule.text)]
    return list(found.values())
