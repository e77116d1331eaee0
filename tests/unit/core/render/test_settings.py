import pytest

from calico.core.nftables.vocabulary import Limit
from calico.core.render.settings import RenderSettings, log_limit


@pytest.mark.parametrize(
    ("mask", "accept", "pass_"),
    [(0xFFFF0000, 0x10000, 0x20000), (0x88, 0x8, 0x80), (0xC0000000, 0x40000000, 0x80000000)],
)
def test_marks_are_the_lowest_bits_of_the_mask(mask, accept, pass_):
    settings = RenderSettings(mark_mask=mask)
    assert (settings.accept_mark, settings.pass_mark) == (accept, pass_)


@pytest.mark.parametrize(
    ("rate", "expected"),
    [
        ("10/minute", Limit(10, "minute", 7)),
        ("1/day", Limit(1, "day", 7)),
        ("", None),
        ("0/second", None),
        ("x/second", None),
        ("5/fortnight", None),
    ],
)
def test_log_limit(rate, expected):
    assert log_limit(rate, 7) == expected
