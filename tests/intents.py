"""Intents for tests of rule sets, in few words.

    intent(pod(net, "a", tier(ingress=["p"])), policies=policies(p=((Rule("Allow"),), ())))

Policy "p" is a GlobalNetworkPolicy; pods have the profile "open" unless told otherwise, which
allows everything.
"""

from calico.core.intent.delta import Intent
from calico.core.intent.endpoints import Tier, WorkloadEndpoint
from calico.core.intent.keys import EndpointKey, PolicyKey
from calico.core.intent.policies import Policy, Profile, Rule

OPEN = {"open": Profile((Rule("Allow"),), (Rule("Allow"),))}


def named(name):
    return PolicyKey("GlobalNetworkPolicy", "", name)


def pod(net, name, *tiers, profiles=("open",), **more):
    """One endpoint of an intent."""
    host = net[name]
    endpoint = WorkloadEndpoint(
        f"cali-{name}", (host.ip4,), (host.ip6,), tiers=tiers, profiles=profiles, **more
    )
    return {EndpointKey("k8s", f"shop/{name}", "eth0"): endpoint}


def tier(ingress=(), egress=(), default="Deny", name="default"):
    return Tier(name, default, tuple(map(named, ingress)), tuple(map(named, egress)))


def policies(**rules):
    """Policies by name, each (ingress rules, egress rules)."""
    return {named(name): Policy("default", *both) for name, both in rules.items()}


def intent(*endpoints, policies=(), profiles=OPEN, ip_sets=(), pools=()):
    merged = {key: one for each in endpoints for key, one in each.items()}
    return Intent(dict(ip_sets), dict(policies), dict(profiles), merged, dict(pools))
