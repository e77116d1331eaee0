"""Requests for addresses, one node after the other, at a datastore in memory."""

import pytest

from calico.core.ipam.block import attribute, new_block, take
from calico.core.ipam.reservations import Reserved
from calico.core.ipam.times import SECOND
from calico.core.model.keys import BlockKey, ResourceKey, path_of
from calico.datastore.client import Conflict, Delete, Put
from calico.datastore.memory import MemoryDatastore
from calico.ipam.affinities import Yield
from calico.ipam.assign import Assign, AssignAddress
from calico.ipam.desk import Desk
from calico.ipam.errors import IpamError, NoFreeAddress, Taken
from calico.ipam.release import Release, ReleaseAddresses, ReleaseHandle
from ipam_store import (
    read_affinity,
    read_block,
    read_handle,
    write_affinity,
    write_block,
    write_config,
    write_handle,
    write_node,
    write_pool,
    write_reservation,
)

START = 1_785_578_400 * SECOND
FIRST = "10.65.174.128/26"  # where node-a begins in 10.65.0.0/16


class Hands:
    """A clock that the test turns."""

    def __init__(self):
        self.time = START

    def __call__(self):
        self.time += 1
        return self.time


@pytest.fixture
def clock():
    return Hands()


@pytest.fixture
def store():
    store = MemoryDatastore()
    for name in ("node-a", "node-b"):
        write_node(store, name, rack=name[-1])
    return store


@pytest.fixture
def desks(store, clock):
    return {n: Desk(store, f"node-{n}", clock) for n in "ab"}


def want(handle="h", **more):
    return Assign(**{"handle": handle, "attributes": {}, "use": "Workload", "ipv4": 1, **more})


def addresses(desk, request):
    return [given.address for given in desk.serve_one(request)[0].all]


def refusal(desk, request):
    with pytest.raises(IpamError) as caught:
        desk.serve_one(request)
    return str(caught.value)


def full(cidr, owner):
    block = new_block(cidr, owner, START)
    return take(block, len(block.allocations), attribute("other", {}), Reserved())[0]


def test_a_node_begins_where_the_original_begins_and_fills_its_block(store, desks):
    write_pool(store, "p", "10.65.0.0/16")
    assert addresses(desks["a"], want("h1", ipv4=2)) == ["10.65.174.128", "10.65.174.129"]
    assert addresses(desks["a"], want("h2")) == ["10.65.174.130"]
    block = read_block(store, FIRST)
    assert block.affinity == "host:node-a"
    assert read_affinity(store, "node-a", FIRST) == "confirmed"
    assert read_handle(store, "h1") == {FIRST: 2}
    assert block.sequence_number == min(block.allocated_at.values()) + 2, "a write, one more"


def test_what_was_freed_is_used_last(store, desks):
    write_pool(store, "p", "10.0.0.0/29", 29)
    assert addresses(desks["a"], want("h", ipv4=2)) == ["10.0.0.0", "10.0.0.1"]
    desks["a"].serve_one(ReleaseHandle("h"))
    assert addresses(desks["a"], want("h2", ipv4=8))[-2:] == ["10.0.0.0", "10.0.0.1"]


def test_requests_served_together_share_one_commit(store, desks):
    write_pool(store, "p", "10.65.0.0/16")
    before = store.list("").revision
    answers = desks["a"].serve([want(f"h{i}") for i in range(20)])
    assert store.list("").revision == before + 1
    assert len({answer[0].ipv4[0].address for answer in answers}) == 20
    numbers = set(read_block(store, FIRST).allocated_at.values())
    assert len(numbers) == 1, "one write, one number"


def test_what_one_remembers_is_not_read_again(store, desks):
    write_pool(store, "p", "10.65.0.0/16")
    desks["a"].serve_one(want("h1"))
    calls = []

    class Counting:
        def __getattr__(self, name):
            calls.append(name)
            return getattr(store, name)

    desks["a"].store = counting = Counting()
    desks["a"].ledger._store = counting
    desks["a"].serve_one(want("h2"))
    assert calls == ["commit"], "which expects all that is remembered"


