"""How fast the computation is: the graph against its definition, and against budgets.

    W       250 local endpoints, 1,000 policies (20 on each endpoint), 10,000 remote endpoints
    large   100 local endpoints, 2,000 policies, 100,000 remote endpoints

Prints milliseconds, which depend on the machine, and ratios, which should not. Asserts nothing.
Run: python tests/bench/bench_calc.py
"""

import gc
import time
from collections.abc import Iterator
from statistics import median

from calico.core.calc.graph import Graph
from calico.core.calc.intended import intended
from calico.core.model.endpoint import WorkloadEndpoint, WorkloadEndpointSpec
from calico.core.model.keys import ResourceKey
from calico.core.model.metadata import Metadata, Resource
from calico.core.model.network_set import GlobalNetworkSet, GlobalNetworkSetSpec
from calico.core.model.policy import (
    GlobalNetworkPolicy,
    GlobalNetworkPolicySpec,
    NetworkPolicy,
    NetworkPolicySpec,
)
from calico.core.model.profile import Profile, ProfileSpec
from calico.core.model.rule import EntityRule, Rule

NODE = "node-0"
NAMESPACE = "projectcalico.org/namespace"  # a label; what has it is "in all()" of namespaces
NAMESPACES = 50
APPS = 12  # of each namespace

World = dict[ResourceKey, Resource]


def pod(number: int, node: str, **labels: str) -> tuple[ResourceKey, WorkloadEndpoint]:
    """Return one pod; its namespace and app follow from its number."""
    namespace, app = f"ns-{number % NAMESPACES}", f"app-{number // NAMESPACES % APPS}"
    name = f"{node.replace('-', '--')}-k8s-pod--{number}-eth0"
    spec = WorkloadEndpointSpec(
        orchestrator="k8s",
        node=node,
        pod=f"pod-{number}",
        endpoint="eth0",
        ip_networks=(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}/32",),
        profiles=(f"kns.{namespace}", f"ksa.{namespace}.default"),
        interface_name=f"cali{number:x}",
    )
    every = {"app": app, "tier": f"tier-{number % 7}", "hash": f"{number % 3}", **labels}
    metadata = Metadata(name=name, namespace=namespace, labels=every)
    record = WorkloadEndpoint(metadata=metadata, spec=spec)
    return ResourceKey("WorkloadEndpoint", namespace, name), record


def policy(number: int, port: int = 80) -> tuple[ResourceKey, NetworkPolicy]:
    """Return one policy. All policies of a namespace apply to all its pods: W has 20 in each."""
    namespace, turn = f"ns-{number % NAMESPACES}", number // NAMESPACES
    # One in fifty lets in everything that has labels: the one very large set of a cluster.
    anyone = EntityRule(selector="has(app)", namespace_selector="all()")
    some = EntityRule(
        selector=f"tier == 'tier-{turn % 7}' && hash != '1'",
        namespace_selector=f"name in {{'ns-{turn % NAMESPACES}', 'ns-1'}}",
    )
    spec = NetworkPolicySpec(
        tier="default",
        order=float(number),
        selector="has(app)" if turn % 2 else "",
        types=("Ingress",),
        ingress=(
            Rule(
                action="Allow",
                protocol="TCP",
                source=EntityRule(selector=f"app == 'app-{turn % APPS}'"),
                destination=EntityRule(ports=(port,)),
            ),
            Rule(action="Allow", source=anyone if number % 50 == 49 else some),
        ),
    )
    metadata = Metadata(name=f"policy-{number}", namespace=namespace)
    record = NetworkPolicy(metadata=metadata, spec=spec)
    return ResourceKey("NetworkPolicy", namespace, metadata.name), record


def profile(number: int, **labels: str) -> tuple[ResourceKey, Profile]:
    """Return the profile of one namespace."""
    name = f"kns.ns-{number}"
    given = {"pcns.name": f"ns-{number}", "pcns.projectcalico.org/name": f"ns-{number}", **labels}
    allow = (Rule(action="Allow"),)
    spec = ProfileSpec(ingress=allow, egress=allow, labels_to_apply=given)
    return ResourceKey("Profile", "", name), Profile(metadata=Metadata(name=name), spec=spec)


