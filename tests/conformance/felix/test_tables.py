"""What stands in the kernel beside verdicts: names, sets and their members, routes, settings.

    chains   ours are among theirs, with the same hooks; but for shared groups of policies
    sets     ours are among theirs, with the same members; a set with ranges is called "...-net"
    routes, proxy neighbours, interface settings: the same

Theirs has more: chains for host endpoints, and policies that no packet can reach.
Needs Calico's own agent: CALICO_FELIX=/path/to/calico-felix. Without it, skipped.
"""

import json

import pytest

from calico.datastore.etcd import EtcdDatastore
from calico.datastore.initialize import ensure_initialized
from calico.datastore.resources import Resources
from calico.kernel.run import run
from etcd_server import running_etcd
from random_policies import Cluster
from two_agents import FELIX, World, ours, resource, theirs
from waiting import wait_until

pytestmark = [
    pytest.mark.netns,
    pytest.mark.etcd,
    pytest.mark.conformance,
    pytest.mark.slow,
    pytest.mark.skipif(not FELIX, reason="set CALICO_FELIX to Calico's own calico-felix"),
]

POOLS = {"pool4": "10.65.0.0/16", "pool6": "fd65::/48"}
GROUPS = ("filter-cali-gi-", "filter-cali-go-")
ARP = "arp"
NETWORK = (
    ["ip", "route"],
    ["ip", "-6", "route"],
    ["ip", "neigh", "show", "proxy"],
    ["ip", "-6", "neigh", "show", "proxy"],
    ["ip", "rule"],
)
SETTINGS = "sysctl -a 2>/dev/null | grep -E 'conf.cali-[abc]|conf.(all|default)|ip_forward|_acct'"


@pytest.fixture(scope="module")
def agents(tmp_path_factory):
    with running_etcd() as server:
        store = EtcdDatastore(server.settings)
        ensure_initialized(Resources(store))
        directory = tmp_path_factory.mktemp("agents")
        sides = [make(server.port, directory) for make in (theirs, ours)]
        try:
            for side in sides:
                side.start()
            yield World(store), sides
        finally:
            for side in sides:
                side.close()
            store.close()


def tables(side):
    """{(family, kind, name): facts} of all chains and sets."""
    with side.inside():
        listed = json.loads(run(["nft", "-j", "list", "ruleset"]))["nftables"]
    found = {}
    for each in listed:
        for kind in ("chain", "set", "map"):
            if kind in each and each[kind]["family"] != ARP:
                facts = each[kind]
                found[facts["family"], kind, facts["name"]] = facts
    return found


def named(found, kind):
    return {
        (family, name.removesuffix("-net") if kind == "set" else name): facts
        for (family, of, name), facts in found.items()
        if of == kind
    }


def hook(facts):
    return {word: facts.get(word) for word in ("type", "hook", "prio", "policy")}


def members(facts):
    return sorted(json.dumps(each, sort_keys=True) for each in facts.get("elem", ()))


def network(side):
    with side.inside():
        lines = [line for command in NETWORK for line in run(command).splitlines()]
        return sorted([*lines, *run(["sh", "-c", SETTINGS]).splitlines()])


@pytest.mark.parametrize("number", range(1, 9))
def test_what_we_program_is_what_calico_programs(agents, number):
    world, sides = agents
    pools = [
        resource("IPPool", name, {"cidr": cidr, "natOutgoing": True})
        for name, cidr in POOLS.items()
    ]
    cluster = Cluster(number)
    address = world.become([*cluster.resources, *pools], cluster.raw)
    for side in sides:
        wait_until(lambda side=side: address in side.rules(), what=f"{side.name} saw the world")
    wait_until(lambda: not differences(sides), 4.0, differences(sides))


def differences(sides):
    lines = []
    calico, mine = (tables(side) for side in sides)
    for kind in ("chain", "set", "map"):
        known = named(calico, kind)
        for key, facts in named(mine, kind).items():
            if key[1].startswith(GROUPS):
                continue
            if key not in known:
                lines.append(f"{kind} {key} is ours alone")
            elif hook(facts) != hook(known[key]) and kind == "chain":
                lines.append(f"chain {key}: {hook(known[key])}, ours {hook(facts)}")
            elif kind != "chain" and members(facts) != members(known[key]):
                lines.append(f"{kind} {key}: {members(known[key])}, ours {members(facts)}")
    calico, mine = (network(side) for side in sides)
    lines += [f"only theirs: {line}" for line in calico if line not in mine]
    lines += [f"only ours: {line}" for line in mine if line not in calico]
    return lines
