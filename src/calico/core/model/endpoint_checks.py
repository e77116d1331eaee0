"""What workload endpoints and host endpoints may say.

    check_*    all that the API asks, on writing
    usable_*   what makes one impossible to program, on reading

Source: libcalico-go/lib/validator/v3/validator.go, CRD schemas; policy-semantics 3.9, 3.2.
"""

import re
from collections.abc import Iterator, Mapping

from calico.core.model.constraints import (
    Check,
    address,
    address_of,
    any_network,
    each,
    fields,
    network,
    number,
    parts,
    port_name,
    problem,
    text_like,
)
from calico.core.model.endpoint import (
    IPNAT,
    EndpointPort,
    HostEndpoint,
    WorkloadEndpoint,
    WorkloadEndpointPort,
    WorkloadEndpointSpec,
)
from calico.core.model.endpoint_names import endpoint_name
from calico.core.model.naming import dns_name, interface_name, metadata
from calico.core.model.problem import Problem
from calico.core.net.ports import WITH_PORTS, number_or_name, protocol_number
from calico.core.net.prefix import contains, ip_version, prefix_length

DSCP_NAMES = frozenset(
    (
        *("DF", "EF", "CS0", "CS1", "CS2", "CS3", "CS4", "CS5", "CS6"),
        *("AF11", "AF12", "AF13", "AF21", "AF22", "AF23"),
        *("AF31", "AF32", "AF33", "AF41", "AF42", "AF43"),
    )
)
MAC = re.compile(r"([0-9a-fA-F]{2}[:-]){5}[0-9a-fA-F]{2}\Z")


def mac(path: str, value: object) -> Iterator[Problem]:
    """Allow Ethernet addresses."""
    if MAC.match(str(value)) is None:
        yield from problem(path, value, "must be a MAC address, like 9a:3d:12:77:00:41")


def single_address(path: str, value: object) -> Iterator[Problem]:
    """Allow one address in CIDR form."""
    yield from network(path, value)
    try:
        alone = prefix_length(str(value)) == (128 if ":" in str(value) else 32)
    except ValueError:
        return  # reported as what it is
    if not alone:
        yield from problem(path, value, "must be one address: /32, or /128 for IPv6")


def dscp(path: str, value: object) -> Iterator[Problem]:
    """Allow DSCP numbers and names."""
    value = number_or_name(value) if isinstance(value, str) else value
    if isinstance(value, int) and not 0 <= value <= 63:
        yield from problem(path, value, "must be 0 to 63")
    if isinstance(value, str) and value.strip().upper() not in DSCP_NAMES:
        yield from problem(path, value, "must be 0 to 63 or a name like EF, AF11 or CS1")


def any_port(path: str, value: object) -> Iterator[Problem]:
    """Check what the ports of both kinds of endpoint share."""
    if isinstance(value, EndpointPort | WorkloadEndpointPort):
        yield from number(1, 65535)(f"{path}.port", value.port)
        if protocol_number(value.protocol) not in WITH_PORTS:
            yield from problem(f"{path}.protocol", value.protocol, "must be TCP, UDP or SCTP")


def host_port(path: str, value: object) -> Iterator[Problem]:
    """Check a port of a host."""
    if isinstance(value, EndpointPort):
        yield from any_port(path, value)
        yield from port_name(f"{path}.name", value.name)


def workload_port(path: str, value: object) -> Iterator[Problem]:
    """Check a port of a workload."""
    if isinstance(value, WorkloadEndpointPort):
        yield from any_port(path, value)
        yield from fields(value, path, {"name": port_name, "host_ip": network})
        if not value.name and not value.host_port:
            yield from problem(f"{path}.name", "", "is required unless hostPort is set")


def used_port(path: str, value: object) -> Iterator[Problem]:
    """Check a port that rules can name; nobody asks for the others."""
    if isinstance(value, WorkloadEndpointPort) and value.name:
        yield from any_port(path, value)


HOST_CHECKS: Mapping[str, Check] = {
    "node": dns_name,
    "interface_name": interface_name,
    "expected_ips": each(address),
    "profiles": each(dns_name),
    "ports": each(host_port),
}


