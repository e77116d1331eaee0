"""What the CNI service may expect of whoever enforces endpoints: the loop, and its fake."""

import pytest

from calico.cni.gate import OpenGate
from calico.core.intent.keys import EndpointKey
from calico.felix.in_force import InForce

KEY = EndpointKey("k8s", "shop/web-0", "eth0")


def enforcing():
    gate = InForce()
    gate.set_blocked("")
    gate.set_applied({KEY: 7}, ())
    return gate


def forgotten():
    gate = enforcing()
    gate.set_applied({}, (KEY,))
    return gate


@pytest.mark.parametrize("gate", [OpenGate(), enforcing()], ids=["fake", "real"])
@pytest.mark.parametrize("revision", [7, 3])
def test_in_force_at_a_revision_or_later_is_none(gate, revision):
    assert gate.wait_until_in_force(KEY, revision, 0.1) is None


@pytest.mark.parametrize("gate", [OpenGate(), forgotten()], ids=["fake", "real"])
def test_gone_is_none(gate):
    assert gate.wait_until_gone(KEY, 0.1) is None


def test_what_is_not_so_in_time_has_a_reason():
    assert "0.01 s" in enforcing().wait_until_in_force(KEY, 8, 0.01)
    assert enforcing().wait_until_gone(KEY, 0.01)
    assert InForce().wait_until_gone(KEY, 0.01), "an agent that has not looked cannot say gone"
