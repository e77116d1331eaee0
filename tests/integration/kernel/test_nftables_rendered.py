"""All that core/render says is said to the kernel and read back the same, at the size of W."""

import pytest

from bench.bench_render import whole, world
from calico.core.render.ruleset import RuleSets
from calico.core.render.settings import RenderSettings
from calico.kernel.nftables import KernelTable
from calico.reconcile.nftables import NftablesReconciler

pytestmark = [pytest.mark.netns, pytest.mark.slow]


def test_a_restarted_agent_finds_its_tables_and_writes_nothing(netns):
    rule_sets = RuleSets(RenderSettings())
    rule_sets.feed(whole(world()))
    for family, delta in rule_sets.flush().items():
        table = KernelTable(family, "calico")
        first = NftablesReconciler(table)
        first.update(delta)
        while (outcome := first.apply()).left:
            assert outcome.failures == {}
        assert outcome.failures == {}
        restarted = NftablesReconciler(table)
        restarted.update(delta)
        outcome = restarted.apply()
        assert (outcome.applied, outcome.failures, outcome.left) == (0, {}, 0)
        table.close()
