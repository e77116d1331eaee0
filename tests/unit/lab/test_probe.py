"""What probing needs and no network shows: ports that are not used twice."""

from calico.lab.probe import FIRST_PORT, LAST_PORT, Ports


def test_ports_are_not_given_twice_also_across_commands(tmp_path):
    first, count = Ports(tmp_path / "ports"), 7
    taken = [first.take(count), first.take(count), Ports(tmp_path / "ports").take(count)]
    assert taken == [FIRST_PORT, FIRST_PORT + count, FIRST_PORT + 2 * count]


def test_ports_start_again_only_at_the_end(tmp_path):
    ports, count = Ports(tmp_path / "ports"), 5_000
    taken = [ports.take(count) for _ in range(6)]
    assert taken[:4] == [FIRST_PORT + count * number for number in range(4)]
    assert taken[4] == FIRST_PORT
    assert all(first + count - 1 <= LAST_PORT for first in taken)
