"""Several nodes at one datastore, each decision overtaken by others: nobody gets the same address.

The story is a tree: before a desk's call reaches the store, the next requests are served at other
desks, so that reads are torn and commits are lost in every way that the records allow.
"""

from ipaddress import ip_address, ip_network

from hypothesis import example, given
from hypothesis import strategies as st

from calico.core.model.block import decode_affinity, decode_block, decode_handle
from calico.core.model.codec import encode
from calico.core.model.keys import (
    BLOCKS_PREFIX,
    HANDLES_PREFIX,
    HOST_AFFINITIES_PREFIX,
    ResourceKey,
    key_of,
    path_of,
)
from calico.core.model.metadata import Metadata
from calico.core.model.node import Node
from calico.core.model.pool import IPPool, IPPoolSpec, IPReservation, IPReservationSpec
from calico.datastore.client import Delete, Put
from calico.datastore.memory import MemoryDatastore
from calico.ipam.affinities import Yield
from calico.ipam.assign import Assign
from calico.ipam.collect import Collect
from calico.ipam.desk import Desk
from calico.ipam.errors import NoFreeAddress, NotAllocated
from calico.ipam.release import Release, ReleaseAddresses, ReleaseHandle

NODES = ("a", "b")
POOL = "10.0.0.0/28"
BLOCKS = [str(block) for block in ip_network(POOL).subnets(new_prefix=30)]

node = st.sampled_from(NODES)
handle = st.sampled_from(["h1", "h2", "h3"])
steps = st.one_of(
    st.tuples(st.just("assign"), node, handle, st.integers(1, 3)),
    st.tuples(st.just("assign"), node, handle, st.integers(1, 5)),
    st.tuples(st.just("release"), node, handle, st.just(0)),
    st.tuples(st.just("release address"), node, st.just(""), st.integers(0, 15)),
    st.tuples(st.just("yield"), node, st.just(""), st.integers(0, 3)),
    st.tuples(st.just("collect"), node, st.just(""), st.just(0)),
    st.tuples(st.just("nothing"), node, st.just(""), st.just(0)),
)
batches = st.lists(steps, min_size=1, max_size=3)
# The range of reserved addresses is another one now: 4 of 16, from here; at 16, none.
reservations = st.tuples(st.just("reserve"), node, st.just(""), st.sampled_from([0, 4, 8, 16]))


class Overtaken:
    """A store at which every call is preceded by something else that happens."""

    def __init__(self, store, world):
        self._store = store
        self._world = world

    def get(self, path):
        self._world.happen()
        return self._store.get(path)

    def list(self, prefix):
        self._world.happen()
        return self._store.list(prefix)

    def commit(self, changes):
        self._world.happen()
        return self._store.commit(changes)


class World:
    """A store, two desks of each node, and what was answered at which revision."""

    def __init__(self, story):
        self.store = MemoryDatastore()
        self.story = list(story)
        self.events = []
        self.reserved = [(0, 16)]  # since which revision, from which address on
        self.depth = 0
        self.now = 1_785_578_400 * 10**9
        for name in NODES:
            self._write("Node", name, Node(metadata=Metadata(name=name)))
        spec = IPPoolSpec(cidr=POOL, block_size=30)
        self._write("IPPool", "p", IPPool(metadata=Metadata(name="p"), spec=spec))
        self.desks = {n: self._new(n) for n in NODES}
        self.spare = {n: self._new(n) for n in NODES}

    def _write(self, kind, name, value):
        self.store.commit([Put(path_of(ResourceKey(kind, "", name)), encode(value))])

    def _reserve(self, start):
        path = path_of(ResourceKey("IPReservation", "", "r"))
        spec = IPReservationSpec(reserved_cidrs=(f"10.0.0.{start}/30",))
        record = encode(IPReservation(metadata=Metadata(name="r"), spec=spec))
        change = Delete(path) if start == 16 else Put(path, record)
        self.reserved.append((self.store.commit([change]), start))

    def is_reserved(self, address, revision):
        """Tell whether an address was reserved when a commit was made."""
        start = [start for since, start in self.reserved if since < revision][-1]
        return start <= int(address.rpartition(".")[2]) < min(start + 4, 16)

    def _tick(self):
        self.now += 40 * 10**9  # two ticks are more than the age at which a block is taken over
        return self.now

    def happen(self):
        """Serve the next batch, if we are not too deep in others already."""
        if not self.story or self.depth > 2:
            return
        batch = [step for step in self.story.pop(0) if step[0] != "nothing"]
        for step in [step for step in batch if step[0] == "reserve"]:
            self._reserve(step[3])
            batch.remove(step)
        if not batch:
            return
        self.depth += 1
        name = batch[0][1]
        # a desk is one thread's: what happens inside its calls happens at another desk
        desk = (self.desks, self.spare)[self.depth - 1][name] if self.depth < 3 else self._new(name)
        requests = [request_of(what, handle_id, n, name) for what, _, handle_id, n in batch]
        answers = desk.serve(requests)
        self.depth -= 1
        for place, (request, answer) in enumerate(zip(requests, answers, strict=True)):
            if isinstance(answer, Exception):
                assert isinstance(answer, NoFreeAddress | NotAllocated), repr(answer)
            else:
                self.events.append((answer[1], place, request, answer[0]))

    def _new(self, name):
        return Desk(Overtaken(self.store, self), name, self._tick)

    def play(self):
        """Let everything happen; give the truth: {address: handle}, told in order of revision."""
        while self.story:
            self.happen()
        truth = {}
        for _, _, request, value in sorted(self.events, key=lambda event: event[:2]):
            match request:
                case Assign():
                    given_now = dict.fromkeys((g.address for g in value.ipv4), request.handle)
                    assert not given_now.keys() & truth.keys(), "given twice"
                    truth |= given_now
                case ReleaseHandle():
                    assert {truth.pop(address) for address in value} <= {request.handle}
                case ReleaseAddresses():
                    truth = {a: h for a, h in truth.items() if a not in value[0]}
        return truth


