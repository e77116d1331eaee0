"""A whole cluster inside: what packets do there is what policy says."""

import pytest

from .conftest import run_vm

pytestmark = [pytest.mark.slow, pytest.mark.netns, pytest.mark.etcd, pytest.mark.bird]

STORY = """\
set -e
export CALICO_LAB_DIR=/run/lab
lab=.venv/bin/calico-lab
$lab up examples/three-nodes.yaml --config examples/config.yaml
$lab down
test ! -e /run/lab && echo nothing left
"""


def test_measured_is_computed(kernel):
    status, out, err = run_vm("sh", "-c", STORY, seconds=900)
    assert status == 0, out + err
    assert "measured = computed in all" in out
    assert out.endswith("nothing left\n")
