"""Whatever happened: one resync with nothing refused, and the table equals the intent."""

from hypothesis import given

from calico.kernel.fake_nftables import FakeTable
from calico.reconcile.nftables_plan import Batch, plan
from nftables_stories import come_to_rest, stories, tell


@given(stories)
def test_every_story_ends_with_the_intent(story):
    table = FakeTable()
    reconciler, intended = tell(
        story, table, lambda subjects: table.refuse.clear() or table.refuse.update(subjects)
    )
    come_to_rest(reconciler)
    assert table.read_back() == intended
    table.applied.clear()
    assert reconciler.apply().applied == 0
    reconciler.queue_resync()
    assert reconciler.apply().applied == 0
    assert table.applied == []


def test_a_batch_without_difference_has_no_plan():
    assert plan(Batch()) == []
