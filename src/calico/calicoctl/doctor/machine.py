"""Gather what the doctor must know of the machine it runs on. Reads, and changes nothing.

    /proc, /etc, nft, iptables-legacy-save, BIRD's socket, /readiness --gather--> Machine

What cannot be read is said in the facts and stops nothing else.
"""

import shutil
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from socket import gethostname
from urllib.error import HTTPError

from calico.calicoctl.doctor.facts import Address, Agent, Bird, Machine, NetworkManager
from calico.calicoctl.doctor.rules import Chain, parse_chains
from calico.calicoctl.doctor.sessions import parse_sessions
from calico.calicoctl.node import AGENTS, SOCKETS
from calico.core.net.detection import Interface, Version, detect, parse_method
from calico.kernel import sysctl
from calico.kernel.birdc import BirdControl, BirdError
from calico.kernel.interfaces import local_address_towards, read_interfaces
from calico.kernel.links import Links
from calico.kernel.netlink import KernelError
from calico.kernel.run import ProgramFailed, run

OUR_TABLES = {"calico", "calico-arp"}
_MD5_COUNTERS = {"TCPMD5Failure", "TCPMD5Unexpected"}
HEALTH_SECONDS = 2.0
_LISTING_SECONDS = 20.0
_MANAGER_FILES = ("/etc", "/run", "/usr/lib")


def read_agent_environment() -> Mapping[str, str] | None:
    """Return the environment of the agent in our network namespace; None if none runs."""
    for process in _processes_here():
        if any(name in _arguments(process) for name in AGENTS):
            try:
                pairs = (process / "environ").read_bytes().decode(errors="replace").split("\0")
            except OSError:
                continue
            return dict(pair.split("=", 1) for pair in pairs if "=" in pair)
    return None


def _processes_here() -> list[Path]:
    ours = Path("/proc/self/ns/net").readlink()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "ns" / "net").readlink() == ours:
                found.append(process)
        except OSError:
            continue
    return found


