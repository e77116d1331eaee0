"""What we write is what `nft` would have written, and what we read is what we wrote."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from calico.core.nftables.changes import AddChain, AddElements, AddSet, Contents, SetRules
from calico.core.nftables.normal import normal_rule, normal_set
from calico.core.nftables.text import render_table
from calico.core.nftables.vocabulary import (
    AnyOf,
    Chain,
    Dispatch,
    Hook,
    Is,
    Rule,
    Set,
    SetMark,
    Verdict,
)
from calico.kernel.netns import inside
from calico.kernel.nftables import KernelTable
from calico.kernel.run import run
from nftables_rules import CHAINS, SETS, elements, rules

pytestmark = pytest.mark.netns

FAMILIES = ["ip", "ip6"]
THE_SAME_WORLD = settings(
    max_examples=20,
    derandomize=True,  # the oracle is a program with oddities of its own
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def write(table, contents):
    """Fill an empty table by messages."""
    return table.apply(
        [
            *(AddSet(name, shape) for name, shape in contents.sets.items()),
            *(AddChain(name, chain.hook) for name, chain in contents.chains.items()),
            *(SetRules(name, (), chain.rules) for name, chain in contents.chains.items()),
            *(
                AddElements(name, contents.sets[name], rows)
                for name, rows in contents.elements.items()
                if rows
            ),
        ]
    )


def listing():
    """Say what is loaded, without what is not of interest."""

    def cleaned(value):
        if isinstance(value, list):
            return [cleaned(v) for v in value]
        if not isinstance(value, dict):
            return value
        dropped = {"handle", "packets", "bytes", "metainfo"}
        rest = {k: cleaned(v) for k, v in value.items() if k not in dropped}
        for unordered in ("elem", "set"):
            if isinstance(rest.get(unordered), list):
                rest[unordered] = sorted(rest[unordered], key=json.dumps)
        return rest

    loaded = [cleaned(o) for o in json.loads(run(["nft", "-j", "list", "ruleset"]))["nftables"]]
    order = {"table": 0, "set": 1, "map": 1, "chain": 2, "rule": 3}

    def key(row):
        kind = next(iter(row), "")
        name = row.get(kind, {}).get("chain", "") or row.get(kind, {}).get("name", "")
        return order.get(kind, -1), name

    return sorted((row for row in loaded if row), key=key)


def world(family, drawn):
    chains = {name: Chain() for name in CHAINS}
    chains[CHAINS[0]] = Chain(tuple(normal_rule(rule) for rule in drawn))
    return Contents(chains, SETS, elements(family))


@pytest.fixture(params=FAMILIES)
def table(request, netns):
    opened = KernelTable(request.param, "calico")
    yield opened
    opened.close()


@THE_SAME_WORLD
@given(data=st.data())
def test_reads_back_what_it_wrote(table, data):
    family = table.family
    wanted = world(family, data.draw(st.lists(rules(family), max_size=12)))
    table.delete()
    assert write(table, wanted) == {}
    assert table.read_back() == wanted


@THE_SAME_WORLD
@given(data=st.data())
def test_nft_would_have_written_the_same(table, other_namespace, data):
    family = table.family
    drawn = data.draw(st.lists(rules(family), min_size=1, max_size=12))
    wanted = world(family, drawn)
    table.delete()
    assert write(table, wanted) == {}
    ours = listing()
    text = f"flush ruleset\n{render_table(family, 'calico', wanted)}"
    with inside(other_namespace):
        run(["nft", "-f", "-"], text)
        theirs = listing()
    assert ours == theirs
    assert len(ours) == 1 + len(CHAINS) + len(SETS) + len(drawn)


@pytest.fixture
def other_namespace(make_namespace):
    return make_namespace()


ARP_CHAINS = {
    "filter-OUTPUT": Chain((Rule((Verdict("jump", "c"),)),), Hook("filter", "output", 0)),
    "c": Chain(
        (
            Rule((Dispatch(("oifname",), "pods"),)),
            Rule((Is("arp_operation", 1), Is("arp_saddr_ip", "169.254.1.1"), Verdict("drop"))),
            Rule((Is("arp_saddr_ip", "10.0.0.0/8", negated=True), Is("oifname", "cali*"))),
            Rule((AnyOf("arp_operation", (1, 2)), SetMark(0xFF, 1)), "why"),
        )
    ),
}


def test_arp_tables_too(netns, other_namespace):
    pods = Set(("oifname",), verdicts=True)
    wanted = Contents(ARP_CHAINS, {"pods": pods}, {"pods": {("cali1",): Verdict("drop")}})
    table = KernelTable("arp", "calico")
    assert write(table, wanted) == {}
    assert table.read_back() == Contents(ARP_CHAINS, {"pods": normal_set(pods)}, wanted.elements)
    table.close()
    ours = listing()
    with inside(other_namespace):
        run(["nft", "-f", "-"], render_table("arp", "calico", wanted))
        assert listing() == ours


def test_every_hook(netns, other_namespace):
    chains = {
        f"{kind}-{place}-{policy}": Chain((), Hook(kind, place, priority, policy))
        for kind, place, priority, policy in [
            ("filter", "prerouting", -300, "accept"),
            ("filter", "input", 0, "drop"),
            ("filter", "forward", 0, "drop"),
            ("filter", "output", -150, "accept"),
            ("filter", "postrouting", 5, "accept"),
            ("route", "output", -150, "accept"),
            ("nat", "prerouting", -100, "accept"),
            ("nat", "input", 100, "accept"),
            ("nat", "output", 110, "accept"),
            ("nat", "postrouting", 110, "accept"),
        ]
    }
    table = KernelTable("ip", "calico")
    assert write(table, Contents(chains)) == {}
    assert table.read_back() == Contents(chains)
    table.close()
    ours = listing()
    with inside(other_namespace):
        run(["nft", "-f", "-"], render_table("ip", "calico", Contents(chains)))
        assert listing() == ours