def request_of(what, handle_id, number, name):
    match what:
        case "assign":
            return Assign(handle=handle_id, attributes={"node": name}, use="Workload", ipv4=number)
        case "release":
            return ReleaseHandle(handle_id)
        case "release address":
            return ReleaseAddresses((Release(f"10.0.0.{number}"),))
        case "yield":
            return Yield(f"host:{name}", BLOCKS[number])
    return Collect()


def addresses_in(store):
    """Read the blocks: {address: handle}, {(handle, block): count}; each block is in order."""
    held, counts = {}, {}
    for entry in store.list(BLOCKS_PREFIX).entries:
        block = decode_block(entry.value)
        free = [o for o, index in enumerate(block.allocations) if index is None]
        assert sorted(block.unallocated) == free
        for ordinal, index in enumerate(block.allocations):
            if index is not None:
                address = str(ip_address(int(ip_network(block.cidr)[0]) + ordinal))
                held[address] = block.attributes[index].handle
                key = (held[address], block.cidr)
                counts[key] = counts.get(key, 0) + 1
    return held, counts


def handles_in(store):
    counted = {}
    for entry in store.list(HANDLES_PREFIX).entries:
        name = entry.path.removeprefix(HANDLES_PREFIX)
        counts = decode_handle(entry.value).block
        assert counts, "a handle without blocks is deleted"
        counted |= {(name, cidr): count for cidr, count in counts.items()}
    return counted


def owners_in(store):
    """Read who owns which block: as the blocks say, and as the affinities do."""
    blocks = [decode_block(entry.value) for entry in store.list(BLOCKS_PREFIX).entries]
    by_block = {(b.affinity, b.cidr) for b in blocks if b.affinity is not None}
    by_affinity = set()
    for entry in store.list(HOST_AFFINITIES_PREFIX).entries:
        key = key_of(entry.path)
        assert decode_affinity(entry.value).state == "confirmed"
        by_affinity.add((f"host:{key.host}", key.cidr))
    return by_block, by_affinity


COLLECT = [("collect", "a", "", 0)]
FOUND = (  # stories that once ended badly
    # an affinity was taken for confirmed, since it had been when it was read
    [
        [("assign", "a", "h1", 1)],
        [("assign", "b", "h1", 4)],
        [("release", "b", "h1", 0), ("assign", "a", "h1", 5)],
        [("release", "a", "h1", 0)],
        [("assign", "a", "h1", 1)],
        [("assign", "b", "h1", 1), ("yield", "a", "", 2)],
    ],
    # a handle was read after, and a block before, what both of them changed by
    [
        *[COLLECT] * 4,
        [("release", "a", "h1", 0)],
        [("release address", "a", "", 0), ("release", "a", "h3", 0)],
        [("release", "a", "h1", 0)],
        [("assign", "a", "h1", 1)],
        [("assign", "a", "h1", 3), ("assign", "a", "h3", 1)],
    ],
)


@given(st.lists(batches, min_size=1, max_size=14))
@example(FOUND[0])
@example(FOUND[1])
def test_records_and_answers_agree(story):
    world = World(story)
    truth = world.play()
    held, counts = addresses_in(world.store)
    assert held == truth
    assert handles_in(world.store) == counts
    by_block, by_affinity = owners_in(world.store)
    assert by_block == by_affinity


@given(st.lists(st.lists(steps | reservations, min_size=1, max_size=3), min_size=1, max_size=14))
def test_nothing_reserved_is_given_however_late_it_was_reserved(story):
    world = World(story)
    world.play()
    for revision, _, request, value in world.events:
        if isinstance(request, Assign):
            given_now = [g.address for g in value.ipv4]
            assert not [a for a in given_now if world.is_reserved(a, revision)]


@given(st.lists(batches, min_size=1, max_size=10))
def test_a_full_pool_has_given_every_address(story):
    world = World(story)
    left = 16 - len(world.play())
    desk = Desk(world.store, "a", world._tick)
    if left:
        request = Assign(handle="last", attributes={}, use="Workload", ipv4=left)
        assert len(desk.serve_one(request)[0].ipv4) == left
    (answer,) = desk.serve([Assign(handle="x", attributes={}, use="Workload", ipv4=1)])
    assert isinstance(answer, NoFreeAddress)
    assert "pool p (10.0.0.0/28) has no address left" in str(answer)
