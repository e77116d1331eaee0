"""The order of blocks is the original's: its own vectors, and a second way to the same numbers."""

from ipaddress import ip_network

import pytest

from calico.core.ipam import walk


@pytest.mark.parametrize(
    ("name", "seed", "of_1024", "of_16"),
    [
        ("node-a", 568266999, 698, 10),
        ("node-b", 568266996, 873, 9),
        ("worker1.example.com", 633455105, 410, 9),
        ("k8s-worker-0", 1549347833, 118, 3),
        ("load-balancer", 4270604816, 586, None),
    ],
)
def test_a_node_starts_where_the_original_does(name, seed, of_1024, of_16):
    assert walk.seed_of(name) == seed
    assert walk.start_index(seed, 1024) == of_1024
    if of_16 is not None:
        assert walk.start_index(seed, 16) == of_16


def test_a_pool_of_one_block_has_one_start():
    assert walk.start_index(walk.seed_of("node-a"), 1) == 0


def test_a_start_may_need_more_than_one_draw():
    blocks = 1 << 74  # an IPv6 pool of /48 in blocks of /122
    start = walk.start_index(walk.seed_of("node-a"), blocks)
    assert 1 << 60 < start < blocks


def test_the_powers_of_x_are_those_of_the_recurrence():
    """s[n + k] is what the polynomial x^k makes of s[n], s[n + 1] ..."""
    numbers = [(i * 2654435761) % (1 << 64) for i in range(607)]
    while len(numbers) < 4000:
        numbers.append((numbers[-607] + numbers[-273]) % (1 << 64))
    for exponent in (1, 606, 607, 608, 2000):
        coefficients = walk._unpack(walk._power_of_x(exponent), 607)
        combined = sum(c * s for c, s in zip(coefficients, numbers, strict=False))
        assert combined % (1 << 64) == numbers[exponent], exponent


def test_blocks_by_index():
    pool = ip_network("10.65.0.0/16")
    assert walk.count_blocks(pool, 26) == 1024
    assert str(walk.block_at(pool, 26, 698)) == "10.65.174.128/26"
    assert walk.index_of(pool, 26, ip_network("10.65.174.128/26")) == 698
    assert walk.count_blocks(ip_network("10.65.0.0/27"), 26) == 0
