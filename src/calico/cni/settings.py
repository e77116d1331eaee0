"""Read a network configuration, and say in one error what is wrong with it.

    bytes --decode--> NetworkConfig --problems--> CniError: key, value, what to write instead

Keys that are not ours are ignored: a configuration is shared with other plugins and written for
other versions. Of Calico's own keys those that only tell a stand-alone plugin how to reach the
datastore, or where to log, are accepted without effect: the agent has its own settings for both.

Source: shared/spec cni 4.2; CNI specification 1.1.0, sections 1 and 2; conventions "args.cni".
"""

import re
from collections.abc import Iterator, Mapping
from typing import TypeAlias

import msgspec
from msgspec import Struct, field

from calico.cni.errors import BAD_CONFIG, BAD_JSON, VERSION, CniError
from calico.core.model import naming
from calico.core.model.problem import Problem
from calico.core.net.prefix import is_address

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

VERSIONS = ("0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0")
CALICO_IPAM = "calico-ipam"
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*\Z")
_MAC = re.compile(r"([0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}\Z")


class IpamRoute(Struct, frozen=True):
    """A route that host-local is told to give."""

    dst: str


class Ipam(Struct, frozen=True):
    """Who gives addresses, and from where."""

    type: str = ""
    assign_ipv4: str | bool | None = None
    assign_ipv6: str | bool | None = None
    ipv4_pools: tuple[str, ...] = ()
    ipv6_pools: tuple[str, ...] = ()
    routes: tuple[IpamRoute, ...] = ()

    @property
    def wants_ipv4(self) -> bool:
        """IPv4 is given unless it is switched off."""
        return str(self.assign_ipv4).lower() != "false"

    @property
    def wants_ipv6(self) -> bool:
        """IPv6 is given only if it is asked for."""
        return str(self.assign_ipv6).lower() == "true"


class Policy(Struct, frozen=True):
    """Whose profiles an endpoint has: Kubernetes', or one named after the network."""

    type: str = ""


class ContainerSettings(Struct, frozen=True):
    """Kernel settings inside the container."""

    allow_ip_forwarding: bool = False


class DataplaneOptions(Struct, frozen=True):
    """Only the built-in Linux dataplane exists here."""

    type: str = ""


class Label(Struct, frozen=True):
    """One label by the CNI convention."""

    key: str
    value: str = ""


class CniArgs(Struct, frozen=True):
    """What an orchestrator says of the container, by the CNI conventions."""

    labels: tuple[Label, ...] = ()
    ips: tuple[str, ...] = ()


class Args(Struct, frozen=True):
    """The section "args"."""

    cni: CniArgs = CniArgs()


class RuntimeConfig(Struct, frozen=True):
    """What the runtime fills in for the capabilities "ips" and "mac"."""

    ips: tuple[str, ...] = ()
    mac: str = ""


class Attachment(Struct, frozen=True):
    """One container interface that a GC must spare."""

    container_id: str = field(name="containerID", default="")
    ifname: str = ""


class NetworkConfig(Struct, frozen=True):
    """A network configuration, as far as it concerns us."""

    cni_version: str = field(name="cniVersion", default="")
    name: str = ""
    type: str = ""
    nodename: str = ""
    mtu: int = 0
    require_mtu_file: bool = False
    num_queues: int = 0
    device_type: str = ""
    datastore_type: str = ""
    ipam: Ipam = Ipam()
    policy: Policy = Policy()
    container_settings: ContainerSettings = ContainerSettings()
    dataplane_options: DataplaneOptions = DataplaneOptions()
    policy_setup_timeout_seconds: int = 0
    include_default_routes: bool = False
    args: Args = Args()
    runtime_config: RuntimeConfig = field(name="runtimeConfig", default=RuntimeConfig())
    previous_result: msgspec.Raw = field(name="prevResult", default_factory=msgspec.Raw)
    valid_attachments: tuple[Attachment, ...] | None = field(
        name="cni.dev/valid-attachments", default=None
    )

    @property
    def version(self) -> str:
        """The protocol version; a configuration without one is of 0.2.0."""
        return self.cni_version or "0.2.0"

    @property
    def is_kubernetes(self) -> bool:
        """Tell whether endpoints have the profiles of Kubernetes namespaces."""
        return self.policy.type == "k8s"

    @property
    def labels(self) -> Mapping[str, str]:
        """The container's labels."""
        return {label.key: label.value for label in self.args.cni.labels}

    @property
    def ips(self) -> tuple[str, ...]:
        """The addresses that are asked for, without prefix lengths."""
        asked = (*self.runtime_config.ips, *self.args.cni.ips)
        return tuple(dict.fromkeys(ip.partition("/")[0] for ip in asked))


