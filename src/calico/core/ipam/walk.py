"""In which order a node looks for a block in a pool.

    node name --FNV--> seed --Go's generator--> start index, then upwards with wrap-around

One node always starts at the same place, and different nodes at different ones, so that they
seldom want the same block. Any start would do; this is the original's, bit for bit.

Go's generator adds two of its last 607 numbers, s[n] = s[n-607] + s[n-273] modulo 2^64. Its seed
is mixed with a table: the numbers it gives after 7.8 million million steps. We compute that table:
a step is a multiplication by x modulo x^607 - x^334 - 1, so all of them are one power of x. A
polynomial is one long integer, a coefficient a slot of it, so a product is one multiplication.

Source: shared/spec datastore-etcd 1.9.5; math/rand of the Go library, gen_cooked.go and rng.go.
"""

from collections.abc import Iterator
from functools import cache
from ipaddress import IPv4Network, IPv6Network

from calico.core.ipam.reservations import Network

_LENGTH, _TAP = 607, 273
_STEPS = 7_800_000_000_000
_WORD = (1 << 64) - 1
_SLOT = 144  # bits; holds a few sums of 607 products of 64-bit numbers
_LOW_WORDS = sum(_WORD << (_SLOT * i) for i in range(_LENGTH))


def seed_of(owner: str) -> int:
    """Hash a node's name: FNV-1, 32 bits."""
    digest = 0x811C9DC5
    for byte in owner.encode():
        digest = (digest * 0x01000193 & 0xFFFFFFFF) ^ byte
    return digest


def start_index(seed: int, blocks: int) -> int:
    """Draw the index of the first block to look at, of so many (at least 1)."""
    bits = blocks.bit_length()
    draws = _draws(seed)
    while True:
        # Go fills whole 64-bit words, low half first, before it cuts to size
        candidate = sum(next(draws) << shift for shift in range(0, -(-bits // 64) * 64, 32))
        candidate &= (1 << bits) - 1
        if candidate < blocks:
            return candidate


def count_blocks(pool: Network, block_size: int) -> int:
    """Count the blocks of a pool; 0 if even one would not fit."""
    return 1 << (block_size - pool.prefixlen) if block_size >= pool.prefixlen else 0


def block_at(pool: Network, block_size: int, index: int) -> Network:
    """Give the block at a place of the pool."""
    start = int(pool.network_address) + (index << (pool.max_prefixlen - block_size))
    return (
        IPv4Network((start, block_size)) if pool.version == 4 else IPv6Network((start, block_size))
    )


def index_of(pool: Network, block_size: int, block: Network) -> int:
    """Give the place in the pool at which a block begins."""
    offset = int(block.network_address) - int(pool.network_address)
    return offset >> (pool.max_prefixlen - block_size)


def _draws(seed: int) -> Iterator[int]:
    """Yield what Go's rand.Uint32 gives."""
    state = [a ^ b for a, b in zip(_words(seed, 40, 20), _table(), strict=True)]
    step = 0
    while True:
        step += 1
        feed = (_LENGTH - _TAP - step) % _LENGTH
        state[feed] = (state[feed] + state[-step % _LENGTH]) & _WORD
        yield (state[feed] & (_WORD >> 1)) >> 31


def _words(seed: int, first_shift: int, second_shift: int) -> list[int]:
    """Spread a seed over 607 words, three draws of a small generator each."""
    modulus = (1 << 31) - 1
    x = seed % modulus or 89482311
    numbers = []
    for _ in range(20 + 3 * _LENGTH):
        x = x * 48271 % modulus
        numbers.append(x)
    triples = zip(*(iter(numbers[20:]),) * 3, strict=True)
    return [(a << first_shift ^ b << second_shift ^ c) & _WORD for a, b, c in triples]


@cache
def _table() -> list[int]:
    """Compute the table; once in a process, about a tenth of a second."""
    words = _words(1, 20, 10)
    places = [(_LENGTH - _TAP - n) % _LENGTH for n in range(1, 2 * _LENGTH + 1)]
    numbers = [words[place] for place in places[:_LENGTH]]
    for n in range(_LENGTH, 2 * _LENGTH):
        numbers.append((numbers[n - _LENGTH] + numbers[n - _TAP]) & _WORD)
    # s[steps + m] = sum of c[i] * s[i + m]: a product with the coefficients reversed
    coefficients = _unpack(_power_of_x(_STEPS), _LENGTH)
    product = _pack(coefficients[::-1]) * _pack(numbers)
    later = _unpack(product, 2 * _LENGTH)[_LENGTH - 1 :]
    table = [0] * _LENGTH
    for m in range(_LENGTH):
        table[places[m] - _STEPS % _LENGTH] = later[m]
    return table


def _power_of_x(exponent: int) -> int:
    """Give x to the power of `exponent`, modulo the recurrence's polynomial."""
    result = 1
    for bit in f"{exponent:b}":
        result = _reduced(result * result)
        if bit == "1":
            result = _reduced(result << _SLOT)
    return result


def _reduced(polynomial: int) -> int:
    """Replace x^607 by x^334 + 1 until the degree is below 607."""
    width = _SLOT * _LENGTH
    while high := polynomial >> width:
        polynomial &= (1 << width) - 1
        polynomial += high + (high << _SLOT * (_LENGTH - _TAP))
    return polynomial & _LOW_WORDS


def _pack(coefficients: list[int]) -> int:
    return int.from_bytes(
        b"".join(c.to_bytes(_SLOT // 8, "little") for c in coefficients), "little"
    )


def _unpack(polynomial: int, count: int) -> list[int]:
    raw = polynomial.to_bytes(_SLOT // 8 * (2 * _LENGTH + _LENGTH), "little")
    return [
        int.from_bytes(raw[i * _SLOT // 8 : i * _SLOT // 8 + 8], "little") for i in range(count)
    ]
