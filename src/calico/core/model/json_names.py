"""How an attribute of ours is called in JSON: `not_icmp` <-> `notICMP`.

    attribute (snake case) --api_name--> JSON name, as the Go structs spell it

The Go API writes acronyms in capitals wherever they do not come first, so the rule is camel case
plus one table of acronyms. A conformance test holds it to the list of all published names.
"""

ACRONYMS = {
    "as": "AS",
    "bgp": "BGP",
    "ca": "CA",
    "cidr": "CIDR",
    "cidrs": "CIDRs",
    "ctlb": "CTLB",
    "dnat": "DNAT",
    "dscp": "DSCP",
    "dsr": "DSR",
    "gc": "GC",
    "gro": "GRO",
    "guid": "GUID",
    "icmp": "ICMP",
    "id": "ID",
    "ip": "IP",
    "ipip": "IPIP",
    "ips": "IPs",
    "ipv4": "IPv4",
    "ipv6": "IPv6",
    "jit": "JIT",
    "mac": "MAC",
    "mb": "MB",
    "mtu": "MTU",
    "nat": "NAT",
    "nats": "NATs",
    "psnat": "PSNAT",
    "rpf": "RPF",
    "ttl": "TTL",
    "vm": "VM",
    "vni": "VNI",
    "vxlan": "VXLAN",
    "xdp": "XDP",
}
EXCEPTIONS = {
    "local_workload_peering_ipv4": "localWorkloadPeeringIPV4",
    "local_workload_peering_ipv6": "localWorkloadPeeringIPV6",
}


def api_name(attribute: str) -> str:
    """Return the JSON name of an attribute."""
    if attribute in EXCEPTIONS:
        return EXCEPTIONS[attribute]
    first, *rest = attribute.split("_")
    return first + "".join(ACRONYMS.get(word, word.capitalize()) for word in rest)
