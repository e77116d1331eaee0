"""Waiting for the real world, with a deadline and never by a fixed sleep."""

import time


def wait_until(is_so, seconds=20.0, what=""):
    """Return the first true answer of `is_so`; fail after the deadline."""
    until = time.monotonic() + seconds
    while not (answer := is_so()):
        assert time.monotonic() < until, f"still not so after {seconds:g} s: {what or is_so}"
        time.sleep(0.01)
    return answer