def test_what_changes_around_one_is_noticed_by_the_commit(store, desks):
    write_pool(store, "a", "10.0.0.0/28", 28)
    write_pool(store, "b", "10.1.0.0/28", 28)
    assert addresses(desks["a"], want("h1")) == ["10.0.0.0"]
    write_reservation(store, "r", "10.0.0.0/29")
    assert addresses(desks["a"], want("h2")) == ["10.0.0.8"]
    write_reservation(store, "r", "10.9.0.0/29")
    assert addresses(desks["a"], want("h3")) == ["10.0.0.1"]
    store.commit([Delete(path_of(ResourceKey("IPPool", "", "a")))])
    assert addresses(desks["a"], want("h4")) == ["10.1.0.0"]
    write_pool(store, "a", "10.2.0.0/28", 28)
    assert addresses(desks["a"], want("h5", ipv4_pools=("10.2.0.0/28",)))[0] == "10.2.0.0"


def test_that_nothing_is_to_be_done_is_not_said_from_memory(store, desks):
    write_pool(store, "mine", "10.9.0.0/28", 28)
    write_pool(store, "other", "10.0.0.0/26", 26)
    addresses(desks["a"], want("h1", ipv4_pools=("mine",)))
    store.commit([Delete(path_of(ResourceKey("IPPool", "", "other")))])
    write_pool(store, "other", "10.0.0.0/26", 30)
    (address,) = addresses(desks["b"], want("h2", ipv4_pools=("other",)))
    released, _ = desks["a"].serve_one(ReleaseAddresses((Release(address),)))
    assert released == ((address,), ())


def test_a_request_that_fails_does_not_fail_its_neighbours(store, desks):
    write_pool(store, "p", "10.0.0.0/30", 30)
    answers = desks["a"].serve([want("h1", ipv4=3), want("h2", ipv4=2), want("h3")])
    assert len(answers[0][0].ipv4) == 3
    assert isinstance(answers[1], NoFreeAddress)
    assert answers[2][0].ipv4[0].address == "10.0.0.3"
    assert read_handle(store, "h2") is None


def test_both_versions_or_none(store, desks):
    write_pool(store, "p", "10.0.0.0/30", 30)
    text = refusal(desks["a"], want(ipv6=1))
    assert text == "no configured Calico pools for node node-a: no IPv6 pool is configured"
    assert read_block(store, "10.0.0.0/30") is None
    write_pool(store, "six", "fd00::/120")
    found = addresses(desks["a"], want(ipv6=1))
    assert [":" in address for address in found] == [False, True]


def test_the_error_of_a_full_cluster_names_every_pool_and_why(store, desks):
    write_pool(store, "full", "10.0.0.0/30", 31)
    write_pool(store, "manual", "10.1.0.0/24", assignment_mode="Manual")
    write_pool(store, "off", "10.2.0.0/24", disabled=True)
    write_pool(store, "rack-b", "10.3.0.0/24", node_selector="rack == 'b'")
    write_pool(store, "tunnels", "10.4.0.0/24", allowed_uses=("Tunnel",))
    write_reservation(store, "r", "10.0.0.3")
    addresses(desks["a"], want("h", ipv4=3))
    text = refusal(desks["a"], want())
    for part in (
        "Assigned 0 out of 1 requested IPv4 addresses",
        "pool full (10.0.0.0/30) has no address left: all 2 blocks are claimed (2 by this node)",
        "with 1 free addresses, 1 addresses are reserved",
        "pool manual (10.1.0.0/24) is used only when named",
        "pool off (10.2.0.0/24) is disabled",
        "pool rack-b (10.3.0.0/24) does not select this node (nodeSelector rack == 'b')",
        "pool tunnels (10.4.0.0/24) is not for use Workload",
    ):
        assert part in text


