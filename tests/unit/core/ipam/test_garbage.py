"""Utilization, leaks, reservations, times."""

from ipaddress import ip_network

from calico.core.ipam.block import attribute, new_block, take
from calico.core.ipam.garbage import leaks, utilization
from calico.core.ipam.pools import Pool
from calico.core.ipam.reservations import Reserved
from calico.core.ipam.times import go_time, parse_rfc3339, rfc3339

NOW = 1_785_578_400_500_000_000
NOTHING = Reserved()


def block(cidr, *holders, owner="host:a"):
    made = new_block(cidr, owner, NOW)
    for holder in holders:
        made, _ = take(made, 1, holder, NOTHING)
    return made


def test_a_pool_is_counted_whole_and_reservations_as_a_set():
    pool = Pool("p", ip_network("10.0.0.0/24"), 28)
    reserved = Reserved(["10.0.0.0/30", "10.0.0.2", " 10.0.0.240/28", "nonsense", ""])
    used = block("10.0.0.0/28", *[attribute("h", {})] * 5)
    elsewhere = block("172.16.0.0/30", attribute("h", {}))
    uses = utilization([pool], [used, elsewhere], reserved, with_orphans=True)
    assert (uses[0].capacity, uses[0].in_use, uses[0].reserved) == (256, 5, 20)
    # 240 outside the block, 16 of them reserved; 11 inside, none of the free ones reserved
    assert uses[0].available == 240 - 16 + 11
    assert uses[0].blocks[0].reserved == 4
    assert uses[1].name == "orphaned allocation blocks"
    assert [b.cidr for b in uses[1].blocks] == ["172.16.0.0/30"]
    assert uses[1].capacity == 0


def test_a_leak_is_a_workload_address_that_nobody_knows():
    holders = [
        attribute("net.alive", {"node": "a"}),
        attribute("net.gone", {"node": "a"}),
        attribute("net.moved", {"node": "b"}),
        attribute("vxlan-tunnel-addr-a", {"node": "a", "type": "vxlanTunnelAddress"}),
    ]
    found = leaks([block("10.0.0.0/28", *holders)], "a", {"alive"}, set())
    assert [(leak.address, leak.sequence_number) for leak in found] == [("10.0.0.1", NOW)]
    assert leaks([block("10.0.0.0/28", *holders)], "a", {"alive"}, {"10.0.0.1"}) == []


def test_two_halves_cover_a_whole():
    reserved = Reserved(["10.0.0.0/27", "10.0.0.32/27"])
    assert reserved.covering(ip_network("10.0.0.0/26")) is not None
    assert reserved.covering(ip_network("10.0.0.0/25")) is None
    assert reserved.overlaps(ip_network("10.0.0.0/25"))


def test_times():
    assert rfc3339(NOW) == "2026-08-01T10:00:00Z"
    assert parse_rfc3339("2026-08-01T12:00:00+02:00") == 1_785_578_400_000_000_000
    assert parse_rfc3339("soon") == 0
    assert go_time(NOW) == "2026-08-01 10:00:00.5 +0000 UTC"
    assert go_time(1_785_578_400_000_000_000) == "2026-08-01 10:00:00 +0000 UTC"
