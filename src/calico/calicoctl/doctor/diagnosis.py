"""What is wrong with this machine: facts in, findings out, nothing touched.

    Machine + Known --machine_findings--> Finding: severity, what, why, fix

The worst comes of what stops pods' packets or BGP; a note is for people who look for more.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import ip_interface, ip_network

from calico.calicoctl.doctor.facts import Address, Finding, Known, Machine
from calico.calicoctl.doctor.rules import Chain, Rule, Stop, reachable, stops
from calico.core.net.detection import NOT_GLOBAL, Candidate

_HOOKS = ("prerouting", "input", "forward", "output", "postrouting")
_FAMILIES = ("ip", "ip6", "inet")
_LITERAL = re.compile(r"[0-9a-f]*[.:][0-9a-f.:]+(?:/[0-9]+)?")
_BGP = re.compile(r"\b(179|bgp)\b")


def machine_findings(machine: Machine, known: Known) -> list[Finding]:
    """Look at everything but the peers."""
    return [
        *_agent(machine, known),
        *_addresses(machine, known),
        *_bird(machine, known),
        *_forwarding(machine, known),
        *_reverse_path(machine, known),
        *_foreign_rules(machine, known),
        *_legacy(machine),
        *_network_manager(machine),
    ]


def _agent(machine: Machine, known: Known) -> Iterator[Finding]:
    agent = machine.agent
    if known.trouble:
        fix = "start the datastore, or set ETCD_ENDPOINTS (or --config) to where it is"
        yield Finding("error", "datastore", known.trouble, fix)
    if not agent.is_running:
        yield Finding("error", "agent", "calico-node does not run here", "start calico-node")
    elif agent.is_ready is None and agent.health_enabled:
        fix = "see calico-node's log; it serves readiness as soon as it has read its settings"
        yield Finding("error", "agent", agent.readiness, fix)
    elif agent.is_ready is None:
        fix = "set healthEnabled: true in FelixConfiguration default"
        yield Finding("note", "agent", "runs; its readiness is not served", fix)
    elif agent.is_ready:
        yield Finding("ok", "agent", "runs, and is ready")
    else:
        for component, reason in not_ready(agent.readiness):
            yield Finding("error", "agent", f"not ready: {component}: {reason}",
                          "mend what it names; calico-node's log has the history")  # fmt: skip


def not_ready(page: str) -> list[tuple[str, str]]:
    """Read the table of /readiness: the components that are not, each with its reason."""
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines()]
    found = [
        (row[0], row[4] or row[3])
        for row in rows
        if len(row) == 5 and row[3] in {"reporting non-ready", "timed out"}
    ]
    return found or [("agent", "it does not say why")]


def _addresses(machine: Machine, known: Known) -> Iterator[Finding]:
    for address in machine.addresses:
        yield from _detected(address, known)
    local = {
        str(ip_interface(text).ip): one.name for one in machine.interfaces for text in one.addresses
    }
    for version, text in known.own.items():
        bare = text.partition("/")[0]
        if bare not in local:
            yield Finding(
                "error", f"IPv{version} address",
                f"wrong address: Node {machine.node} is registered with {text}, which no "
                "interface of this machine has: others send its packets elsewhere",
                f"give the address to an interface, or set IP{'' if version == 4 else '6'}"
                "=autodetect for calico-node",
            )  # fmt: skip
    for twin, node in known.twins:
        fix = f"give one of the two another address, or: calicoctl delete node {node}"
        why = f"{twin} is registered for Node {node}, too: routes to one of them are lost"
        yield Finding("error", "duplicate address", why, fix)
    if not known.own and not known.trouble:
        is_there = "has no address" if known.is_registered else "is not registered"
        why = f"Node {machine.node} {is_there}"
        yield Finding("error", "node", why, "start calico-node with IP=autodetect, or IP=<address>")


def _detected(address: Address, known: Known) -> Iterator[Finding]:
    what = f"IPv{address.version} address"
    variable = "IP_AUTODETECTION_METHOD" if address.version == 4 else "IP6_AUTODETECTION_METHOD"
    registered = known.own.get(address.version, "")
    if address.trouble:
        yield Finding("error", what, address.trouble, f"correct {variable} of calico-node")
        return
    if address.detection is None:
        if registered:
            yield Finding("ok", what, f"{registered}: {address.wish or 'kept as registered'}")
        return
    chosen, others = address.detection.chosen, _others(address)
    if chosen is None:
        severity = "error" if registered else "note"
        why = f"none found: {address.detection.reason}"
        yield Finding(severity, what, why, f"choose another {variable}", others)  # type: ignore[arg-type]  # a literal either way
    elif registered and chosen.address != registered:
        why = f"Node has {registered}, detection now finds {chosen.address} on {chosen.interface}"
        fix = "is calico-node running? It follows within AUTODETECT_POLL_INTERVAL"
        yield Finding("warning", what, why, fix, others)
    else:
        why = f"{chosen.address} on {chosen.interface}: {address.detection.reason}"
        yield Finding("ok", what, why, details=others)


def _others(address: Address) -> tuple[str, ...]:
    if address.detection is None:
        return ()
    chosen = address.detection.chosen
    seen: dict[Candidate, None] = dict.fromkeys(address.detection.considered)
    return tuple(
        f"not {one.address} on {one.interface}: {one.refused or 'another one comes first'}"
        for one in seen
        if one != chosen and not (chosen is not None and one.refused == NOT_GLOBAL)
    )


def _bird(machine: Machine, known: Known) -> Iterator[Finding]:
    if machine.bird.trouble and machine.bird.is_wanted:
        fix = "start calico-node, which starts BIRD; its log says why BIRD ended"
        yield Finding("error", "BIRD", machine.bird.trouble, fix)
    for name, reason in known.problems.items():
        yield Finding("error", name, reason, "correct it: calicoctl get bgppeers -o yaml")
    if machine.md5_refused:
        yield Finding(
            "warning", "BGP passwords",
            f"the kernel has refused {machine.md5_refused} segments for their MD5 signature since "
            "it started: a peer has another password, or one of the two has none",
            "give both sides the same password",
        )  # fmt: skip


def _forwarding(machine: Machine, known: Known) -> Iterator[Finding]:
    for version, name in ((4, "net/ipv4/ip_forward"), (6, "net/ipv6/conf/all/forwarding")):
        value = machine.sysctls.get(name)
        if value == "0" and (version == 4 or 6 in known.own):
            dotted = name.replace("/", ".")
            yield Finding(
                "error", f"IPv{version} forwarding",
                f"{dotted} is 0: no pod reaches anything but this node",
                f"sysctl -w {dotted}=1, and keep it in /etc/sysctl.d/99-calico.conf; "
                "find what switches it off",
            )  # fmt: skip
        elif value is not None and value != "0":
            yield Finding("ok", f"IPv{version} forwarding", "is on")


def _reverse_path(machine: Machine, known: Known) -> Iterator[Finding]:
    ours = {text.partition("/")[0] for text in known.own.values()}
    uplinks = [
        one.name for one in machine.interfaces
        if any(text.partition("/")[0] in ours for text in one.addresses)
    ]  # fmt: skip
    everywhere = machine.sysctls.get("net/ipv4/conf/all/rp_filter", "0")
    for uplink in uplinks:
        own = machine.sysctls.get(f"net/ipv4/conf/{uplink}/rp_filter", "0")
        if max(own, everywhere) == "1":
            yield Finding(
                "warning", "rp_filter",
                f"is strict on {uplink}: packets are dropped that come by it though the way back "
                "is another one (several uplinks, tunnels, asymmetric routes)",
                f"if that is your network: sysctl -w net.ipv4.conf.{uplink}.rp_filter=2",
            )  # fmt: skip


def _foreign_rules(machine: Machine, known: Known) -> Iterator[Finding]:
    if machine.rules_trouble:
        yield Finding("warning", "rules", machine.rules_trouble, "install nft, run as root")
        return
    judged = (
        _stop(stop, known.networks, lets_pods_pass=_accepts_pods(machine.chains, chain))
        for chain in machine.chains
        if chain.hook in _HOOKS and chain.family in _FAMILIES
        for stop in stops(machine.chains, chain)
    )
    found = [finding for finding in judged if finding is not None]
    yield from found
    if not found:
        yield Finding("ok", "rules", "no other table drops what we forward")


def _accepts_pods(chains: Sequence[Chain], base: Chain) -> bool:
    return any(
        '"cali' in rule.text and rule.text.endswith("accept")
        for chain in reachable(chains, base)
        for rule in chain.rules
    )


def _stop(stop: Stop, networks: Sequence[str], *, lets_pods_pass: bool) -> Finding | None:
    """Judge one way to drop; None if it is no concern of ours."""
    base, rule = stop.base, stop.rule
    where = f"{stop.chain.family} {stop.chain.table} {stop.chain.name}"
    if rule is None:
        if lets_pods_pass or (base.hook == "input" and _names_bgp(base)) or base.hook == "output":
            return None
        severity = "error" if base.hook == "forward" else "warning"
        lost = "packets of pods are" if base.hook == "forward" else "BGP of new peers may be"
        why = (
            f"chain {where} ({base.hook}) has policy drop and accepts nothing of ours: {lost} lost"
        )
        return Finding(severity, "foreign rules", why, _policy_fix(base))  # type: ignore[arg-type]  # a literal either way
    if stop.is_unconditional and lets_pods_pass:
        return None
    concerns = stop.is_unconditional or _concerns(rule, networks)
    if not concerns and (base.hook != "forward" or "ct state" in rule.text):
        return None
    return Finding(
        "error" if concerns else "warning", "foreign rules",
        f"chain {where} ({base.hook}) drops{'' if concerns else ', perhaps, our packets'}: "
        f"{rule.text}",
        f"nft delete rule {where} handle {rule.handle}, or have whoever writes it "
        f"({_writer(stop.chain)}) leave cali* and the pools alone",
    )  # fmt: skip


def _names_bgp(chain: Chain) -> bool:
    return any(_BGP.search(rule.text) for rule in chain.rules)


def _concerns(rule: Rule, networks: Sequence[str]) -> bool:
    """Whether a rule names a pod's interface, BGP, or an address of ours."""
    if '"cali' in rule.text or ("dport" in rule.text and _BGP.search(rule.text)):
        return True
    ours = [ip_network(text, strict=False) for text in networks]
    for text in _LITERAL.findall(rule.text):
        try:
            named = ip_network(text, strict=False)
        except ValueError:
            continue
        if any(named.version == one.version and named.overlaps(one) for one in ours):
            return True
    return False


