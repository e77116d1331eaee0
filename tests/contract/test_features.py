"""What the kernel can do, by our probe and by what `ip` manages."""

import pytest

from calico.kernel.features import LINK_KINDS, probe
from calico.kernel.run import ProgramFailed, run

PARAMETERS = {"vxlan": ["id", "5", "dstport", "4789"], "veth": ["peer", "name", "p"]}


def ip_knows(kind):
    try:
        run(["ip", "link", "add", "x", "type", kind, *PARAMETERS.get(kind, [])])
    except ProgramFailed as error:
        return "Unknown device type" not in str(error)
    run(["ip", "link", "delete", "x"])
    return True


@pytest.mark.netns
def test_finds_what_ip_finds(netns):
    found = probe()
    for kind in LINK_KINDS:
        assert (kind in found.link_kinds) == ip_knows(kind), kind
    assert {"veth", "bridge"} <= found.link_kinds
    assert found.nftables
    assert found.conntrack


@pytest.mark.netns
def test_leaves_nothing_behind(netns):
    before = run(["ip", "-o", "link"])
    probe()
    assert run(["ip", "-o", "link"]) == before
    assert run(["nft", "list", "ruleset"]) == ""
