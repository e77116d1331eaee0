"""Links and addresses against a real kernel, with `ip` as the oracle."""

import json

import pytest

from calico.kernel.addresses import Address, Addresses
from calico.kernel.links import Links, Peer, Vxlan
from calico.kernel.netlink import KernelError
from calico.kernel.netns import inside
from calico.kernel.run import run

pytestmark = pytest.mark.netns


def ip(*args):
    return json.loads(run(["ip", "-d", "-j", *args]) or "[]")


@pytest.fixture
def links(netns):
    with Links() as opened:
        yield opened


@pytest.fixture
def addresses(netns):
    with Addresses() as opened:
        yield opened


def test_lists_what_ip_lists(links):
    links.create_bridge("br0", mtu_bytes=1400, mac="02:00:00:00:00:aa")
    links.create_veth("v0", Peer("v1", mac="02:00:00:00:00:01"), mtu_bytes=1300, up=True)
    links.set_up("v1")
    links.change("v0", master=links.get("br0").index)
    mine = links.list()
    theirs = {link["ifname"]: link for link in ip("link")}
    assert set(mine) == set(theirs) == {"lo", "br0", "v0", "v1"}
    for name, link in mine.items():
        assert link.index == theirs[name]["ifindex"]
        assert link.mac == theirs[name]["address"]
        assert link.mtu_bytes == theirs[name]["mtu"]
        assert link.is_up == ("UP" in theirs[name]["flags"])
        assert link.kind == theirs[name].get("linkinfo", {}).get("info_kind", "")
    assert theirs["v0"]["master"] == "br0"
    assert mine["v0"].master == mine["br0"].index
    assert mine["v0"].parent == mine["v1"].index
    assert mine["v0"].is_running
    assert not mine["br0"].is_up
    assert links.get("v0") == mine["v0"]
    assert links.get("nothing") is None


def test_a_pair_with_one_end_in_another_namespace(links, make_namespace):
    pod = make_namespace()
    peer = Peer("eth0", pod, mac="02:00:00:00:00:05", queues=3)
    links.create_veth("cali0", peer, mtu_bytes=1450, mac="ee:ee:ee:ee:ee:ee", up=True)
    assert set(links.list()) == {"lo", "cali0"}
    assert links.get("cali0").mac == "ee:ee:ee:ee:ee:ee"
    assert links.get("cali0").is_up
    assert not links.get("cali0").is_running
    with inside(pod), Links() as there:
        there.set_up("eth0")
        eth0 = there.get("eth0")
    assert (eth0.mac, eth0.mtu_bytes, eth0.is_up) == ("02:00:00:00:00:05", 1450, True)
    assert links.get("cali0").is_running
    with inside(pod):
        [far] = json.loads(run(["ip", "-j", "-d", "link", "show", "eth0"]))
    [near] = json.loads(run(["ip", "-j", "-d", "link", "show", "cali0"]))
    assert {each[way] for each in (near, far) for way in ("num_tx_queues", "num_rx_queues")} == {3}
    links.delete("cali0")
    links.delete("cali0")
    with inside(pod), Links() as there:
        assert set(there.list()) == {"lo"}


def test_a_name_that_is_taken(links):
    links.create_bridge("br0")
    with pytest.raises(KernelError, match="create veth br0: File exists"):
        links.create_veth("br0", Peer("v1"))


def test_up_and_down(links):
    links.create_bridge("br0")
    links.set_up("br0")
    assert links.get("br0").is_up
    links.set_up("br0", "down")
    assert not links.get("br0").is_up
    with pytest.raises(KernelError, match="No such device"):
        links.set_up("nothing")


def test_move_and_rename(links, make_namespace):
    pod = make_namespace()
    links.create_veth("v0", Peer("v1"))
    links.move("v1", pod, "eth0")
    assert set(links.list()) == {"lo", "v0"}
    with inside(pod), Links() as there:
        assert set(there.list()) == {"lo", "eth0"}
    with pytest.raises(KernelError, match="No such device"):
        links.move("v1", pod)


def test_change_mac_and_mtu(links):
    links.create_bridge("br0")
    links.change("br0", mac="02:00:00:00:00:09", mtu_bytes=1280)
    link = links.get("br0")
    assert (link.mac, link.mtu_bytes) == ("02:00:00:00:00:09", 1280)


@pytest.mark.parametrize("local", ["192.0.2.1", "2001:db8::1"])
def test_vxlan(links, local):
    links.create_bridge("br0")
    parent = links.get("br0").index
    mac = "66:00:00:00:00:01"
    vxlan = Vxlan(vni=4096, port=4789, local=local, parent=parent, mac=mac)
    links.create_vxlan("vxlan.calico", vxlan, mtu_bytes=1400)
    shown = ip("link", "show", "vxlan.calico")[0]
    parameters = shown["linkinfo"]["info_data"]
    assert (parameters["id"], parameters["port"], parameters["link"]) == (4096, 4789, "br0")
    assert parameters["local" if "." in local else "local6"] == local
    assert parameters["learning"] is False
    assert (shown["address"], shown["mtu"]) == (mac, 1400)


def test_addresses(links, addresses):
    links.create_bridge("br0")
    links.set_up("br0")
    br0 = links.get("br0").index
    for address in ("192.0.2.1/24", "2001:db8::1/64"):
        addresses.add(br0, address)
        addresses.add(br0, address)
    addresses.add(br0, "169.254.7.7/32", "link")
    shown = {
        (f"{one['local']}/{one['prefixlen']}", one["scope"])
        for one in ip("address", "show", "br0")[0]["addr_info"]
    }
    assert {("192.0.2.1/24", "global"), ("169.254.7.7/32", "link")} < shown
    mine = addresses.list(br0)
    assert Address(br0, "192.0.2.1/24") in mine
    assert Address(br0, "2001:db8::1/64") in mine, "not tentative"
    assert Address(br0, "169.254.7.7/32", "link") in mine
    assert {one.index for one in mine} == {br0}
    assert Address(1, "127.0.0.1/8", "host") in addresses.list()
    for _ in range(2):
        addresses.delete(br0, "192.0.2.1/24")
        addresses.delete(br0, "2001:db8::1/64")
    assert {one.address for one in addresses.list(br0)} & {
        "192.0.2.1/24",
        "2001:db8::1/64",
    } == set()
    with pytest.raises(KernelError, match="No such device"):
        addresses.add(99, "192.0.2.9/32")
