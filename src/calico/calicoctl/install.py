"""calicoctl install: write a cluster's pools and configuration from an installer's config.yaml.

    config.yaml (+ inventory) --checked--> IPPool, FelixConfiguration, BGPConfiguration,
                                           ClusterInformation, the built-in tiers
                              `----------> a file of variables for every calico-node

Idempotent: what is there and equal is left alone, and the lines say so. A network that overlaps
another pool, a node's own network or the services' is refused before anything is written, naming
both.
"""

import argparse
import os
from collections.abc import Iterator, Sequence
from ipaddress import ip_interface, ip_network
from pathlib import Path
from typing import cast

from msgspec.structs import replace

from calico.calicoctl.errors import CommandError
from calico.calicoctl.files import FileError, read_lines
from calico.calicoctl.install_config import (
    ConfigError,
    Groups,
    InstallConfig,
    Network,
    parse_config,
    resolve_template,
)
from calico.core.model.bgp import BGPConfiguration
from calico.core.model.defaults import with_defaults
from calico.core.model.felix_config import FelixConfiguration
from calico.core.model.keys import ResourceKey
from calico.core.model.metadata import Metadata, Resource
from calico.core.model.node import Node
from calico.core.model.pool import IPPool, IPPoolSpec
from calico.core.model.problem import InvalidResource
from calico.datastore.client import DatastoreError
from calico.datastore.initialize import ensure_initialized
from calico.datastore.resource_errors import DoesNotExist
from calico.datastore.resources import Resources
from calico.datastore.settings import Settings, datastore_settings, open_datastore

POOL_NAMES = {4: "default-ipv4-ippool", 6: "default-ipv6-ippool"}
_STORE_KEYS = {
    "etcdEndpoints": "etcd_endpoints",
    "etcdCACertFile": "etcd_ca_cert_file",
    "etcdCertFile": "etcd_cert_file",
    "etcdKeyFile": "etcd_key_file",
}


def run(arguments: argparse.Namespace) -> None:
    """Install. Raises CommandError; then nothing was written, or the text says what was."""
    try:
        config = parse_config(read_lines(arguments.config), arguments.config)
        config = _resolved(config, arguments)
    except (FileError, ConfigError) as error:
        raise CommandError(str(error)) from error
    try:
        store = open_datastore(_settings(config))
    except DatastoreError as error:
        raise CommandError(f"{arguments.config}: {error}") from error
    try:
        for line in install(Resources(store), config):
            print(line)
    except (DatastoreError, InvalidResource) as error:
        raise CommandError(f"installation stopped: {error}") from error
    finally:
        store.close()
    if arguments.node_environment:
        Path(arguments.node_environment).write_text(node_environment(config))
        print(f"variables for calico-node   written to {arguments.node_environment}")


def install(resources: Resources, config: InstallConfig) -> Iterator[str]:
    """Write all of it, a line of report each. Raises CommandError, DatastoreError."""
    wanted = list(_resources(config))
    refuse_overlaps(resources, config)
    ensure_initialized(resources, cluster_type="calico-python,bgp")
    yield "ClusterInformation default   ready"
    for resource in wanted:
        yield f"{resource.kind} {resource.metadata.name}   {_bring_about(resources, resource)}"


def refuse_overlaps(resources: Resources, config: InstallConfig) -> None:
    """Refuse a network that is also something else. Raises CommandError naming both."""
    problems = []
    for cidr in map(ip_network, config.network_cidr):
        for what, other in _others(resources, config):
            if cidr.version == other.version and cidr.overlaps(other):
                problems.append(
                    f"network_cidr {cidr} overlaps {what} ({other}): choose a network that is "
                    "nobody else's"
                )
    if problems:
        raise CommandError("\n".join(problems))


def _others(resources: Resources, config: InstallConfig) -> Iterator[tuple[str, Network]]:
    for pool in resources.list("IPPool").items:
        if isinstance(pool, IPPool) and pool.metadata.name not in POOL_NAMES.values():
            yield f"IPPool {pool.metadata.name}", ip_network(pool.spec.cidr)
    for node in resources.list("Node").items:
        bgp = node.spec.bgp if isinstance(node, Node) else None
        addresses = (bgp.ipv4_address, bgp.ipv6_address) if bgp is not None else ()
        for address in filter(None, addresses):
            yield f"the network of Node {node.metadata.name}", ip_interface(address).network
    yield from _service_networks(resources, config)


def _service_networks(resources: Resources, config: InstallConfig) -> Iterator[tuple[str, Network]]:
    for cidr in config.service_cluster_ip_range:
        yield "service_cluster_ip_range", ip_network(cidr)
    found = _find(resources, ResourceKey("BGPConfiguration", "", "default"))
    if isinstance(found, BGPConfiguration):
        for block in found.spec.service_cluster_ips:
            yield "serviceClusterIPs of BGPConfiguration default", ip_network(block.cidr)


