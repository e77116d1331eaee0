"""Communities that routes of a prefix are told with: prefixAdvertisements.

    BGPConfiguration "node.<own>" if it has any, else "default" --advertised--> [(CIDR, values)]

Both never count together, and names are those of the same object. A name that is unknown there is
dropped; the rest of its list stays.

Source: bgp-confd 5.7; confd/pkg/backends/calico/client.go (getPrefixAdvertisementsKVPair).
"""

from collections.abc import Iterator, Mapping, Sequence

from calico.core.net.prefix import canonical_prefix, ip_version
from calico.core.render.bird_peers import Cluster, Version
from calico.core.render.bird_rules import community


def advertised(cluster: Cluster, version: Version) -> list[tuple[str, tuple[str, ...]]]:
    """List prefixes of a family with the values that their routes get."""
    of_node = cluster.node_configurations.get(cluster.own_name)
    has_own = of_node is not None and of_node.spec.prefix_advertisements
    spec = of_node.spec if of_node and has_own else cluster.configuration.spec
    names = {one.name: one.value for one in spec.communities}
    found = []
    for advertisement in spec.prefix_advertisements:
        try:
            cidr = canonical_prefix(advertisement.cidr)
        except ValueError:
            continue
        values = tuple(sorted(set(_values(advertisement.communities, names))))
        if ip_version(cidr) == version and values:
            found.append((cidr, values))
    return found


def _values(communities: Sequence[str], names: Mapping[str, str]) -> Iterator[str]:
    for text in communities:
        value = names.get(text, text)
        try:
            community(value)
        except ValueError:
            continue
        yield value
