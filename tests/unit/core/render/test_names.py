import pytest

from calico.core.intent.keys import PolicyKey
from calico.core.render.names import (
    ProfileKey,
    comment,
    endpoint_chain,
    limited,
    owner_interface,
    policy_id,
    rules_chain,
    set_name,
)


@pytest.mark.parametrize(
    ("why", "name", "expected"),
    [
        ("short enough", "np/a/b", "cali-pi-np/a/b"),
        ("exactly full", "x" * 20, "cali-pi-" + "x" * 20),
        (
            "one too long: the vector of felix.md 6.6",
            "np/default/allow-a-rather-long-policy-name",
            "cali-pi-_aHZQQO14IEMf3GL6IfE",
        ),
        ("nothing", "", "cali-pi-_"),
    ],
)
def test_limited(why, name, expected):
    assert limited("cali-pi-", name, 28) == expected, why


def test_a_full_name_that_looks_like_a_hash_is_hashed():
    looks_hashed = "_" + "x" * 19
    assert limited("cali-pi-", looks_hashed, 28) != "cali-pi-" + looks_hashed
    assert len(limited("cali-pi-", looks_hashed, 28)) == 28


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (PolicyKey("NetworkPolicy", "shop", "web"), "np/shop/web"),
        (PolicyKey("GlobalNetworkPolicy", "", "all"), "gnp/all"),
        (PolicyKey("KubernetesNetworkPolicy", "shop", "web"), "knp/shop/web"),
        (PolicyKey("KubernetesClusterNetworkPolicy", "", "x"), "kcnp/x"),
        (PolicyKey("Novelty", "", "x"), "Novelty/x"),
    ],
)
def test_policy_id(key, expected):
    assert policy_id(key) == expected


def test_chains():
    key = PolicyKey("NetworkPolicy", "shop", "web")
    assert rules_chain(key, "ingress") == "filter-cali-pi-np/shop/web"
    assert rules_chain(key, "egress") == "filter-cali-po-np/shop/web"
    assert rules_chain(ProfileKey("kns.shop"), "ingress") == "filter-cali-pri-kns.shop"
    assert rules_chain(ProfileKey("kns.shop"), "egress") == "filter-cali-pro-kns.shop"
    assert endpoint_chain("cali1", "ingress") == "filter-cali-tw-cali1"
    assert endpoint_chain("cali1", "egress") == "filter-cali-fw-cali1"
    assert owner_interface("filter-cali-tw-cali1") == "cali1"
    assert owner_interface("filter-cali-arp-cali1") == "cali1"
    assert owner_interface("filter-cali-arp-dispatch") == ""
    assert owner_interface("filter-cali-pi-np/shop/web") == ""
    longest = rules_chain(PolicyKey("NetworkPolicy", "n" * 63, "p" * 253), "ingress")
    assert longest.startswith("filter-cali-pi-_")
    assert len(longest) == len("filter-cali-pi-_") + 43


def test_sets():
    set_id = "s:abcdefghijklmnopqrstuvwxyz0123456789"
    assert set_name("ip", set_id, "address") == "cali40s-abcdefghijklmnopqrstuvw"
    assert set_name("ip", set_id, "net") == "cali40s-abcdefghijklmnopqrstuvw-net"
    assert set_name("ip6", "masq-ipam-pools") == "cali60masq-ipam-pools"
    assert len(set_name("ip", set_id, "address")) == 31


def test_comment():
    assert comment("a", 'b"c\n{d}') == "a b_c__d_"
    assert len(comment("x" * 500)) == 127