def global_policy(order: float) -> tuple[ResourceKey, GlobalNetworkPolicy]:
    """Return one policy that every endpoint has."""
    spec = GlobalNetworkPolicySpec(order=order, types=("Ingress",))
    record = GlobalNetworkPolicy(metadata=Metadata(name="everyone"), spec=spec)
    return ResourceKey("GlobalNetworkPolicy", "", "everyone"), record


def network_set(nets: int) -> tuple[ResourceKey, GlobalNetworkSet]:
    """Return CIDRs that are in no set, or (because of the label app) in the largest."""
    record = GlobalNetworkSet(
        metadata=Metadata(name="outside", labels={"app": "outside", NAMESPACE: "made-up"}),
        spec=GlobalNetworkSetSpec(tuple(f"172.16.{number}.0/24" for number in range(nets))),
    )
    return ResourceKey("GlobalNetworkSet", "", "outside"), record


def world(local: int, policies: int, remotes: int) -> World:
    """Return a whole datastore."""
    return dict(
        [
            *(profile(number) for number in range(NAMESPACES)),
            *(pod(number, NODE) for number in range(local)),
            *(policy(number) for number in range(policies)),
            *(pod(local + number, f"node-{1 + number % 99}") for number in range(remotes)),
        ]
    )


def built(resources: World) -> Graph:
    """Return the graph of a world."""
    graph = Graph(NODE)
    for key, value in resources.items():
        graph.set_resource(key, value, 1)
    graph.flush()
    return graph


def update(graph: Graph, story: Iterator[tuple[ResourceKey, Resource | None]]) -> float:
    """Return the median seconds of updates, each with a flush of its own."""

    def one(change: tuple[ResourceKey, Resource | None]) -> float:
        start = time.perf_counter()
        graph.set_resource(*change, 2)
        graph.flush()
        return time.perf_counter() - start

    return median(one(change) for change in story)


def report(what: str, took: float, note: str = "") -> None:
    """Print one line."""
    print(f"  {what:<58}{took * 1000:>10.2f} ms   {note}")


def updates(graph: Graph, local: int, definition: float) -> None:
    """Print what single changes cost."""
    number = local + 5

    def ratio(took: float) -> str:
        return f"{definition / took:,.0f} times the definition" if definition else ""

    stories = {
        "policy: a port": (policy(7, 81 + n % 2) for n in range(40)),
        "policy: gone and back": (
            (policy(7)[0], policy(7)[1] if n % 2 else None) for n in range(40)
        ),
        "remote pod: gone and back": (
            (pod(number, "node-1")[0], pod(number, "node-1")[1] if n % 2 else None)
            for n in range(40)
        ),
        "remote pod: label": (
            pod(number, "node-1", app=f"app-{n % 2}", tier="tier-2") for n in range(40)
        ),
        "remote pod: a label nobody has": (pod(number, "node-1", app=f"a{n}") for n in range(40)),
        "local pod: gone and back": (
            (pod(3, NODE)[0], pod(3, NODE)[1] if n % 2 else None) for n in range(40)
        ),
        "local pod: label": (pod(3, NODE, app=f"app-{n % 2}") for n in range(40)),
        "namespace: label": (profile(3, **{"pcns.extra": f"{n}"}) for n in range(6)),
        "policy of every endpoint: order": (global_policy(float(n)) for n in range(6)),
        "network set enters the largest set": (network_set(5 * (n % 2)) for n in range(6)),
        "CIDR more in the largest set": (network_set(5 + n) for n in range(6)),
        "remote pod, the largest set holding CIDRs": (
            (pod(number, "node-1")[0], pod(number, "node-1")[1] if n % 2 else None)
            for n in range(40)
        ),
    }
    for what, story in stories.items():
        took = update(graph, story)
        report(what, took, ratio(took))


def main() -> None:
    """Print the table."""
    gc.disable()
    sizes = {"small": (25, 100, 500), "W": (250, 1000, 10_000), "large": (100, 2000, 100_000)}
    for name, size in sizes.items():
        resources = world(*size)
        print(f"{name}: {size[0]} local, {size[1]} policies, {size[2]} remote")
        start = time.perf_counter()
        graph = built(resources)
        report("build", time.perf_counter() - start)
        definition = 0.0
        if name == "small":
            start = time.perf_counter()
            intended(resources, NODE)
            definition = time.perf_counter() - start
            report("definition", definition)
        updates(graph, size[0], definition)


if __name__ == "__main__":
    main()