def test_the_block_limit_forbids_claims_and_borrowing(store, desks):
    write_pool(store, "p", "10.0.0.0/28", 30)
    write_config(store, max_blocks_per_host=1)
    addresses(desks["a"], want("h", ipv4=4))
    addresses(desks["b"], want("b"))
    assert "limit of 1 blocks reached for this node" in refusal(desks["a"], want())
    write_config(store, max_blocks_per_host=3)
    assert "limit of 2 blocks" in refusal(desks["a"], want(ipv4=5, max_blocks=2))


def test_twenty_blocks_are_the_limit_unless_told_otherwise(store, desks):
    write_pool(store, "p", "10.0.0.0/24", 32)
    addresses(desks["a"], want("h", ipv4=20))
    assert "limit of 20 blocks" in refusal(desks["a"], want())


def test_borrowing_and_strict_affinity(store, desks):
    write_pool(store, "p", "10.0.0.0/30", 30)
    addresses(desks["a"], want("h"))
    write_config(store, strict_affinity=True)
    text = refusal(desks["b"], want("x"))
    assert "No more free affine blocks and strict affinity enabled" in text
    write_config(store)
    assert addresses(desks["b"], want("x")) == ["10.0.0.1"]
    assert read_block(store, "10.0.0.0/30").affinity == "host:node-a"
    assert read_affinity(store, "node-b", "10.0.0.0/30") is None


def test_without_auto_allocation_nothing_is_claimed(store, desks):
    write_pool(store, "p", "10.0.0.0/28", 30)
    write_config(store, strict_affinity=True, auto_allocate_blocks=False)
    assert "failed to find or claim a block" in refusal(desks["a"], want())
    write_affinity(store, "node-a", "10.0.0.4/30", "confirmed")
    write_block(store, new_block("10.0.0.4/30", "host:node-a", START))
    assert addresses(Desk(store, "node-a"), want()) == ["10.0.0.4"]


def test_an_empty_block_of_another_is_taken_over_once_it_is_a_minute_old(store, desks, clock):
    write_pool(store, "p", "10.0.0.0/31", 31)
    addresses(desks["a"], want("h"))
    desks["a"].serve_one(ReleaseHandle("h"))
    assert addresses(desks["b"], want("young")) == ["10.0.0.1"], "borrowed"
    desks["b"].serve_one(ReleaseHandle("young"))
    clock.time += 61 * SECOND
    assert addresses(desks["b"], want("old")) == ["10.0.0.0"], "a new block, from its front"
    assert read_block(store, "10.0.0.0/31").affinity == "host:node-b"
    assert read_affinity(store, "node-a", "10.0.0.0/31") is None
    assert read_affinity(store, "node-b", "10.0.0.0/31") == "confirmed"


def test_reservations_are_never_given(store, desks):
    write_pool(store, "p", "10.0.0.0/29", 31)
    write_reservation(store, "r", "10.0.0.0/30", "10.0.0.5")
    found = addresses(desks["a"], want("h", ipv4=3))
    assert sorted(found) == ["10.0.0.4", "10.0.0.6", "10.0.0.7"]
    assert read_block(store, "10.0.0.0/31") is None, "a block that is reserved whole is skipped"


def test_a_huge_reserved_span_is_stepped_over(store, desks):
    write_pool(store, "p", "fd00::/48")
    write_reservation(store, "r", "fd00::/49", "fd00:0:0:8000::/50")
    (address,) = addresses(desks["a"], want(ipv4=0, ipv6=1))
    assert address.startswith(("fd00:0:0:c", "fd00:0:0:d", "fd00:0:0:e", "fd00:0:0:f"))


def test_named_pools(store, desks):
    write_pool(store, "p", "10.0.0.0/24")
    write_pool(store, "manual", "10.1.0.0/24", assignment_mode="Manual")
    assert addresses(desks["a"], want(ipv4_pools=("manual",)))[0].startswith("10.1.0.")
    assert addresses(desks["a"], want(ipv4_pools=("10.1.0.0/24",)))[0].startswith("10.1.0.")
    text = refusal(desks["a"], want(ipv4_pools=("10.9.0.0/24",)))
    assert "the given pool (10.9.0.0/24) does not exist, or is not enabled" in text


