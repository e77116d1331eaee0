"""Read the installer's config.yaml, and say precisely what is wrong with it.

    text --parse_config--> InstallConfig
    "can-reach={{ groups['master'][0] }}" + inventory --resolve_template--> "can-reach=192.0.2.10"

Every error names the file, the line, the key, the value and the fix; all that are found are
reported together.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any, TypeAlias

from msgspec import Struct

from calico.calicoctl.files import Line
from calico.core.net.detection import parse_method

Network: TypeAlias = IPv4Network | IPv6Network
Groups: TypeAlias = Mapping[str, Sequence[str]]

DEFAULT_METHOD = "first-found"
_TEMPLATE = re.compile(r"\{\{\s*groups\[\s*['\"]([^'\"]+)['\"]\s*\]\[\s*(\d+)\s*\]\s*\}\}")


class ConfigError(Exception):
    """The configuration cannot be used; one line per problem."""


class InstallConfig(Struct, frozen=True, kw_only=True):
    """What to install. Networks are canonical CIDRs; MTU 0 means "detect"."""

    network_type: str = "calico"
    network_cidr: tuple[str, ...]
    service_cluster_ip_range: tuple[str, ...] = ()
    calico_ipip_mode: str = "Never"
    calico_vxlan_mode: str = "Never"
    calico_nat_outgoing: bool = True
    calico_tunnel_mtu: int = 0
    calico_ip_autodetection_method: str = DEFAULT_METHOD
    calico_ip6_autodetection_method: str = DEFAULT_METHOD
    etcd_endpoints: str = ""
    etcd_ca_cert_file: str = ""
    etcd_cert_file: str = ""
    etcd_key_file: str = ""


def _type(value: object) -> str:
    if value != "calico":
        raise ValueError("this installer sets up one network type: write calico")
    return "calico"


def _cidrs(value: object) -> tuple[str, ...]:
    texts = value if isinstance(value, list) else str(value).split(",")
    found: list[Network] = []
    for text in (str(item).strip() for item in texts):
        try:
            found.append(ip_network(text))
        except ValueError as error:
            raise ValueError(f"{text!r} is no network ({error}); write e.g. 10.1.0.0/16") from error
    if len({network.version for network in found}) != len(found):
        raise ValueError("give one network, or one of IPv4 and one of IPv6")
    return tuple(str(network) for network in found)


def _pool_cidrs(value: object) -> tuple[str, ...]:
    cidrs = _cidrs(value)
    for network in map(ip_network, cidrs):
        longest = 26 if network.version == 4 else 122
        if network.prefixlen > longest:
            raise ValueError(f"{network} is smaller than one block: use /{longest} or shorter")
    return cidrs


def _mode(value: object) -> str:
    for mode in ("Never", "Always", "CrossSubnet"):
        if str(value).lower() in {mode.lower(), mode.replace("S", "-s").lower()}:
            return mode
    raise ValueError("write Never, Always or CrossSubnet")


def _bool(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("write true or false")  # noqa: TRY004  # one kind of error for the file
    return value


def _mtu(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError("write a number of bytes, or 0 to detect it")  # noqa: TRY004
    if value and not 576 <= value <= 65515:
        raise ValueError("write 0 to detect it, or 576 to 65515 (1280 or more with IPv6)")
    return value


def _method(value: object) -> str:
    parse_method(_TEMPLATE.sub("192.0.2.1", str(value)))
    return str(value)


def _endpoints(value: object) -> str:
    texts = value if isinstance(value, list) else str(value).split(",")
    urls = [str(text).strip() for text in texts]
    for url in urls:
        if not re.fullmatch(r"https?://[^/\s]+:\d+/?", url):
            raise ValueError(f"{url!r} is no etcd endpoint; write e.g. http://192.0.2.1:2379")
    return ",".join(urls)


_KEYS: Mapping[str, Callable[[Any], object]] = {
    "network_type": _type,
    "network_cidr": _pool_cidrs,
    "service_cluster_ip_range": _cidrs,
    "calico_ipip_mode": _mode,
    "calico_vxlan_mode": _mode,
    "calico_nat_outgoing": _bool,
    "calico_tunnel_mtu": _mtu,
    "calico_ip_autodetection_method": _method,
    "calico_ip6_autodetection_method": _method,
    "etcd_endpoints": _endpoints,
    "etcd_ca_cert_file": str,
    "etcd_cert_file": str,
    "etcd_key_file": str,
}


def parse_config(lines: Mapping[str, Line], where: str) -> InstallConfig:
    """Check every key. Raises ConfigError with one line per problem.

    `lines` is {key: value and line number}, as calicoctl.files.read_lines gives it.
    """
    problems: list[str] = []
    values: dict[str, Any] = {}
    for key, line in lines.items():
        if key not in _KEYS:
            known = ", ".join(_KEYS)
            problems.append(f"{where}, line {line.number}: unknown key {key!r}; known: {known}")
            continue
        try:
            values[key] = _KEYS[key](line.value)
        except ValueError as error:
            problems.append(f"{where}, line {line.number}: {key} is {line.value!r}: {error}")
    if "network_cidr" not in lines:
        problems.append(f"{where}: network_cidr is missing; add e.g. network_cidr: 10.1.0.0/16")
    if problems:
        raise ConfigError("\n".join(problems))
    return InstallConfig(**values)


def resolve_template(text: str, groups: Groups, where: str) -> str:
    """Put the inventory's hosts in place of {{ groups['name'][n] }}. Raises ConfigError."""

    def host(match: re.Match[str]) -> str:
        group, number = match[1], int(match[2])
        hosts = groups.get(group)
        if hosts is None:
            known = ", ".join(sorted(groups)) or "none"
            raise ConfigError(
                f"{where}: {text!r} names the group {group!r}, which the inventory does not have "
                f"(it has: {known}); pass --inventory FILE with that group"
            )
        if number >= len(hosts):
            raise ConfigError(
                f"{where}: {text!r} asks for host {number} of group {group!r}, which has "
                f"{len(hosts)} (counted from 0)"
            )
        return hosts[number]

    resolved = _TEMPLATE.sub(host, text)
    if "{{" in resolved:
        raise ConfigError(
            f"{where}: {text!r}: only {{{{ groups['<group>'][<number>] }}}} can be resolved"
        )
    return resolved