def parse_config(raw: bytes, *, for_delete: bool = False) -> NetworkConfig:
    """Read and check a configuration. Raises CniError.

    What only an ADD uses may be wrong in a DEL: the ADD was refused for it, and the DEL that the
    runtime sends after it must not be.
    """
    try:
        config = msgspec.json.decode(raw, type=NetworkConfig)
    except msgspec.ValidationError as error:
        if not raw.lstrip().startswith(b"{"):
            text = "the network configuration is not a JSON object"
            raise CniError(BAD_JSON, text, str(error)) from error
        raise _refused([_problem(error)]) from error
    except msgspec.DecodeError as error:
        raise CniError(BAD_JSON, "the network configuration is not JSON", str(error)) from error
    if config.version not in VERSIONS:
        supported = " ".join(f'"{version}"' for version in VERSIONS)
        raise CniError(
            VERSION,
            "incompatible CNI versions",
            f'config is "{config.cni_version}", plugin supports [{supported}]',
        )
    found = list(_identity_problems(config) if for_delete else problems(config))
    if found:
        raise _refused(found)
    return config


def is_at_least(version: str, other: str) -> bool:
    """Compare protocol versions."""
    return _numbers(version) >= _numbers(other)


def problems(config: NetworkConfig) -> Iterator[Problem]:
    """List what is wrong with a configuration."""
    yield from _identity_problems(config)
    yield from _device_problems(config)
    yield from _address_problems(config)
    for label in config.args.cni.labels:
        yield from naming.labels("args.cni.labels", {label.key: label.value})


def _identity_problems(config: NetworkConfig) -> Iterator[Problem]:
    """List what makes it unclear whose addresses are meant, and who frees them."""
    if not _NAME.match(config.name):
        form = "a letter or digit, then letters, digits, '_', '.', '-'"
        reason = f"must be {form}" if config.name else f"is required: {form}"
        yield Problem("name", config.name, reason)
    if not config.ipam.type or "/" in config.ipam.type:
        reason = f"must name an IPAM plugin, such as {CALICO_IPAM}"
        yield Problem("ipam.type", config.ipam.type, reason)


def _device_problems(config: NetworkConfig) -> Iterator[Problem]:
    if config.mtu and not 68 <= config.mtu <= 65535:
        yield Problem("mtu", str(config.mtu), "must be 68 to 65535, or 0 for the node's own")
    if config.device_type not in {"", "veth", "netkit"}:
        yield Problem("device_type", config.device_type, "must be veth")
    if config.policy.type not in {"", "k8s"}:
        yield Problem("policy.type", config.policy.type, "must be k8s, or left out")
    if config.dataplane_options.type not in {"", "linux"}:
        reason = "only the built-in dataplane exists: leave it out"
        yield Problem("dataplane_options.type", config.dataplane_options.type, reason)
    if config.datastore_type not in {"", "etcdv3"}:
        reason = "must be etcdv3: the agent keeps its data there; or leave it out"
        yield Problem("datastore_type", config.datastore_type, reason)
    if config.policy_setup_timeout_seconds < 0:
        value = str(config.policy_setup_timeout_seconds)
        yield Problem("policy_setup_timeout_seconds", value, "must not be negative")


def _address_problems(config: NetworkConfig) -> Iterator[Problem]:
    for key, value in (
        ("ipam.assign_ipv4", config.ipam.assign_ipv4),
        ("ipam.assign_ipv6", config.ipam.assign_ipv6),
    ):
        if value is not None and str(value).lower() not in {"true", "false"}:
            yield Problem(key, str(value), 'must be "true" or "false"')
    for ip in config.ips:
        if not is_address(ip):
            yield Problem("args.cni.ips", ip, "must be an IP address")
    if config.runtime_config.mac and not _MAC.match(config.runtime_config.mac):
        yield Problem("runtimeConfig.mac", config.runtime_config.mac, "must be a MAC address")


def _problem(error: msgspec.ValidationError) -> Problem:
    reason, _, path = str(error).replace("`", "").partition(" - at $")
    return Problem(path.lstrip("."), "", reason[:1].lower() + reason[1:])


def _refused(found: list[Problem]) -> CniError:
    texts = [
        f"{p.field} {p.value!r} {p.reason}" if p.value else f"{p.field}: {p.reason}" for p in found
    ]
    return CniError(BAD_CONFIG, "the network configuration is not usable", "; ".join(texts))


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))