def _resources(config: InstallConfig) -> Iterator[Resource]:
    for cidr in config.network_cidr:
        version = ip_network(cidr).version
        yield IPPool(
            metadata=Metadata(name=POOL_NAMES[version]),
            spec=IPPoolSpec(
                cidr=cidr,
                ipip_mode=config.calico_ipip_mode if version == 4 else "Never",
                vxlan_mode=config.calico_vxlan_mode,
                nat_outgoing=config.calico_nat_outgoing,
            ),
        )
    mtu = config.calico_tunnel_mtu or None
    yield FelixConfiguration(
        metadata=Metadata(name="default"),
        spec=replace(FelixConfiguration().spec, ipip_mtu=mtu, vxlan_mtu=mtu, wireguard_mtu=mtu),
    )
    yield BGPConfiguration(
        metadata=Metadata(name="default"),
        spec=replace(BGPConfiguration().spec, node_to_node_mesh_enabled=True),
    )


def _find(resources: Resources, key: ResourceKey) -> Resource | None:
    try:
        return resources.get(key)
    except DoesNotExist:
        return None


def _bring_about(resources: Resources, wanted: Resource) -> str:
    """Create, or change what differs of the fields that the installer owns."""
    stored = _find(resources, ResourceKey(wanted.kind, "", wanted.metadata.name))
    if stored is None:
        resources.create(wanted)
        return "created"
    spec = _merged(stored, with_defaults(wanted))
    if spec == stored:
        return "unchanged"
    resources.update(spec)
    return "updated"


def _merged(stored: Resource, wanted: Resource) -> Resource:
    """Put the installer's fields over the stored ones, and leave the others."""
    if isinstance(stored, IPPool):
        new = cast(IPPool, wanted).spec
        spec = replace(
            stored.spec,
            cidr=new.cidr,
            ipip_mode=new.ipip_mode,
            vxlan_mode=new.vxlan_mode,
            nat_outgoing=new.nat_outgoing,
        )
        return replace(stored, spec=spec)
    if isinstance(stored, FelixConfiguration):
        felix = cast(FelixConfiguration, wanted).spec
        mtus = {"ipip_mtu": felix.ipip_mtu, "vxlan_mtu": felix.vxlan_mtu}
        return replace(stored, spec=replace(stored.spec, **mtus, wireguard_mtu=felix.wireguard_mtu))
    if isinstance(stored, BGPConfiguration) and stored.spec.node_to_node_mesh_enabled is None:
        return replace(stored, spec=replace(stored.spec, node_to_node_mesh_enabled=True))
    return stored


def node_environment(config: InstallConfig) -> str:
    """Write the variables that every calico-node of the cluster needs."""
    variables = {
        "DATASTORE_TYPE": "etcdv3",
        "ETCD_ENDPOINTS": config.etcd_endpoints or os.environ.get("ETCD_ENDPOINTS", ""),
        "ETCD_CA_CERT_FILE": config.etcd_ca_cert_file,
        "ETCD_CERT_FILE": config.etcd_cert_file,
        "ETCD_KEY_FILE": config.etcd_key_file,
        "NO_DEFAULT_POOLS": "true",
    }
    if any(":" not in cidr for cidr in config.network_cidr):
        variables["IP"] = "autodetect"
        variables["IP_AUTODETECTION_METHOD"] = config.calico_ip_autodetection_method
    else:  # a router id is an IPv4 address, or made from the node's name
        variables |= {"IP": "none", "CALICO_ROUTER_ID": "hash"}
    if any(":" in cidr for cidr in config.network_cidr):
        variables["IP6"] = "autodetect"
        variables["IP6_AUTODETECTION_METHOD"] = config.calico_ip6_autodetection_method
    return "".join(f"{name}={value}\n" for name, value in variables.items() if value)


def _settings(config: InstallConfig) -> Settings:
    found = {key: getattr(config, name) for key, name in _STORE_KEYS.items()}
    overrides = {key: value for key, value in found.items() if value}
    if not (config.etcd_endpoints or os.environ.get("ETCD_ENDPOINTS")):
        raise CommandError(
            "no datastore is named: write etcd_endpoints: http://ADDRESS:2379 in the "
            "configuration, or set ETCD_ENDPOINTS"
        )
    return datastore_settings(os.environ, None, overrides | {"datastoreType": "etcdv3"})


def _resolved(config: InstallConfig, arguments: argparse.Namespace) -> InstallConfig:
    groups = _groups(arguments.inventory) if arguments.inventory else {}
    methods = {
        name: resolve_template(getattr(config, name), groups, arguments.config)
        for name in ("calico_ip_autodetection_method", "calico_ip6_autodetection_method")
    }
    return replace(config, **methods)


def _groups(path: str) -> Groups:
    lines = read_lines(path)
    if "groups" not in lines or not isinstance(lines["groups"].value, dict):
        raise FileError(f"{path}: an inventory has groups: {{name: [host, ...]}}")
    groups: dict[str, Sequence[str]] = {}
    for name, hosts in lines["groups"].value.items():
        if not isinstance(hosts, list):
            raise FileError(f"{path}: group {name!r} must be a list of hosts")
        groups[str(name)] = [str(host) for host in hosts]
    return groups
