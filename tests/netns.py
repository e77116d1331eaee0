"""Network namespaces for tests: nameless ones, which cannot outlive the test.

@pytest.mark.netns
def test_x(netns):            the test itself runs inside a fresh namespace, lo up
def test_y(make_namespace):   several of them, entered with calico.kernel.netns.inside
"""

import os

import pytest

from calico.kernel import netns as namespaces
from calico.kernel.run import run


def require_root():
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root")


def raise_loopback():
    run(["ip", "link", "set", "lo", "up"])


@pytest.fixture
def make_namespace():
    """Return a function that makes one more namespace and returns its descriptor."""
    require_root()
    made = []

    def make():
        made.append(namespaces.create())
        with namespaces.inside(made[-1]):
            raise_loopback()
        return made[-1]

    yield make
    for descriptor in made:
        os.close(descriptor)


@pytest.fixture
def netns(make_namespace):
    """Run the test inside a fresh namespace; the value is its descriptor."""
    descriptor = make_namespace()
    with namespaces.inside(descriptor):
        yield descriptor
