"""The stories of tests/property/reconcile/test_nftables.py, told to the real kernel."""

import pytest
from hypothesis import HealthCheck, given, settings

from calico.kernel.nftables import KernelTable
from nftables_stories import come_to_rest, stories, tell

pytestmark = pytest.mark.netns


@pytest.fixture
def table(netns):
    opened = KernelTable("ip", "calico")
    yield opened
    opened.close()


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(stories)
def test_every_story_ends_with_the_intent(table, story):
    table.delete()
    reconciler, intended = tell(story, table, lambda subjects: None)
    come_to_rest(reconciler)
    assert table.read_back() == intended
    reconciler.queue_resync()
    outcome = reconciler.apply()
    assert (outcome.applied, outcome.failures, outcome.left) == (0, {}, 0)