def _arguments(process: Path) -> str:
    try:
        return (process / "cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return ""


def name_of_node(environment: Mapping[str, str]) -> str:
    """Name this node as its agent does."""
    if name := environment.get("NODENAME", "").strip():
        return name
    file = Path(environment.get("CALICO_NODENAME_FILE") or "/var/lib/calico/nodename")
    try:
        name = file.read_text().strip()
    except OSError:
        name = ""
    return name or (environment.get("HOSTNAME") or gethostname()).strip().lower()


def gather(environment: Mapping[str, str] | None, health: Mapping[str, str]) -> Machine:
    """Look at everything; `environment` is the agent's, None if none runs."""
    told = environment or {}
    interfaces = read_interfaces()
    chains, rules_trouble = _foreign_chains()
    return Machine(
        node=name_of_node(told),
        agent=_agent(environment, health),
        interfaces=interfaces,
        pod_mtu_bytes=_pod_mtu_bytes(),
        addresses=tuple(_address(told, version, interfaces) for version in (4, 6)),
        sysctls=_sysctls(interfaces),
        chains=chains,
        rules_trouble=rules_trouble,
        legacy=_legacy(),
        network_manager=_network_manager(),
        bird=_bird(told),
        md5_refused=_md5_refused(),
    )


def _agent(environment: Mapping[str, str] | None, health: Mapping[str, str]) -> Agent:
    if environment is None:
        return Agent()
    enabled = environment.get("FELIX_HEALTHENABLED") or health.get("enabled", "")
    host = environment.get("FELIX_HEALTHHOST") or health.get("host") or "localhost"
    port = environment.get("FELIX_HEALTHPORT") or health.get("port") or "9099"
    page, is_ready = _ask(f"http://{host}:{port}/readiness")
    return Agent(
        is_running=True,
        environment=environment,
        readiness=page,
        is_ready=is_ready,
        health_enabled=enabled.lower() in {"true", "1", "yes", "y", "t"},
    )


def _ask(url: str) -> tuple[str, bool | None]:
    try:
        with urllib.request.urlopen(url, timeout=HEALTH_SECONDS) as answer:  # noqa: S310  # http
            return answer.read().decode(errors="replace"), True
    except HTTPError as error:
        return error.read().decode(errors="replace"), False
    except (OSError, ValueError) as error:
        return f"{url}: {error}", None


def _address(
    environment: Mapping[str, str], version: Version, interfaces: tuple[Interface, ...]
) -> Address:
    variable = "IP" if version == 4 else "IP6"
    value = environment.get(variable, "").strip()
    wish = f"{variable}={value}" if value else ""
    if value != "autodetect" and (value or version == 6):
        return Address(version, wish, None)
    text = environment.get(f"{variable}_AUTODETECTION_METHOD", "")
    try:
        method = parse_method(text)
    except ValueError as error:
        return Address(version, wish, None, str(error))
    asked = local_address_towards(method.arguments[0], version) if (
        method.kind == "can-reach"
    ) else ""  # fmt: skip
    return Address(version, wish, detect(method, interfaces, version, asked))


def _pod_mtu_bytes() -> int:
    with Links() as links:
        found = [one.mtu_bytes for one in links.list().values() if one.name.startswith("cali")]
    return max(found, default=0)


def _sysctls(interfaces: tuple[Interface, ...]) -> Mapping[str, str]:
    names = ["net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding", "net/ipv4/conf/all/rp_filter"]
    names += [f"net/ipv4/conf/{one.name}/rp_filter" for one in interfaces]
    found = {}
    for name in names:
        try:
            found[name] = sysctl.read(name)
        except KernelError:
            continue
    return found


def _foreign_chains() -> tuple[tuple[Chain, ...], str]:
    """List the tables that are not ours, one by one: ours may be large."""
    try:
        tables = [line.split() for line in run(["nft", "list", "tables"]).splitlines()]
        texts = [
            run(
                ["nft", "-a", "-s", "list", "table", *words[1:3]], deadline_seconds=_LISTING_SECONDS
            )
            for words in tables
            if len(words) == 3 and words[2] not in OUR_TABLES
        ]
    except ProgramFailed as error:
        return (), f"the rules of others cannot be read: {error}"
    return tuple(chain for text in texts for chain in parse_chains(text)), ""


def _legacy() -> Mapping[str, str]:
    """Return the tables of iptables-legacy in use, with their rules if its tool is there."""
    found: dict[str, str] = {}
    for family, tool in (("ip", "iptables-legacy-save"), ("ip6", "ip6tables-legacy-save")):
        try:
            names = Path(f"/proc/net/{family}_tables_names").read_text().split()
        except OSError:
            continue
        for name in names:
            text = ""
            if shutil.which(tool):
                try:
                    text = run([tool, "-t", name])
                except ProgramFailed:
                    text = ""
            found[f"{family} {name}"] = text
    return found


def _network_manager() -> NetworkManager:
    runs = any("NetworkManager" in _arguments(one).split("\0")[0] for one in _processes_here())
    if not runs:
        return NetworkManager()
    files = [
        file
        for top in _MANAGER_FILES
        for file in (
            *Path(f"{top}/NetworkManager").glob("NetworkManager.conf"),
            *Path(f"{top}/NetworkManager/conf.d").glob("*.conf"),
        )
    ]
    lines = [line for file in files for line in file.read_text(errors="replace").splitlines()]
    unmanaged = [line for line in lines if line.strip().startswith("unmanaged-devices")]
    return NetworkManager(is_running=True, unmanaged=";".join(unmanaged))


def _bird(environment: Mapping[str, str]) -> Bird:
    if environment.get("CALICO_NETWORKING_BACKEND") in {"none", "vxlan"}:
        return Bird(is_wanted=False)
    path = next((path for path in SOCKETS if path.exists()), None)
    if path is None:
        return Bird(trouble="BIRD does not run here: there is no control socket")
    try:
        with BirdControl(path) as bird:
            return Bird(parse_sessions(bird.ask("show protocols all")))
    except BirdError as error:
        return Bird(trouble=f"BIRD does not answer: {error}")


def _md5_refused() -> int:
    """Count the segments refused for a signature that is wrong, or that no session here expects.

    Unsigned ones are not counted: a doctor's own calls are among them.
    """
    try:
        lines = Path("/proc/net/netstat").read_text().splitlines()
    except OSError:
        return 0
    found = 0
    for names, values in zip(lines[::2], lines[1::2], strict=False):
        counters = zip(names.split(), values.split(), strict=False)
        found += sum(int(value) for name, value in counters if name in _MD5_COUNTERS)
    return found
