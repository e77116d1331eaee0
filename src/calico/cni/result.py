"""Results as the protocol's versions write them.

    Result --render_result(version)--> JSON of that version
    another plugin's output, prevResult --parse_result--> Result

Ours is the form of 1.0.0. What older versions lack is left out; 0.1.0 and 0.2.0 know one address
of each family and no interfaces.

Source: CNI specification 0.2.0, 0.4.0, 1.0.0, 1.1.0, "Result"; shared/spec cni 4.4.
"""

from collections.abc import Iterable, Mapping
from typing import TypeAlias

import msgspec
from msgspec import Struct

from calico.cni.errors import FAILED, CniError
from calico.cni.settings import is_at_least

Json: TypeAlias = Mapping[str, object]


class Interface(Struct, frozen=True, omit_defaults=True):
    """One end of a pair; `sandbox` is the path of the container's namespace."""

    name: str
    mac: str = ""
    mtu: int = 0
    sandbox: str = ""


class Ip(Struct, frozen=True, omit_defaults=True):
    """An address with its prefix length; `interface` is an index into the interfaces."""

    address: str
    interface: int | None = None
    gateway: str = ""

    @property
    def is_ipv6(self) -> bool:
        """Tell the family."""
        return ":" in self.address

    @property
    def host(self) -> str:
        """The address without the length."""
        return self.address.partition("/")[0]


class Route(Struct, frozen=True, omit_defaults=True):
    """A route of the container."""

    dst: str
    gw: str = ""


class Dns(Struct, frozen=True, omit_defaults=True):
    """Name service, passed on from an IPAM plugin."""

    nameservers: tuple[str, ...] = ()
    domain: str = ""
    search: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


class Result(Struct, frozen=True):
    """What an ADD made."""

    interfaces: tuple[Interface, ...] = ()
    ips: tuple[Ip, ...] = ()
    routes: tuple[Route, ...] = ()
    dns: Dns = Dns()


class _OldAddress(Struct):
    ip: str
    gateway: str = ""
    routes: tuple[Route, ...] = ()


class _AnyResult(Struct):
    interfaces: tuple[Interface, ...] = ()
    ips: tuple[Ip, ...] = ()
    routes: tuple[Route, ...] | None = None
    dns: Dns = Dns()
    ip4: _OldAddress | None = None
    ip6: _OldAddress | None = None


def render_result(result: Result, version: str) -> bytes:
    """Render for a protocol version, indented as the original does."""
    if is_at_least(version, "0.3.0"):
        body = _current(result, version)
    else:
        body = {"cniVersion": version, **_old_addresses(result), "dns": result.dns}
    return msgspec.json.format(msgspec.json.encode(body), indent=4)


def parse_result(raw: bytes, who: str) -> Result:
    """Read a result of any version. Raises CniError."""
    try:
        found = msgspec.json.decode(raw, type=_AnyResult)
    except msgspec.MsgspecError as error:
        raise CniError(FAILED, f"the result of {who} is unreadable", str(error)) from error
    old = [o for o in (found.ip4, found.ip6) if o is not None]
    ips = found.ips or tuple(Ip(o.ip, gateway=o.gateway) for o in old)
    routes = found.routes or tuple(route for o in old for route in o.routes)
    return Result(found.interfaces, ips, routes, found.dns)


def _current(result: Result, version: str) -> Json:
    has_versions = not is_at_least(
        version, "1.0.0"
    )  # of addresses; later they speak for themselves
    body: dict[str, object] = {"cniVersion": version}
    if result.interfaces:
        body["interfaces"] = [_interface(i, version) for i in result.interfaces]
    if result.ips:
        body["ips"] = [_ip(ip, has_versions) for ip in result.ips]
    if result.routes:
        body["routes"] = result.routes
    if has_versions or result.dns != Dns():
        body["dns"] = result.dns
    return body


def _interface(interface: Interface, version: str) -> Interface:
    if is_at_least(version, "1.0.0"):
        return interface
    return msgspec.structs.replace(interface, mtu=0)


def _ip(ip: Ip, has_version: bool) -> Json:
    head = {"version": "6" if ip.is_ipv6 else "4"} if has_version else {}
    body: dict[str, object] = {**head, **msgspec.to_builtins(ip)}
    return body


def _old_addresses(result: Result) -> Json:
    body = {}
    for key, ip in _first_of_each(result.ips):
        routes = [r for r in result.routes if (":" in r.dst) == ip.is_ipv6]
        body[key] = {"ip": ip.address, **({"gateway": ip.gateway} if ip.gateway else {})}
        if routes:
            body[key]["routes"] = routes  # type: ignore[assignment]  # a list beside texts
    return body


def _first_of_each(ips: Iterable[Ip]) -> Iterable[tuple[str, Ip]]:
    found: dict[str, Ip] = {}
    for ip in ips:
        found.setdefault("ip6" if ip.is_ipv6 else "ip4", ip)
    return found.items()