def test_a_release_beside_a_failed_request_of_the_same_handle(store, desks):
    write_pool(store, "p", "10.0.0.0/31", 31)
    (address,) = addresses(desks["a"], want("h"))
    answers = desks["a"].serve([want("h", ipv4=9), ReleaseHandle("h")])
    assert isinstance(answers[0], NoFreeAddress)
    assert answers[1][0] == (address,)


def test_a_node_must_exist(store):
    write_pool(store, "p", "10.0.0.0/24")
    stranger = Desk(store, "node-x")
    assert "node node-x does not exist" in refusal(stranger, want())
    write_node(store, "node-x")
    assert addresses(stranger, want())


def test_services_need_no_node(store):
    write_pool(store, "lb", "10.0.0.0/24", allowed_uses=("LoadBalancer",))
    assert addresses(Desk(store, "any"), want(use="LoadBalancer"))
    assert read_block(store, "10.0.0.128/26").affinity == "virtual:load-balancer"


def test_namespace_labels_come_from_the_namespaces_profile(store, desks):
    write_pool(store, "p", "10.0.0.0/24", namespace_selector="team == 'a'")
    assert "does not select the namespace" in refusal(desks["a"], want(namespace="shop"))
    raw = (
        b'{"kind":"Profile","apiVersion":"projectcalico.org/v3","metadata":{"name":"kns.shop"},'
        b'"spec":{"labelsToApply":{"pcns.team":"a"}}}'
    )
    store.commit([Put(path_of(ResourceKey("Profile", "", "kns.shop")), raw)])
    assert addresses(desks["a"], want(namespace="shop"))


class TestOneGivenAddress:
    def ask(self, desk, *wanted, **more):
        request = AssignAddress(
            **{"addresses": wanted, "handle": "h", "attributes": {}, "use": "Workload", **more}
        )
        return addresses(desk, request)

    def test_its_block_is_claimed(self, store, desks):
        write_pool(store, "p", "10.0.0.0/24")
        assert self.ask(desks["a"], "10.0.0.77") == ["10.0.0.77"]
        assert read_affinity(store, "node-a", "10.0.0.64/26") == "confirmed"
        assert read_handle(store, "h") == {"10.0.0.64/26": 1}

    def test_taken_by_somebody(self, store, desks):
        write_pool(store, "p", "10.0.0.0/24")
        self.ask(desks["a"], "10.0.0.77")
        with pytest.raises(Taken, match=r"10.0.0.77 is already assigned"):
            self.ask(desks["b"], "10.0.0.77", handle="x")
        assert self.ask(desks["b"], "10.0.0.78", handle="x") == ["10.0.0.78"]

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("192.0.2.1", "not in a configured, enabled IP pool"),
            ("10.1.0.1", "not allowed for use Workload"),
            ("10.2.0.1", "not in a configured, enabled IP pool"),
            ("elephant", "not an IP address"),
        ],
    )
    def test_refused(self, store, desks, text, reason):
        write_pool(store, "p", "10.1.0.0/24", allowed_uses=("Tunnel",))
        write_pool(store, "off", "10.2.0.0/24", disabled=True)
        with pytest.raises(IpamError, match=reason):
            self.ask(desks["a"], text)

    def test_strict_affinity(self, store, desks):
        write_pool(store, "p", "10.0.0.0/24")
        self.ask(desks["a"], "10.0.0.77")
        write_config(store, strict_affinity=True)
        with pytest.raises(IpamError, match="not affine to node-b"):
            self.ask(desks["b"], "10.0.0.78")

    def test_reservations_do_not_apply(self, store, desks):
        write_pool(store, "p", "10.0.0.0/24")
        write_reservation(store, "r", "10.0.0.0/24")
        assert self.ask(desks["a"], "10.0.0.77") == ["10.0.0.77"]


