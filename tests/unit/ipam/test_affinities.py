"""Claims, releases of affinity, removal of nodes and pools, tidying, reading."""

import pytest

from calico.core.ipam.block import attribute, new_block, take
from calico.core.ipam.reservations import Reserved
from calico.core.ipam.times import SECOND
from calico.core.model.block import IpamConfig
from calico.core.model.keys import HOST_AFFINITIES_PREFIX
from calico.datastore.client import NotFound, Put
from calico.datastore.memory import MemoryDatastore
from calico.ipam import usage
from calico.ipam.affinities import Claim, Yield, release_node, release_pool
from calico.ipam.assign import Assign
from calico.ipam.collect import Collect, Collected
from calico.ipam.desk import Desk
from calico.ipam.errors import IpamError, NotAllocated
from calico.ipam.release import ReleaseHandle
from ipam_store import (
    read_affinity,
    read_block,
    write_affinity,
    write_block,
    write_config,
    write_node,
    write_pool,
    write_reservation,
)

START = 1_785_578_400 * SECOND
CIDR = "10.0.0.0/30"


@pytest.fixture
def store():
    store = MemoryDatastore()
    for name in ("a", "b"):
        write_node(store, name)
    write_pool(store, "p", "10.0.0.0/28", 30)
    return store


@pytest.fixture
def desk(store):
    return Desk(store, "a", lambda: START)


def used(cidr, owner):
    return take(new_block(cidr, owner, START), 1, attribute("h", {}), Reserved())[0]


def want(handle, count=1):
    return Assign(handle=handle, attributes={"node": "a"}, use="Workload", ipv4=count)


class TestYield:
    def test_an_empty_block_goes_with_its_affinity(self, store, desk):
        desk.serve_one(Claim(CIDR))
        assert desk.serve_one(Yield("host:a", CIDR, must_be_empty=True))[0] == "released"
        assert read_block(store, CIDR) is None
        assert read_affinity(store, "a", CIDR) is None

    def test_a_used_block_stays_nobodys(self, store, desk):
        write_affinity(store, "a", CIDR, "confirmed")
        write_block(store, used(CIDR, "host:a"))
        assert desk.serve_one(Yield("host:a", CIDR, must_be_empty=True))[0] == "in use"
        assert desk.serve_one(Yield("host:a", CIDR))[0] == "released"
        block = read_block(store, CIDR)
        assert (block.affinity, block.claim_time) == (None, None)
        assert block.allocations[0] == 0

    def test_a_stale_affinity_goes_and_the_block_stays(self, store, desk):
        write_affinity(store, "a", CIDR, "confirmed")
        write_block(store, used(CIDR, "host:b"))
        assert desk.serve_one(Yield("host:a", CIDR))[0] == "not ours"
        assert read_affinity(store, "a", CIDR) is None
        assert read_block(store, CIDR).affinity == "host:b"

    def test_a_block_that_has_changed_since_it_was_seen(self, store, desk):
        desk.serve_one(Claim(CIDR))
        seen = read_block(store, CIDR).sequence_number
        request = Yield("host:a", CIDR, sequence_number=seen - 1)
        assert desk.serve_one(request)[0] == "changed"
        request = Yield("host:a", CIDR, sequence_number=seen)
        assert desk.serve_one(request)[0] == "released"

    def test_absent(self, desk):
        assert desk.serve_one(Yield("host:a", CIDR))[0] == "absent"


class TestClaim:
    def test_what_others_have_is_left(self, store, desk):
        Desk(store, "b").serve_one(Claim("10.0.0.4/30"))
        claimed, taken = desk.serve_one(Claim("10.0.0.0/29"))[0]
        assert (claimed, taken) == (("10.0.0.0/30",), ("10.0.0.4/30",))
        assert read_affinity(store, "a", "10.0.0.4/30") is None

    def test_twice_is_once(self, store, desk):
        desk.serve_one(Claim(CIDR))
        before = store.list("").revision
        assert desk.serve_one(Claim(CIDR))[0] == ((CIDR,), ())
        assert store.list("").revision == before

    @pytest.mark.parametrize(
        ("cidr", "reason"),
        [("192.0.2.0/24", "not within any configured pool"), ("10.0.0.0/31", "smaller than")],
    )
    def test_refused(self, desk, cidr, reason):
        with pytest.raises(IpamError, match=reason):
            desk.serve_one(Claim(cidr))


def test_removal_of_a_node(store, desk):
    desk.serve_one(want("h", 2))
    (mine,) = desk.affinities("host:a", 4)
    spare = next(c for c in ("10.0.0.0/30", "10.0.0.4/30") if c != mine)
    desk.serve_one(Claim(spare))
    write_affinity(store, "a", "10.0.0.12/30", "pending")  # its block was never made
    store.commit([Put(HOST_AFFINITIES_PREFIX + "a", b"{}")])
    assert set(release_node(store, "a")) == {mine, spare}
    assert store.list(HOST_AFFINITIES_PREFIX + "a").entries == []
    assert read_block(store, mine).affinity is None, "its addresses stay allocated"
    assert read_block(store, spare) is None
    assert usage.ips_by_handle(store, "h") == tuple(
        address for address in usage.ips_by_handle(store, "h")
    )
    assert len(usage.ips_by_handle(store, "h")) == 2


