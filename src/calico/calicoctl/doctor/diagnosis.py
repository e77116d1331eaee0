"""What is wrong with this machine: facts in, findings out, nothing touched.

    Machine + Known --machine_findings--> Finding: severity, what, why, fix

The worst comes of what stops pods' packets or BGP; a note is for people who look for more.
"""

from collections.abc import Iterator
from ipaddress import ip_interface

from calico.calicoctl.doctor.facts import Address, Finding, Known, Machine, uplinks
from calico.calicoctl.doctor.foreign import foreign_rules
from calico.core.net.detection import NOT_GLOBAL, Candidate, Detection


def machine_findings(machine: Machine, known: Known) -> list[Finding]:
    """Look at everything but the peers."""
    return [
        *_agent(machine, known),
        *_addresses(machine, known),
        *_bird(machine, known),
        *_forwarding(machine, known),
        *_reverse_path(machine, known),
        *foreign_rules(machine, known),
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
    elif chosen.address != registered and _is_there(registered, address.detection):
        why = f"Node has {registered}, detection now finds {chosen.address} on {chosen.interface}"
        fix = "is calico-node running? It follows within AUTODETECT_POLL_INTERVAL"
        yield Finding("warning", what, why, fix, others)
    else:
        why = f"{chosen.address} on {chosen.interface}: {address.detection.reason}"
        yield Finding("ok", what, why, details=others)


def _is_there(registered: str, detection: Detection) -> bool:
    bare = registered.partition("/")[0]
    return any(one.address.partition("/")[0] == bare for one in detection.considered)


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
    is_down = any(not session.is_established for session in machine.bird.sessions)
    if machine.md5_refused and is_down:  # else it is history
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
    everywhere = machine.sysctls.get("net/ipv4/conf/all/rp_filter", "0")
    for uplink in uplinks(machine, known):
        own = machine.sysctls.get(f"net/ipv4/conf/{uplink}/rp_filter", "0")
        if max(own, everywhere) == "1":
            yield Finding(
                "warning", "rp_filter",
                f"is strict on {uplink}: packets are dropped that come by it though the way back "
                "is another one (several uplinks, tunnels, asymmetric routes)",
                f"if that is your network: sysctl -w net.ipv4.conf.{uplink}.rp_filter=2",
            )  # fmt: skip


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