def check_host_endpoint(endpoint: HostEndpoint) -> Iterator[Problem]:
    """Yield all that is wrong with a host endpoint."""
    yield from metadata(endpoint.metadata)
    yield from fields(endpoint.spec, "spec", HOST_CHECKS)
    if not endpoint.spec.node:
        yield from problem("spec.node", "", "is required")
    yield from has_interface(endpoint)


def usable_host_endpoint(endpoint: HostEndpoint) -> Iterator[Problem]:
    """Yield what makes a host endpoint impossible to program."""
    checks = {"interface_name": interface_name, "expected_ips": each(address)}
    yield from fields(endpoint.spec, "spec", {**checks, "ports": each(any_port)})
    yield from has_interface(endpoint)


def has_interface(endpoint: HostEndpoint) -> Iterator[Problem]:
    """Check that a host endpoint says where it is."""
    if not endpoint.spec.interface_name and not endpoint.spec.expected_ips:
        yield from problem("spec.interfaceName", "", "interfaceName or expectedIPs is required")


WORKLOAD_CHECKS: Mapping[str, Check] = {
    "orchestrator": dns_name,
    "workload": dns_name,
    "node": dns_name,
    "container_id": text_like(
        "[a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?", "letters, digits and inner '-'"
    ),
    "pod": dns_name,
    "endpoint": dns_name,
    "service_account_name": dns_name,
    "ip_networks": each(single_address),
    "ip_nats": each(parts({"internal_ip": address, "external_ip": address})),
    "ipv4_gateway": address_of(4),
    "ipv6_gateway": address_of(6),
    "profiles": each(dns_name),
    "mac": mac,
    "ports": each(workload_port),
    "allow_spoofed_source_prefixes": each(any_network),
    "qos_controls": parts({"dscp": dscp}),
}


def check_workload_endpoint(endpoint: WorkloadEndpoint) -> Iterator[Problem]:
    """Yield all that is wrong with a workload endpoint, its name filled in."""
    yield from metadata(endpoint.metadata)
    yield from fields(endpoint.spec, "spec", WORKLOAD_CHECKS)
    yield from interface_name("spec.interfaceName", endpoint.spec.interface_name)
    yield from nats(endpoint.spec)
    try:
        name = endpoint_name(endpoint.spec)
    except ValueError as error:
        yield from problem("metadata.name", endpoint.metadata.name, str(error))
        return
    if endpoint.metadata.name != name:
        reason = f"must be {name}, as the spec says"
        yield from problem("metadata.name", endpoint.metadata.name, reason)


def nats(spec: WorkloadEndpointSpec) -> Iterator[Problem]:
    """Check that floating addresses lead to addresses of the workload."""
    for index, nat in enumerate(spec.ip_nats):
        path = f"spec.ipNATs[{index}]"
        if not nat.internal_ip or not nat.external_ip:
            yield from problem(path, "", "internalIP and externalIP are both required")
        elif ip_version(nat.internal_ip) != ip_version(nat.external_ip):
            reason = f"must be IPv{ip_version(nat.internal_ip)}, as internalIP is"
            yield from problem(f"{path}.externalIP", nat.external_ip, reason)
        elif not leads_inside(nat, spec.ip_networks):
            reason = "must be one of the endpoint's ipNetworks"
            yield from problem(f"{path}.internalIP", nat.internal_ip, reason)


def leads_inside(nat: IPNAT, networks: tuple[str, ...]) -> bool:
    """Tell whether the internal address is in one of the networks."""
    for net in networks:
        try:
            if contains(net, nat.internal_ip):
                return True
        except ValueError:
            continue  # reported as what it is
    return False


def usable_workload_endpoint(endpoint: WorkloadEndpoint) -> Iterator[Problem]:
    """Yield what makes a workload endpoint impossible to program."""
    checks = {"ip_networks": each(any_network), "ports": each(used_port), "mac": mac}
    yield from fields(endpoint.spec, "spec", checks)
    yield from interface_name("spec.interfaceName", endpoint.spec.interface_name)
