"""World W in a datastore, so that agents can be started in it.

    W   250 local endpoints, 1,000 policies (20 on each endpoint), 10,000 remote endpoints

Records are those of bench_calc, stored as every client of ours stores them, in commits of 128;
but the pods of one app have the same labels, as pods of one deployment do: 600 distinct sets of
labels among 10,250 pods (592 were measured in a cluster of 10,000).

Two records are ours: LOCAL is the endpoint that is probed; REMOTE is the one that probes it, and
no rule of the world lets its datagrams in. The policies RULE and LABEL, of LOCAL's namespace, are
the ones that change.
"""

from collections.abc import Iterable

from msgspec.structs import replace
from tests.bench import bench_calc
from tests.bench.bench_calc import APPS, NAMESPACES, NODE, policy, profile

from calico.core.model.keys import ResourceKey, path_of
from calico.core.model.metadata import Resource
from calico.core.model.rule import EntityRule, Rule
from calico.core.model.stored import to_record
from calico.datastore.client import Datastore, Put

LOCALS, POLICIES, REMOTES = 250, 1_000, 10_000
AT_ONCE = 128  # operations of one transaction: etcd's own limit
LOCAL, REMOTE = 0, LOCALS + 1
RULE, LABEL = 10 * NAMESPACES, 11 * NAMESPACES  # both apply to LOCAL
RULE_PORT, LABEL_PORT = 7001, 7002

Record = tuple[ResourceKey, Resource]


def pod(number: int, node: str, **labels: str) -> Record:
    """Return one pod, labelled by its app, with all that a record written by a plugin has."""
    app = number // NAMESPACES % APPS
    shared = {"tier": f"tier-{app % 7}", "hash": f"{app % 3}", **labels}
    key, record = bench_calc.pod(number, node, **shared)
    metadata = replace(
        record.metadata,
        uid=f"00000000-0000-4000-8000-{number:012x}",
        creation_timestamp="2026-08-01T10:00:02Z",
    )
    spec = replace(record.spec, container_id=f"{number:064x}", service_account_name="default")
    return key, replace(record, metadata=metadata, spec=spec)


def address(number: int) -> str:
    """Return the address that bench_calc gives a pod."""
    return f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"


def interface(number: int) -> str:
    """Return the interface that bench_calc gives a pod."""
    return f"cali{number:x}"


def rule_policy(*, lets_in: bool) -> Record:
    """Return the policy whose rule comes and goes."""
    key, record = policy(RULE)
    port = RULE_PORT if lets_in else RULE_PORT + 10_000
    rule = Rule(action="Allow", protocol="UDP", destination=EntityRule(ports=(port,)))
    return key, with_rule(record, rule)


def label_policy() -> Record:
    """Return the policy that lets in whoever has the label."""
    key, record = policy(LABEL)
    chosen = EntityRule(selector="chosen == 'yes'", namespace_selector="all()")
    there = EntityRule(ports=(LABEL_PORT,))
    return key, with_rule(record, Rule("Allow", protocol="UDP", source=chosen, destination=there))


def with_rule(record, rule):
    spec = record.spec
    return replace(record, spec=replace(spec, ingress=(*spec.ingress, rule)))


def prober(*, chosen: bool) -> Record:
    """Return the remote endpoint whose label comes and goes; no rule lets in hash 1."""
    key, record = remote(REMOTE)
    labels = {**record.metadata.labels, "hash": "1", "chosen": "yes" if chosen else "no"}
    return key, replace(record, metadata=replace(record.metadata, labels=labels))


def base(policies: int = POLICIES) -> list[Record]:
    """Return W without its remote endpoints, or a world of more policies."""
    changing = dict([rule_policy(lets_in=False), label_policy()])
    every = dict(policy(number) for number in range(policies))
    return [
        *(profile(number) for number in range(NAMESPACES)),
        *(pod(number, NODE) for number in range(LOCALS)),
        *(every | changing).items(),
    ]


def remotes(start: int, stop: int) -> list[Record]:
    """Return remote endpoints; the second of all is the one that probes."""
    found = (remote(LOCALS + number) for number in range(start, stop))
    return [prober(chosen=False) if record[0] == remote(REMOTE)[0] else record for record in found]


def remote(number: int) -> Record:
    """Return one endpoint of another node."""
    return pod(number, f"node-{1 + (number - LOCALS) % 99}")


def put(record: Record) -> Put:
    """Return the write of one record."""
    key, value = record
    return Put(path_of(key), to_record(value))


def load(store: Datastore, records: Iterable[Record]) -> None:
    """Write records, 128 a transaction."""
    changes = [put(record) for record in records]
    for start in range(0, len(changes), AT_ONCE):
        store.commit(changes[start : start + AT_ONCE])
