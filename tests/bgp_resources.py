"""BGP resources in few words, and the text of BIRD in parts."""

import re

from calico.core.model.bgp import (
    BGPConfiguration,
    BGPConfigurationSpec,
    BGPFilter,
    BGPFilterSpec,
    BGPPassword,
    BGPPeer,
    BGPPeerSpec,
    SecretKeySelector,
)
from calico.core.model.metadata import Metadata
from calico.core.model.node import Node, NodeBGPSpec, NodeSpec
from calico.core.model.pool import IPPool, IPPoolSpec
from calico.core.render.bird_peers import Cluster


def node(name, ipv4="", ipv6="", labels=None, **bgp):
    spec = NodeBGPSpec(ipv4_address=ipv4, ipv6_address=ipv6, **bgp)
    return Node(metadata=Metadata(name=name, labels=labels or {}), spec=NodeSpec(bgp=spec))


def pool(cidr, **spec):
    return IPPool(spec=IPPoolSpec(cidr=cidr, **spec))


def configuration(**spec):
    return BGPConfiguration(spec=BGPConfigurationSpec(**spec))


def peer(name, **spec):
    return BGPPeer(metadata=Metadata(name=name), spec=BGPPeerSpec(**spec))


def bgp_filter(name, **spec):
    return BGPFilter(metadata=Metadata(name=name), spec=BGPFilterSpec(**spec))


def password(name, key="password"):
    return BGPPassword(secret_key_ref=SecretKeySelector(name=name, key=key))


def named(resources):
    return {one.metadata.name: one for one in resources}


def cluster(*nodes, own="a", node_configurations=None, peers=(), secrets=None, **spec):
    return Cluster(
        own,
        named(nodes),
        configuration(**spec),
        node_configurations or {},
        named(peers),
        secrets or {},
    )


def body(text, head):
    """The lines of one function, filter or protocol, without indentation and comments."""
    found = re.search(rf"^{re.escape(head)}[^\n]* \{{\n(.*?)^\}}", text, re.MULTILINE | re.DOTALL)
    assert found, f"no {head}"
    lines = (line.partition("  #")[0].strip() for line in found[1].splitlines())
    return [line for line in lines if line]


def has(text, head):
    return re.search(rf"^{re.escape(head)} ", text, re.MULTILINE) is not None