class TestWhatOthersLeave:
    """The steps of the original's claims and releases, each as if it had died there."""

    @pytest.fixture(autouse=True)
    def pool(self, store):
        write_pool(store, "p", "10.65.0.0/16")

    @pytest.mark.parametrize("state", ["pending", "pendingDeletion", "confirmed", ""])
    def test_an_affinity_without_its_block(self, store, desks, state):
        write_affinity(store, "node-a", "10.65.1.0/26", state)
        assert addresses(desks["a"], want()) == ["10.65.1.0"]
        assert read_affinity(store, "node-a", "10.65.1.0/26") == "confirmed"
        assert read_block(store, "10.65.1.0/26").affinity == "host:node-a"

    @pytest.mark.parametrize("state", ["pending", "pendingDeletion"])
    def test_an_affinity_that_was_not_confirmed(self, store, desks, state):
        write_affinity(store, "node-a", "10.65.1.0/26", state)
        write_block(store, new_block("10.65.1.0/26", "host:node-a", START))
        assert addresses(desks["a"], want()) == ["10.65.1.0"]
        assert read_affinity(store, "node-a", "10.65.1.0/26") == "confirmed"
        assert read_block(store, "10.65.1.0/26").sequence_number == START + 1

    @pytest.mark.parametrize("owner", ["host:node-b", None])
    def test_a_stale_affinity(self, store, desks, owner):
        write_affinity(store, "node-a", "10.65.1.0/26", "pending")
        write_block(store, new_block("10.65.1.0/26", owner, START))
        assert addresses(desks["a"], want()) == ["10.65.174.128"]
        assert read_affinity(store, "node-a", "10.65.1.0/26") is None
        assert read_block(store, "10.65.1.0/26").affinity == owner

    def test_a_block_without_its_affinity(self, store, desks):
        write_block(store, new_block(FIRST, "host:node-a", START))
        assert addresses(desks["a"], want()) == ["10.65.174.128"]
        assert read_affinity(store, "node-a", FIRST) == "confirmed"

    def test_a_block_that_cannot_be_read_is_left_alone(self, store, desks):
        path = path_of(BlockKey(FIRST))
        store.commit([Put(path, b"{broken")])
        assert addresses(desks["a"], want()) == ["10.65.174.192"]
        assert store.get(path).value == b"{broken"

    def test_another_process_of_this_node_takes_addresses_meanwhile(self, store, desks, clock):
        addresses(desks["a"], want("h1"))
        other = Desk(store, "node-a", clock)
        assert addresses(other, want("h2")) == ["10.65.174.129"]
        assert addresses(desks["a"], want("h3")) == ["10.65.174.130"]

    def test_somebody_releases_our_block_meanwhile(self, store, desks, clock):
        addresses(desks["a"], want("h1"))
        desks["a"].serve_one(ReleaseHandle("h1"))
        clock.time += 100 * SECOND
        thief = Desk(store, "node-b", clock)
        write_pool(store, "p", "10.65.174.128/26")
        assert addresses(thief, want("t")) == ["10.65.174.128"]
        assert addresses(desks["a"], want("h3")) == ["10.65.174.129"], "borrowed back"
        assert read_affinity(store, "node-a", FIRST) is None

    def test_a_pool_no_longer_selects_the_node(self, store, desks):
        addresses(desks["a"], want("h1"))
        desks["a"].serve_one(ReleaseHandle("h1"))
        write_pool(store, "p", "10.65.0.0/16", node_selector="rack == 'b'")
        write_pool(store, "q", "10.66.0.0/16")
        assert addresses(desks["a"], want("h2"))[0].startswith("10.66.")
        assert read_block(store, FIRST) is None
        assert read_affinity(store, "node-a", FIRST) is None


