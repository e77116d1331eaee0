"""A block against the plainest model of it: a queue of free addresses and a table of holders."""

from hypothesis import given
from hypothesis import strategies as st

from calico.core.ipam import block as blocks
from calico.core.ipam.reservations import Reserved
from calico.core.ipam.times import SECOND
from calico.core.model.block import decode_block, encode

SIZE = 8
CIDR = "10.0.0.0/29"
START = 1_785_578_400 * SECOND

ordinals = st.integers(0, SIZE - 1)
handles = st.sampled_from(["h1", "h2", "h3"])
operations = st.one_of(
    st.tuples(st.just("take"), st.integers(0, 4), handles),
    st.tuples(st.just("take_one"), ordinals, handles),
    st.tuples(st.just("release"), st.sets(ordinals, max_size=4), st.booleans()),
    st.tuples(st.just("release_handle"), handles, st.none()),
    st.tuples(st.just("time_passes"), st.integers(0, 3), st.none()),
)


class Model:
    """Free addresses in a queue; holders; what cools down, since when."""

    def __init__(self, cooldown, reserved):
        self.free = list(range(SIZE))
        self.holders = {}
        self.cooling = {}
        self.cooldown = cooldown
        self.reserved = reserved

    def take(self, count, handle):
        taken = [o for o in self.free if o not in self.reserved][:count]
        self.free = [o for o in self.free if o not in taken]
        self.holders |= dict.fromkeys(taken, handle)
        return taken

    def take_one(self, ordinal, handle):
        if ordinal not in self.free:
            return False
        self.free.remove(ordinal)
        self.holders[ordinal] = handle
        return True

    def release(self, wanted, now):
        for ordinal in sorted(wanted & set(self.holders)):
            del self.holders[ordinal]
            self.cooling[ordinal] = now
        if wanted:
            self.collect(now)

    def collect(self, now):
        cold = sorted(o for o, at in self.cooling.items() if at + self.cooldown <= now)
        self.free += cold
        for ordinal in cold:
            del self.cooling[ordinal]


class Story:
    """The block and its model, driven side by side."""

    def __init__(self, cooldown, reserved_ordinals):
        self.cooldown = cooldown
        self.reserved = Reserved([f"10.0.0.{o}" for o in reserved_ordinals])
        self.block = blocks.new_block(CIDR, "host:a", START)
        self.model = Model(cooldown * SECOND, reserved_ordinals)
        self.now = START

    def take(self, count, handle):
        holder = blocks.attribute(handle, {})
        self.block, taken = blocks.take(self.block, count, holder, self.reserved)
        assert list(taken) == [f"10.0.0.{o}" for o in self.model.take(count, handle)]

    def take_one(self, ordinal, handle):
        holder = blocks.attribute(handle, {})
        made = blocks.take_address(self.block, f"10.0.0.{ordinal}", holder)
        assert (made is not None) == self.model.take_one(ordinal, handle)
        self.block = made or self.block

    def release(self, asked, by_address):
        wanted = asked & set(self.model.holders)
        released = self._released(asked, by_address)
        assert len(released.already_free) == len(asked - wanted)
        self.model.release(wanted, self.now)

    def release_handle(self, handle, _):
        wanted = {o for o, holder in self.model.holders.items() if holder == handle}
        assert set(blocks.ordinals_of_handle(self.block, handle)) == wanted
        released = self._released(wanted, by_address=False)
        assert released.by_handle == ({handle: len(wanted)} if wanted else {})
        self.model.release(wanted, self.now)

    def time_passes(self, seconds, _):
        self.now += seconds * SECOND
        self.block = blocks.normalised(self.block, self.now, self.cooldown)
        self.model.collect(self.now)

    def _released(self, asked, by_address):
        released = blocks.release(self.block, asked, self.now, self.cooldown, by_address=by_address)
        self.block = released.block
        return released


@given(st.lists(operations, max_size=30), st.sampled_from([0, 2]), st.sets(ordinals, max_size=3))
def test_equals_its_model(steps, cooldown, reserved_ordinals):
    story = Story(cooldown, reserved_ordinals)
    for step, first, second in steps:
        before = story.block
        getattr(story, step)(first, second)
        agrees(story.block, story.model)
        if story.block != before:
            story.block = blocks.written(story.block)


def agrees(block, model):
    assert list(block.unallocated) == model.free
    for ordinal in range(SIZE):
        holder = blocks.holder_of(block, ordinal)
        if ordinal in model.holders:
            assert holder.handle == model.holders[ordinal]
        elif ordinal in model.cooling:
            assert holder.handle_id is None
            assert holder.released_at
        else:
            assert holder is None
    allocated = {*model.holders, *model.cooling}
    assert {int(o) for o in block.allocated_at} == allocated
    assert blocks.is_empty(block) == (not allocated)
    used = {index for index in block.allocations if index is not None}
    assert used == set(range(len(block.attributes or ()))), "attributes are used, all of them"
    named = [a for a in block.attributes or () if a.handle_id]
    assert len(set(map(repr, named))) == len(named), "equal owners are held once"
    assert decode_block(encode(block)) == block


@given(st.lists(st.tuples(ordinals, handles), min_size=1, max_size=12))
def test_no_two_uses_of_an_address_have_the_same_number(story):
    block, seen = blocks.new_block(CIDR, "host:a", START), set()
    for ordinal, handle in story:
        block = blocks.release(block, [ordinal], START, 0, by_address=True).block
        made = blocks.take_address(block, f"10.0.0.{ordinal}", blocks.attribute(handle, {}))
        use = (ordinal, made.allocated_at[str(ordinal)])
        assert use not in seen
        seen.add(use)
        block = blocks.written(made)
