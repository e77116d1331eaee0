"""Judge the rules of others: which of them drop what Calico must let pass.

    Chain (not ours) + our networks and interfaces --foreign_rules--> Finding

In nftables the accept of one table does not undo the drop of another, so any table may stop us.
A rule is wrong if it drops everything, or names a pod's interface, BGP, or an address of ours; a
rule of the forward hook that names nothing is a warning; what names only other interfaces and
addresses is none of our business.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_network

from msgspec import Struct

from calico.calicoctl.doctor.facts import Finding, Known, Machine, uplinks
from calico.calicoctl.doctor.rules import Chain, Rule, Stop, reachable, stops

_HOOKS = ("prerouting", "input", "forward", "output", "postrouting")
_FAMILIES = ("ip", "ip6", "inet")
_LITERAL = re.compile(r"(?<![\w.:])[0-9a-f]*[.:][0-9a-f.:]+(?:/[0-9]+)?")
_INTERFACE = re.compile(r'\b[io]if(?:name)? "([^"]*)"')
_BGP = re.compile(r"\b(179|bgp)\b")
_OUR_INTERFACES = (
    "cali",
    "tunl",
    "vxlan.calico",
    "vxlan-v6.calico",
    "wireguard.cali",
    "wg-v6.cali",
)
_LEFT_BY_IPTABLES_MODE = "cali-"

_WRITERS: Mapping[str, str] = {
    "firewalld": "firewalld: firewall-cmd --permanent --zone=trusted --add-interface=cali+",
    "filter": "iptables, Docker, ufw or kube-proxy",
    "kube-proxy": "kube-proxy",
}


class _Ours(Struct, frozen=True):
    """What rules must let pass."""

    networks: tuple[IPv4Network | IPv6Network, ...]
    uplinks: tuple[str, ...]


def foreign_rules(machine: Machine, known: Known) -> Iterator[Finding]:
    """Look at every base chain that is not ours."""
    if machine.rules_trouble:
        yield Finding("warning", "rules", machine.rules_trouble, "install nft, run as root")
        return
    found = [*_left_over(machine.chains), *_judged(machine, known)]
    yield from found
    if not found:
        yield Finding("ok", "rules", "no other table drops what we forward")


def _left_over(chains: Sequence[Chain]) -> Iterator[Finding]:
    tables = sorted({
        f"{chain.family} {chain.table}"
        for chain in chains if chain.name.startswith(_LEFT_BY_IPTABLES_MODE)
    })  # fmt: skip
    if tables:
        yield Finding(
            "warning", "old rules",
            f"rules of a Calico that used iptables are left in {', '.join(tables)}: its policy of "
            "then is still enforced",
            "restart the machine, or delete the chains cali-* and the rules that jump to them",
        )  # fmt: skip


def _judged(machine: Machine, known: Known) -> Iterator[Finding]:
    ours = _Ours(
        tuple(ip_network(text, strict=False) for text in known.networks),
        tuple(uplinks(machine, known)),
    )
    for base in machine.chains:
        if base.hook not in _HOOKS or base.family not in _FAMILIES:
            continue
        lets_pods_pass = _accepts_pods(machine.chains, base)
        for stop in stops(machine.chains, base):
            if stop.chain.name.startswith(_LEFT_BY_IPTABLES_MODE):
                continue
            if stop.is_unconditional and lets_pods_pass:
                continue
            yield from _policy(base) if stop.rule is None else _rule(stop, stop.rule, ours)


def _accepts_pods(chains: Sequence[Chain], base: Chain) -> bool:
    return any(
        '"cali' in rule.text and re.search(r"\baccept\b", rule.text)
        for chain in reachable(chains, base)
        for rule in chain.rules
    )


def _policy(base: Chain) -> Iterator[Finding]:
    where = f"chain {base.family} {base.table} {base.name} ({base.hook})"
    if base.hook == "forward":
        why = f"{where} has policy drop and accepts nothing of ours: packets of pods are lost"
        yield Finding("error", "foreign rules", why, _policy_fix(base))
    elif base.hook == "input" and not any(_BGP.search(rule.text) for rule in base.rules):
        why = f"{where} has policy drop and does not name BGP: new sessions may not come up"
        yield Finding("warning", "foreign rules", why, "accept TCP 179 from the other nodes there")


def _policy_fix(base: Chain) -> str:
    if base.table == "filter" and base.name.isupper():
        tool = "ip6tables" if base.family == "ip6" else "iptables"
        return (
            f"{tool} -P {base.name} ACCEPT, or {tool} -I {base.name} -i cali+ -j ACCEPT and the "
            "same with -o cali+ (Docker sets this policy: see its ip-forward-no-drop)"
        )
    insert = f"nft insert rule {base.family} {base.table} {base.name}"
    return f'{insert} iifname "cali*" accept, and the same with oifname ({_writer(base)})'


def _rule(stop: Stop, rule: Rule, ours: _Ours) -> Iterator[Finding]:
    concerns = stop.is_unconditional or _concerns(rule, ours)
    if not concerns and (stop.base.hook != "forward" or _is_of_others(rule, ours)):
        return
    where = f"{stop.chain.family} {stop.chain.table} {stop.chain.name}"
    drops = "drops" if concerns else "may drop our packets"
    yield Finding(
        "error" if concerns else "warning", "foreign rules",
        f"chain {where} ({stop.base.hook}) {drops}: {rule.text}",
        f"nft delete rule {where} handle {rule.handle}, or have whoever writes it "
        f"({_writer(stop.chain)}) leave cali* and the pools alone",
    )  # fmt: skip


def _concerns(rule: Rule, ours: _Ours) -> bool:
    """Whether a rule names a pod's interface, BGP, or an address of ours."""
    if '"cali' in rule.text or ("dport" in rule.text and _BGP.search(rule.text)):
        return True
    return any(
        named.version == one.version and named.overlaps(one)
        for named in _networks(rule)
        for one in ours.networks
    )


def _networks(rule: Rule) -> Iterator[IPv4Network | IPv6Network]:
    for text in _LITERAL.findall(rule.text):
        try:
            yield ip_network(text, strict=False)
        except ValueError:
            continue


def _is_of_others(rule: Rule, ours: _Ours) -> bool:
    """Whether a rule is about invalid connections, or other addresses or interfaces than ours."""
    if "ct state" in rule.text or any(True for _ in _networks(rule)):
        return True
    names = (*_OUR_INTERFACES, *ours.uplinks)
    named = _INTERFACE.findall(rule.text)
    return any(
        not name.endswith("*") and not any(name.startswith(one) for one in names) for name in named
    )


def _writer(chain: Chain) -> str:
    return _WRITERS.get(chain.table, f"the owner of table {chain.table}")
