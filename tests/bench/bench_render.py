"""What rule sets cost, in W: 250 local endpoints, 1,000 policies (20 on each), 10,000 remotes.

python -m tests.bench.bench_render        (a few seconds; figures of one machine: trust ratios)
"""

import gc
import statistics
import time

from calico.core.intent.delta import Intent, IntentDelta
from calico.core.intent.endpoints import Tier, WorkloadEndpoint
from calico.core.intent.ip_sets import IpSet
from calico.core.intent.keys import EndpointKey, PolicyKey
from calico.core.intent.nat import Pool
from calico.core.intent.policies import Policy, Profile, Rule, Side
from calico.core.render.ruleset import RuleSets, rule_sets
from calico.core.render.settings import RenderSettings

ENDPOINTS, POLICIES, PER_ENDPOINT, REMOTES, RULES = 250, 1_000, 20, 10_000, 5


def address(number):
    return f"10.{64 + number // 65536}.{number // 256 % 256}.{number % 256}"


def policy(number, *, ports=80):
    """Five rules, each from a set to a port of its own, as the world of the measurements has."""
    rules = tuple(
        Rule(
            "Allow",
            protocol=6,
            source=Side(ip_sets=(f"s:{(number + index) % POLICIES:044d}",)),
            destination=Side(ports=((ports + index, ports + index),)),
        )
        for index in range(RULES)
    )
    return Policy("default", rules, (Rule("Allow"),))


def key(number):
    return PolicyKey("NetworkPolicy", f"ns-{number % 50}", f"policy-{number}")


def endpoint(number):
    chosen = tuple(key((number * 4 + index) % POLICIES) for index in range(PER_ENDPOINT))
    return WorkloadEndpoint(
        f"cali{number:011x}",
        (address(number),),
        tiers=(Tier("default", "Deny", chosen, chosen),),
        profiles=("kns.a",),
    )


def endpoint_key(number):
    return EndpointKey("k8s", f"ns-{number % 50}/pod-{number}", "eth0")


def world():
    """W, with the remotes spread over the policies' sets, ten sets for each."""
    members = [set() for _ in range(POLICIES)]
    for remote in range(REMOTES):
        for index in range(10):
            members[(remote * 7 + index * 101) % POLICIES].add(address(1_000 + remote))
    return Intent(
        {f"s:{n:044d}": IpSet("address", frozenset(held)) for n, held in enumerate(members)},
        {key(number): policy(number) for number in range(POLICIES)},
        {"kns.a": Profile((Rule("Allow"),), (Rule("Allow"),))},
        {endpoint_key(number): endpoint(number) for number in range(ENDPOINTS)},
        {"10.64.0.0/10": Pool("10.64.0.0/10", nat_outgoing=True)},
    )


def whole(intent):
    return IntentDelta(
        ip_sets=intent.ip_sets,
        policies=intent.policies,
        profiles=intent.profiles,
        endpoints=intent.endpoints,
        pools=intent.pools,
    )


def median_us(view, deltas):
    """Feed and flush each delta; return the median time and what the last one touched."""
    taken, out = [], {}
    for delta in deltas:
        start = time.perf_counter()
        view.feed(delta)
        out = view.flush()
        taken.append(time.perf_counter() - start)
    touched = {family: (len(t.chains), len(t.elements)) for family, t in out.items()}
    return statistics.median(taken) * 1e6, touched


def main():
    intent = world()
    gc.disable()
    view = RuleSets(RenderSettings())
    start = time.perf_counter()
    view.feed(whole(intent))
    tables = view.flush()
    print(f"start of day         {time.perf_counter() - start:8.3f} s")
    for family, table in tables.items():
        rules = sum(len(chain.rules) for chain in table.chains.values())
        print(
            f"  {family:4} {len(table.chains)} chains, {rules} rules, "
            f"{len(table.elements)} elements"
        )
    start = time.perf_counter()
    rule_sets(intent, RenderSettings())
    print(f"the definition       {time.perf_counter() - start:8.3f} s")
    turns = range(100)
    steps = {
        "a policy's rules": [IntentDelta(policies={key(n): policy(n, ports=90)}) for n in turns],
        "a policy's first pass": [
            IntentDelta(policies={key(n): Policy("default", (Rule("Pass"),))}) for n in turns
        ],
        "a member": [IntentDelta(members={(f"s:{n:044d}", "10.99.0.1"): True}) for n in turns],
        "a set's kind": [
            IntentDelta(ip_sets={f"s:{n:044d}": IpSet("net", frozenset({"10.0.0.0/8"}))})
            for n in turns
        ],
        "an endpoint goes": [IntentDelta(endpoints={endpoint_key(n): None}) for n in turns],
        "an endpoint comes": [IntentDelta(endpoints={endpoint_key(n): endpoint(n)}) for n in turns],
    }
    print(f"{'change':22}{'median us':>10}   (chains, elements) touched")
    for name, deltas in steps.items():
        cost, touched = median_us(view, deltas)
        print(f"{name:22}{cost:10.0f}   {touched}")


if __name__ == "__main__":
    main()
