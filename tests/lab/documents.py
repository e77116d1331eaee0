"""Resources as people write them, short."""


def policy(name, namespace="", **spec):
    """A NetworkPolicy, or without a namespace a GlobalNetworkPolicy."""
    if namespace:
        metadata = {"name": name, "namespace": namespace}
        return {"kind": "NetworkPolicy", "metadata": metadata, "spec": spec}
    return {"kind": "GlobalNetworkPolicy", "metadata": {"name": name}, "spec": spec}


def tier(name, order, default_action="Deny"):
    spec = {"order": order, "defaultAction": default_action}
    return {"kind": "Tier", "metadata": {"name": name}, "spec": spec}


def network_set(name, nets, labels, namespace=""):
    kind = "NetworkSet" if namespace else "GlobalNetworkSet"
    metadata = {"name": name, "labels": labels} | ({"namespace": namespace} if namespace else {})
    return {"kind": kind, "metadata": metadata, "spec": {"nets": nets}}


def allow(**rule):
    return {"action": "Allow", **rule}


def deny(**rule):
    return {"action": "Deny", **rule}


def to_port(*ports, protocol="TCP"):
    return {"protocol": protocol, "destination": {"ports": list(ports)}}


def from_selector(selector, **rest):
    return {"source": {"selector": selector, **rest}}


def from_namespaces(selector, **rest):
    return {"source": {"namespaceSelector": selector, **rest}}