def _policy_fix(base: Chain) -> str:
    if base.table == "filter" and base.name.isupper():
        tool = "ip6tables" if base.family == "ip6" else "iptables"
        return (
            f"{tool} -P {base.name} ACCEPT, or {tool} -I {base.name} -i cali+ -j ACCEPT and the "
            "same with -o cali+ (Docker sets this policy: see its ip-forward-no-drop)"
        )
    return (
        f'nft insert rule {base.family} {base.table} {base.name} iifname "cali*" accept, and the '
        f"same with oifname ({_writer(base)})"
    )


_WRITERS: Mapping[str, str] = {
    "firewalld": "firewalld: firewall-cmd --permanent --zone=trusted --add-interface=cali+",
    "filter": "iptables, Docker, ufw or kube-proxy",
    "kube-proxy": "kube-proxy",
}


def _writer(chain: Chain) -> str:
    return _WRITERS.get(chain.table, f"the owner of table {chain.table}")


def _legacy(machine: Machine) -> Iterator[Finding]:
    used = {
        name: text for name, text in machine.legacy.items() if "-A " in text or " DROP [" in text
    }
    if not used:
        return
    drops = "DROP" in "".join(used.values()) or "REJECT" in "".join(used.values())
    yield Finding(
        "error" if drops else "warning", "iptables backends",
        f"rules of iptables-legacy are in force beside nftables (tables {', '.join(sorted(used))})"
        f"{', and some drop' if drops else ''}: `iptables` and `nft` do not show them",
        "look with iptables-legacy-save; move them with iptables-legacy-save | "
        "iptables-nft-restore, then iptables-legacy -F and -P ... ACCEPT in each table",
    )  # fmt: skip


def _network_manager(machine: Machine) -> Iterator[Finding]:
    manager = machine.network_manager
    if manager.is_running and "interface-name:cali*" not in manager.unmanaged:
        yield Finding(
            "error", "NetworkManager",
            "runs and may manage cali* interfaces: it removes the routes of pods",
            "write /etc/NetworkManager/conf.d/calico.conf: [keyfile] unmanaged-devices="
            "interface-name:cali*;interface-name:tunl*;interface-name:vxlan.calico;"
            "interface-name:vxlan-v6.calico;interface-name:wireguard.cali;"
            "interface-name:wg-v6.cali - then: systemctl reload NetworkManager",
        )  # fmt: skip