def test_removal_of_a_pool(store, desk):
    write_pool(store, "q", "10.9.0.0/28", 30)
    desk.serve_one(Claim(CIDR))
    Desk(store, "b").serve_one(Claim("10.0.0.4/30"))
    desk.serve_one(Claim("10.9.0.0/30"))
    assert set(release_pool(store, "10.0.0.0/28")) == {CIDR, "10.0.0.4/30"}
    assert read_affinity(store, "a", "10.9.0.0/30") == "confirmed"


class TestCollect:
    def test_unfinished_claims_and_stale_affinities(self, store, desk):
        write_affinity(store, "a", "10.0.0.0/30", "pending")
        write_block(store, new_block("10.0.0.0/30", "host:a", START))
        write_affinity(store, "a", "10.0.0.4/30", "confirmed")
        write_block(store, used("10.0.0.4/30", "host:b"))
        write_affinity(store, "a", "10.0.0.8/30", "pending")
        collected, _ = desk.serve_one(Collect())
        assert collected.finished == ("10.0.0.0/30",)
        assert set(collected.dropped) == {"10.0.0.4/30", "10.0.0.8/30"}
        assert read_affinity(store, "a", "10.0.0.0/30") == "confirmed"
        assert read_affinity(store, "a", "10.0.0.8/30") is None
        before = store.list("").revision
        assert desk.serve_one(Collect(collected))[0].finished == ()
        assert store.list("").revision == before, "a second round does nothing"

    def test_empty_blocks_go_at_the_second_look_all_but_one(self, store, desk):
        for cidr in ("10.0.0.0/30", "10.0.0.4/30", "10.0.0.8/30"):
            desk.serve_one(Claim(cidr))
        first, _ = desk.serve_one(Collect())
        assert first.released == ()
        second, _ = desk.serve_one(Collect(first))
        assert second.released == ("10.0.0.4/30", "10.0.0.8/30")
        assert read_affinity(store, "a", "10.0.0.0/30") == "confirmed"

    def test_addresses_that_have_cooled_down(self, store, desk):
        write_config(store, cooldown_seconds=30)
        desk.serve_one(want("h", 2))
        desk.serve_one(ReleaseHandle("h"))
        assert desk.serve_one(Collect())[0].freed == 0
        later = Desk(store, "a", lambda: START + 31 * SECOND)
        assert later.serve_one(Collect(Collected()))[0].freed == 2
        (entry,) = [b for b in usage.read_blocks(store) if b.affinity == "host:a"]
        assert len(entry.unallocated) == 4


class TestReading:
    def test_utilization(self, store, desk):
        desk.serve_one(want("h", 3))
        write_reservation(store, "r", "10.0.0.15")
        write_block(store, used("192.0.2.0/30", None))
        uses = usage.utilization(store)
        assert [(u.name, u.capacity, u.in_use, u.reserved, u.available) for u in uses] == [
            ("p", 16, 3, 1, 12),
            ("orphaned allocation blocks", 0, 0, 0, 0),
        ]
        assert [b.cidr for b in uses[1].blocks] == ["192.0.2.0/30"]
        assert [u.name for u in usage.utilization(store, ["10.0.0.0/28"])] == ["p"]

    def test_whose_an_address_is(self, store, desk):
        (given, *_), _ = desk.serve_one(want("h"))[0].ipv4, None
        assert usage.holder_of(store, given.address).handle == "h"
        with pytest.raises(NotAllocated, match="is not assigned"):
            usage.holder_of(store, "10.0.0.15")
        with pytest.raises(NotAllocated):
            usage.holder_of(store, "192.0.2.1")
        write_config(store, cooldown_seconds=30)
        desk.serve_one(ReleaseHandle("h"))
        with pytest.raises(NotAllocated, match="cools down"):
            usage.holder_of(store, given.address)

    def test_settings(self, store):
        assert usage.read_settings(store).auto_allocate_blocks
        good = IpamConfig(strict_affinity=True, auto_allocate_blocks=True, max_blocks_per_host=2)
        usage.write_settings(store, good)
        assert usage.read_settings(store) == good

    @pytest.mark.parametrize(
        ("bad", "reason"),
        [
            (IpamConfig(), "exclude each other"),
            (IpamConfig(auto_allocate_blocks=True, max_blocks_per_host=1), "strict_affinity true"),
        ],
    )
    def test_settings_that_contradict_each_other(self, store, bad, reason):
        with pytest.raises(IpamError, match=reason):
            usage.write_settings(store, bad)
        with pytest.raises(NotFound):
            store.get("/calico/ipam/v2/config")