class TestTheRequestersOwnRecords:
    def also(self, store, expected):
        def changes(assignment):
            text = ",".join(given.address for given in assignment.all)
            return [Put("/endpoint", text.encode(), expected)]

        return changes

    def test_are_committed_with_the_addresses(self, store, desks):
        write_pool(store, "p", "10.0.0.0/24")
        _, revision = desks["a"].serve_one(want(also=self.also(store, 0)))
        assert store.get("/endpoint").value == b"10.0.0.128"
        assert store.get("/endpoint").revision == revision

    def test_a_conflict_about_them_is_the_requesters(self, store, desks):
        write_pool(store, "p", "10.0.0.0/24")
        store.commit([Put("/endpoint", b"somebody's")])
        answers = desks["a"].serve([want("h1"), want("h2", also=self.also(store, 0)), want("h3")])
        assert isinstance(answers[1], Conflict)
        assert read_handle(store, "h2") is None
        taken = [answer[0].ipv4[0].address for answer in (answers[0], answers[2])]
        assert taken == ["10.0.0.128", "10.0.0.129"]


class TestRelease:
    @pytest.fixture(autouse=True)
    def pool(self, store):
        write_pool(store, "p", "10.0.0.0/28", 29)

    def test_by_handle_over_several_blocks(self, store, desks):
        found = addresses(desks["a"], want("h", ipv4=10))
        freed, _ = desks["a"].serve_one(ReleaseHandle("h"))
        assert set(freed) == set(found)
        assert read_handle(store, "h") is None
        assert read_affinity(store, "node-a", "10.0.0.0/29") == "confirmed"

    def test_a_count_that_is_too_high_and_a_block_that_is_gone(self, store, desks):
        addresses(desks["a"], want("h"))
        (cidr,) = read_handle(store, "h")
        write_handle(store, "h", **{cidr: 5, "10.9.9.0/29": 1})
        assert len(desks["a"].serve_one(ReleaseHandle("h"))[0]) == 1
        assert read_handle(store, "h") is None

    def test_the_last_address_of_nobodys_block_takes_the_block_along(self, store, desks):
        (address,) = addresses(desks["a"], want("h"))
        (cidr,) = read_handle(store, "h")
        assert desks["a"].serve_one(Yield("host:node-a", cidr))[0] == "released"
        assert read_block(store, cidr).affinity is None
        request = ReleaseAddresses((Release(address), Release("10.0.0.15")))
        assert desks["b"].serve_one(request)[0] == ((address,), ("10.0.0.15",))
        assert read_block(store, cidr) is None
        assert read_handle(store, "h") is None

    def test_only_the_allocation_that_was_meant(self, store, desks):
        (address,) = addresses(desks["a"], want("h"))
        block = read_block(store, "10.0.0.0/29") or read_block(store, "10.0.0.8/29")
        number = block.allocated_at["0"]
        for release in (Release(address, sequence_number=number + 1), Release(address, "other")):
            assert refusal(desks["a"], ReleaseAddresses((release,)))
        good = Release(address, "h", number)
        assert desks["a"].serve_one(ReleaseAddresses((good,)))[0] == ((address,), ())

    def test_an_address_in_no_pool_is_found_among_all_blocks(self, store, desks):
        write_block(store, full("192.0.2.0/30", "host:node-a"))
        request = ReleaseAddresses((Release("192.0.2.1"), Release("198.51.100.1")))
        assert desks["b"].serve_one(request)[0] == (("192.0.2.1",), ("198.51.100.1",))

    def test_cooldown(self, store, desks, clock):
        write_config(store, cooldown_seconds=30)
        (address,) = addresses(desks["a"], want("h"))
        desks["a"].serve_one(ReleaseHandle("h"))
        with pytest.raises(Taken):
            desks["a"].serve_one(
                AssignAddress(addresses=(address,), handle="x", attributes={}, use=None)
            )
        assert len(addresses(desks["a"], want("y", ipv4=15))) == 15
        assert "no address left" in refusal(desks["a"], want("z"))
        clock.time += 31 * SECOND
        assert addresses(desks["a"], want("z")) == [address]


def test_the_tests_own_full_block_is_full():
    assert full("10.0.0.0/30", "host:a").unallocated == ()
