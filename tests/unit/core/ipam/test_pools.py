"""Which pools a request may use, and the sentence for each that it may not."""

import pytest

from calico.core.ipam.pools import PoolRequest, choose, unknown_pools, usable_pool
from calico.core.model.metadata import Condition, Metadata
from calico.core.model.pool import IPPool, IPPoolSpec, IPPoolStatus

RACK_1 = {"rack": "1"}


def pool(name="p", cidr="10.0.0.0/16", conditions=(), deleted=None, **spec):
    return usable_pool(
        IPPool(
            metadata=Metadata(name=name, deletion_timestamp=deleted),
            spec=IPPoolSpec(cidr=cidr, **spec),
            status=IPPoolStatus(conditions=conditions),
        )
    )


@pytest.mark.parametrize(
    ("why_not", "candidate"),
    [
        ("", pool()),
        ("", pool(node_selector="rack == '1'")),
        ("", pool(namespace_selector="team == 'a'")),
        ("is disabled", pool(disabled=True)),
        ("is being deleted", pool(deleted="2026-08-01T10:00:00Z")),
        ("not allocatable", pool(conditions=(Condition(type="Allocatable", status="False"),))),
        ("", pool(conditions=(Condition(type="Allocatable", status="True"),))),
        ("does not select this node (nodeSelector rack == '2')", pool(node_selector="rack == '2'")),
        ("does not select this node", pool(node_selector="rack ==")),
        ("does not select the namespace", pool(namespace_selector="team == 'b'")),
        ("only when named", pool(assignment_mode="Manual")),
        ("is not for use Workload (allowedUses Tunnel)", pool(allowed_uses=("Tunnel",))),
    ],
)
def test_choice(why_not, candidate):
    request = PoolRequest(4, "Workload", namespace_labels={"team": "a"})
    choice = choose([candidate], request, RACK_1)
    if why_not:
        assert choice.pools == ()
        assert why_not in choice.refused[0][1]
    else:
        assert choice.pools == (candidate,)


def test_naming_a_pool_overrides_its_selectors_but_not_that_it_is_disabled():
    manual = pool("m", node_selector="rack == '2'", assignment_mode="Manual")
    off = pool("off", "10.1.0.0/16", disabled=True)
    request = PoolRequest(4, "Workload", named=("10.0.0.0/16", "off"))
    assert choose([manual, off], request, RACK_1).pools == (manual,)


def test_named_pools_are_tried_in_the_order_they_are_named():
    one, two = pool("one"), pool("two", "10.1.0.0/16")
    request = PoolRequest(4, "Workload", named=("two", "one"))
    assert choose([one, two], request, {}).pools == (two, one)


def test_a_name_that_no_pool_of_the_version_bears():
    pools = [pool("one"), pool("six", "fd00::/64")]
    request = PoolRequest(4, "Workload", named=("one", "six", "10.9.0.0/16"))
    assert unknown_pools(pools, request) == ("six", "10.9.0.0/16")


def test_defaults():
    assert pool().block_size == 26
    assert pool(cidr="fd00::/64").block_size == 122
    assert pool(block_size=29).block_size == 29
    assert pool(cidr="nonsense") is None
