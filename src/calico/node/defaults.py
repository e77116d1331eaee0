"""Records that a cluster should not be without: default pools and default configurations.

    nothing there yet --create--> IPPool, FelixConfiguration, BGPConfiguration
    something there --> left as it is

Source: shared/spec bgp-confd 5.1, "Default objects".
"""

from collections.abc import Iterator, Mapping
from ipaddress import ip_interface, ip_network

from calico.core.model.bgp import BGPConfiguration
from calico.core.model.duration import Duration
from calico.core.model.felix_config import FelixConfiguration, FelixConfigurationSpec
from calico.core.model.metadata import Metadata, Resource
from calico.core.model.node import Node
from calico.core.model.pool import IPPool, IPPoolSpec
from calico.core.model.problem import InvalidResource
from calico.datastore.resource_errors import AlreadyExists
from calico.datastore.resources import Resources
from calico.node.addresses import StartupError

# The first that none of the node's own addresses lies in.
_DEFAULT_IPV4 = ("192.168.0.0/16", *(f"172.{number}.0.0/16" for number in range(16, 32)))
_FALSE = {"false", "0", "no", "n", "f"}
_MODES = {
    "": "Never", "off": "Never", "never": "Never", "always": "Always",
    "cross-subnet": "CrossSubnet", "crosssubnet": "CrossSubnet",
}  # fmt: skip


def ensure_defaults(resources: Resources, environment: Mapping[str, str], node: Node) -> None:
    """Create what is missing. Raises StartupError for a variable that cannot be used."""
    pools = _pools(resources, environment, node)
    for resource in (*pools, *_configurations(node.metadata.name)):
        try:
            resources.create(resource)
        except AlreadyExists:
            continue
        except InvalidResource as error:
            raise StartupError(f"default {resource.kind}: {error}") from error


def _configurations(node_name: str) -> Iterator[Resource]:
    yield FelixConfiguration(
        metadata=Metadata(name="default"),
        spec=FelixConfigurationSpec(reporting_interval=Duration(0), log_severity_screen="Info"),
    )
    yield FelixConfiguration(
        metadata=Metadata(name=f"node.{node_name}"),
        spec=FelixConfigurationSpec(default_endpoint_to_host_action="Return"),
    )
    yield BGPConfiguration(metadata=Metadata(name="default"))


def _default_cidr(node: Node) -> str:
    bgp = node.spec.bgp
    own = [ip_interface(a).ip for a in ((bgp.ipv4_address,) if bgp else ()) if a]
    for cidr in _DEFAULT_IPV4:
        if not any(address in ip_network(cidr) for address in own):
            return cidr
    raise StartupError(
        "no default IPv4 pool is free of the node's address; set CALICO_IPV4POOL_CIDR"
    )


def _pools(resources: Resources, environment: Mapping[str, str], node: Node) -> Iterator[Resource]:
    given = {v: environment.get(f"CALICO_IPV{v}POOL_CIDR", "").strip() for v in (4, 6)}
    if environment.get("NO_DEFAULT_POOLS", "").lower() == "true":
        if any(given.values()):
            raise StartupError(
                "NO_DEFAULT_POOLS=true and CALICO_IPV4POOL_CIDR or CALICO_IPV6POOL_CIDR are both "
                "set; unset one of them"
            )
        return
    pools = [pool for pool in resources.list("IPPool").items if isinstance(pool, IPPool)]
    for version in (4, 6):
        cidr = given[version] or (_default_cidr(node) if version == 4 else "none")
        present = any((":" in pool.spec.cidr) == (version == 6) for pool in pools)
        if cidr.lower() != "none" and not present:
            yield _pool(version, cidr, environment)


def _pool(version: int, cidr: str, environment: Mapping[str, str]) -> IPPool:
    prefix = f"CALICO_IPV{version}POOL_"
    try:
        network = ip_network(cidr, strict=False)
    except ValueError as error:
        raise StartupError(f"{prefix}CIDR={cidr!r}: {error}; write e.g. 10.65.0.0/16") from error
    if network.version != version:
        raise StartupError(f"{prefix}CIDR={cidr!r} is not IPv{version}")

    def flag(name: str, default: bool) -> bool:
        text = environment.get(prefix + name, "").strip().lower()
        return text not in _FALSE if text else default

    spec = IPPoolSpec(
        cidr=str(network),
        block_size=_block_size(prefix, version, environment),
        node_selector=environment.get(f"{prefix}NODE_SELECTOR", "all()") or "all()",
        nat_outgoing=flag("NAT_OUTGOING", version == 4),
        disable_bgp_export=flag("DISABLE_BGP_EXPORT", False),
        ipip_mode=_mode(prefix + "IPIP", environment) if version == 4 else "Never",
        vxlan_mode=_mode(prefix + "VXLAN", environment),
    )
    return IPPool(metadata=Metadata(name=f"default-ipv{version}-ippool"), spec=spec)


def _block_size(prefix: str, version: int, environment: Mapping[str, str]) -> int:
    low, high, default = (20, 32, 26) if version == 4 else (116, 128, 122)
    text = environment.get(f"{prefix}BLOCK_SIZE", "").strip() or str(default)
    if not text.isdigit() or not low <= int(text) <= high:
        raise StartupError(f"{prefix}BLOCK_SIZE={text!r} must be a number from {low} to {high}")
    return int(text)


def _mode(variable: str, environment: Mapping[str, str]) -> str:
    text = environment.get(variable, "").strip()
    try:
        return _MODES[text.lower()]
    except KeyError:
        raise StartupError(f"{variable}={text!r} must be Never, Always or CrossSubnet") from None
