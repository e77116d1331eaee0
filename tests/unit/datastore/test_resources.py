import pytest
from msgspec.structs import replace

from calico.core.model.bgp import BGPPeer, BGPPeerSpec
from calico.core.model.cluster import BlockAffinity, BlockAffinitySpec
from calico.core.model.endpoint import WorkloadEndpoint, WorkloadEndpointSpec
from calico.core.model.keys import BlockKey, ResourceKey, path_of
from calico.core.model.metadata import Metadata
from calico.core.model.network_set import GlobalNetworkSet, GlobalNetworkSetSpec
from calico.core.model.policy import NetworkPolicy, NetworkPolicySpec
from calico.core.model.pool import IPPool, IPPoolSpec
from calico.core.model.problem import InvalidResource
from calico.core.model.profile import Profile, ProfileSpec
from calico.core.model.stored import to_record
from calico.core.model.tier import Tier, TierSpec
from calico.datastore.client import Put
from calico.datastore.memory import MemoryDatastore
from calico.datastore.resource_errors import (
    AlreadyExists,
    DoesNotExist,
    NotSupported,
    Unreadable,
    UpdateConflict,
)
from calico.datastore.resources import Resources, resource_key

UID = "b0c7a1de-52f3-4c0a-9d3e-6f1f0a7c1b01"
NOW = 1785576612.9  # 2026-08-01T09:30:12Z
SETS = "/calico/resources/v3/projectcalico.org/globalnetworksets/"


@pytest.fixture
def store():
    return MemoryDatastore()


@pytest.fixture
def resources(store):
    return Resources(store, now=lambda: NOW, new_uid=lambda: UID)


def network_set(name="s1", *nets, **metadata):
    return GlobalNetworkSet(
        metadata=Metadata(name=name, **metadata), spec=GlobalNetworkSetSpec(nets=nets)
    )


def key(name="s1", kind="GlobalNetworkSet", namespace=""):
    return ResourceKey(kind, namespace, name)


def pool(name, cidr, **spec):
    return IPPool(metadata=Metadata(name=name), spec=IPPoolSpec(cidr=cidr, **spec))


def policy(name, tier="", namespace="shop", **metadata):
    return NetworkPolicy(
        metadata=Metadata(name=name, namespace=namespace, **metadata),
        spec=NetworkPolicySpec(tier=tier, selector="all()"),
    )


@pytest.fixture
def default_tier(resources):
    return resources.create(
        Tier(
            metadata=Metadata(name="default"), spec=TierSpec(order=1_000_000, default_action="Deny")
        )
    )


def test_a_new_resource_gets_uid_and_time_and_no_version_is_stored(store, resources):
    created = resources.create(network_set("s1", "10.0.0.0/8", annotations={"n": "<&>"}))
    entry = store.get(SETS + "s1")
    assert entry.value == (
        b'{"kind":"GlobalNetworkSet","apiVersion":"projectcalico.org/v3","metadata":{"name":"s1",'
        b'"uid":"b0c7a1de-52f3-4c0a-9d3e-6f1f0a7c1b01","creationTimestamp":"2026-08-01T09:30:12Z",'
        b'"annotations":{"n":"\\u003c\\u0026\\u003e"}},"spec":{"nets":["10.0.0.0/8"]}}'
    )
    assert created.metadata.resource_version == str(entry.revision)
    assert b"resourceVersion" not in entry.value
    assert resources.get(key()) == created


def test_uid_and_time_that_were_given_are_kept(resources):
    created = resources.create(
        network_set(uid="mine", creation_timestamp="2020-01-01T00:00:00Z"),
    )
    assert created.metadata.uid == "mine"
    assert created.metadata.creation_timestamp == "2020-01-01T00:00:00Z"


def test_what_is_missing_says_so_in_calicoctl_words(resources):
    with pytest.raises(DoesNotExist) as caught:
        resources.get(key("p1", "IPPool"))
    assert str(caught.value) == "resource does not exist: IPPool(p1) with error: <nil>"
    with pytest.raises(DoesNotExist) as caught:
        resources.delete(key("web", "NetworkPolicy", "shop"))
    assert str(caught.value) == (
        "resource does not exist: NetworkPolicy(shop/web) with error: <nil>"
    )


def test_create_refuses_what_exists_and_shows_it(resources):
    first = resources.create(network_set("s1", "10.0.0.0/8"))
    with pytest.raises(AlreadyExists) as caught:
        resources.create(network_set("s1"))
    assert str(caught.value) == ("resource already exists: GlobalNetworkSet(s1) with error: <nil>")
    assert caught.value.existing == first


@pytest.mark.parametrize(
    ("resource", "field", "reason"),
    [
        (network_set(""), "Name = ''", "must be set for a Create request"),
        (
            network_set("", generate_name="s-"),
            "Name = ''",
            "must be set for a Create request (GenerateName is not supported)",
        ),
        (
            network_set(resource_version="7"),
            "ResourceVersion = '7'",
            "must not be set for a Create request",
        ),
    ],
    ids=["name", "generateName", "resourceVersion"],
)
def test_what_create_demands(resources, resource, field, reason):
    with pytest.raises(InvalidResource) as caught:
        resources.create(resource)
    assert str(caught.value) == f"error with field Metadata.{field} (field {reason})"


def test_a_namespaced_kind_needs_its_namespace(resources, default_tier):
    for call in (
        lambda: resources.create(policy("web", namespace="")),
        lambda: resources.get(key("web", "NetworkPolicy")),
        lambda: resources.delete(key("web", "NetworkPolicy")),
    ):
        with pytest.raises(InvalidResource, match="namespace is not specified on namespaced"):
            call()


@pytest.mark.parametrize("missing", ["resource_version", "creation_timestamp", "uid"])
def test_update_demands_what_was_read(resources, missing):
    created = resources.create(network_set())
    incomplete = replace(created, metadata=replace(created.metadata, **{missing: ""}))
    with pytest.raises(InvalidResource, match="field must be set for an Update request"):
        resources.update(incomplete)


def test_update_over_another_revision_conflicts(resources):
    old = resources.create(network_set("s1", "10.0.0.0/8"))
    new = resources.update(replace(old, spec=GlobalNetworkSetSpec(nets=("10.1.0.0/16",))))
    assert new.metadata.resource_version != old.metadata.resource_version
    with pytest.raises(UpdateConflict) as caught:
        resources.update(old)
    assert str(caught.value) == "update conflict: GlobalNetworkSet(s1)"
    assert caught.value.existing == new
    resources.delete(key())
    with pytest.raises(DoesNotExist):
        resources.update(new)


def test_a_version_that_is_no_number(resources):
    created = resources.create(network_set())
    strange = replace(created, metadata=replace(created.metadata, resource_version="abc"))
    with pytest.raises(InvalidResource, match="ResourceVersion = 'abc'"):
        resources.update(strange)


def test_apply_creates_then_writes_over_and_keeps_identity(resources):
    first = resources.apply(network_set("s1", "10.0.0.0/8", labels={"a": "1"}))
    second = resources.apply(network_set("s1", "10.1.0.0/16", labels={"b": "2"}))
    assert second.spec.nets == ("10.1.0.0/16",)
    assert second.metadata == replace(
        first.metadata, labels={"b": "2"}, resource_version=second.metadata.resource_version
    )


def test_apply_at_a_version_must_match_it(resources):
    first = resources.apply(network_set("s1"))
    version = first.metadata.resource_version
    resources.apply(network_set("s1", "10.0.0.0/8", resource_version=version))
    with pytest.raises(UpdateConflict):
        resources.apply(network_set("s1", "10.1.0.0/16", resource_version=version))


def test_delete_at_a_version(resources):
    created = resources.create(network_set())
    with pytest.raises(UpdateConflict):
        resources.delete(key(), "999")
    assert resources.delete(key(), created.metadata.resource_version) == created
    with pytest.raises(DoesNotExist):
        resources.get(key())


def test_an_unreadable_record_hides_no_other(store, resources):
    good = resources.create(network_set("good"))
    store.commit([Put(SETS + "bad", b'{"spec": 7}')])
    listed = resources.list("GlobalNetworkSet")
    assert listed.items == [good]
    assert [error.path for error in listed.unreadable] == [SETS + "bad"]
    assert listed.revision == store.list("").revision
    with pytest.raises(Unreadable, match=f"failed to parse datastore entry key={SETS}bad"):
        resources.get(key("bad"))
    assert resources.delete(key("bad")) is None
    assert resources.list("GlobalNetworkSet").unreadable == []


def test_lists_one_namespace(resources, default_tier):
    for namespace in ("shop", "shop2"):
        resources.create(policy("web", namespace=namespace))
    names = [p.metadata.namespace for p in resources.list("NetworkPolicy", "shop").items]
    assert names == ["shop"]
    assert len(resources.list("NetworkPolicy").items) == 2


def test_an_invalid_resource_is_not_written(store, resources):
    with pytest.raises(InvalidResource):
        resources.create(network_set("s1", "not a network"))
    assert store.list("").entries == []


def test_a_policy_needs_its_tier(store, resources):
    with pytest.raises(DoesNotExist) as caught:
        resources.create(policy("web", tier="gold"))
    assert str(caught.value) == "resource does not exist: Tier(gold) with error: <nil>"


def test_a_policy_keeps_the_name_that_was_given(store, resources, default_tier):
    created = resources.create(policy("default.web"))
    assert resources.create(policy("web")).metadata.name == "web"
    assert created.metadata.name == "default.web"
    stored = store.get(path_of(key("default.web", "NetworkPolicy", "shop"))).value
    assert b'"projectcalico.org/metadata":"{\\"name\\":\\"default.web\\"}"' in stored
    assert b'"projectcalico.org/tier":"default"' in stored
    assert created.metadata.annotations == {}


def test_tiers_that_are_needed_stay(resources, default_tier):
    resources.create(Tier(metadata=Metadata(name="gold")))
    resources.create(policy("gold.web", tier="gold"))
    with pytest.raises(NotSupported) as caught:
        resources.delete(key("gold", "Tier"))
    assert str(caught.value) == (
        "operation delete is not supported on gold: Cannot delete a non-empty tier"
    )
    with pytest.raises(NotSupported) as caught:
        resources.delete(key("default", "Tier"))
    assert str(caught.value) == (
        "operation Delete is not supported on default: Cannot delete default tier"
    )
    resources.delete(key("gold.web", "NetworkPolicy", "shop"))
    resources.delete(key("gold", "Tier"))


def test_lists_fill_in_tiers_but_get_does_not(store, resources):
    path = path_of(key("old", "Tier"))
    store.commit([Put(path, b'{"kind":"Tier","metadata":{"name":"old"},"spec":{}}')])
    assert resources.get(key("old", "Tier")).spec == TierSpec()
    assert resources.list("Tier").items[0].spec == TierSpec(order=1_000_000, default_action="Deny")


def test_the_profile_that_is_always_there(store, resources):
    name = "projectcalico-default-allow"
    allow = resources.get(key(name, "Profile"))
    assert allow.metadata.resource_version == "1"
    resources.create(Profile(metadata=Metadata(name="mine"), spec=ProfileSpec()))
    assert [p.metadata.name for p in resources.list("Profile").items] == ["mine", name]
    with pytest.raises(AlreadyExists, match=f"{name} already exists"):
        resources.create(allow)
    with pytest.raises(NotSupported, match=f"operation Update is not supported on {name}"):
        resources.update(allow)
    with pytest.raises(NotSupported, match=f"operation Delete is not supported on {name}"):
        resources.delete(key(name, "Profile"))
    assert len(store.list("").entries) == 1


def test_pools_are_filled_in_and_must_not_overlap(store, resources):
    created = resources.create(pool("p1", "10.65.0.0/16"))
    assert created.spec.block_size == 26
    assert created.spec.allowed_uses == ("Workload", "Tunnel")
    with pytest.raises(InvalidResource) as caught:
        resources.create(pool("p2", "10.65.128.0/17"))
    assert str(caught.value) == (
        "error with field IPPool.Spec.CIDR = '10.65.128.0/17' "
        "(IPPool(p2) CIDR overlaps with IPPool(p1) CIDR 10.65.0.0/16)"
    )
    with pytest.raises(AlreadyExists):
        resources.create(pool("p1", "10.65.0.0/16"))
    resources.create(pool("p3", "fd00:10::/64"))


def test_a_pool_must_suit_the_blocks_that_exist(store, resources):
    store.commit([Put(path_of(BlockKey("10.65.3.64/30")), b"{}")])
    resources.create(pool("other", "10.66.0.0/16"))
    resources.create(pool("same", "10.65.3.0/24", block_size=30))
    resources.delete(key("same", "IPPool"))
    with pytest.raises(InvalidResource, match="IPPool blocksSize conflicts"):
        resources.create(pool("p1", "10.65.0.0/16"))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"cidr": "10.66.0.0/16"}, "IPPool CIDR cannot be modified"),
        ({"block_size": 27}, "IPPool BlockSize cannot be modified"),
    ],
)
def test_what_of_a_pool_cannot_change(resources, change, reason):
    created = resources.create(pool("p1", "10.65.0.0/16"))
    with pytest.raises(InvalidResource, match=reason):
        resources.update(replace(created, spec=replace(created.spec, **change)))


def test_a_load_balancer_pool_stays_one(resources):
    created = resources.create(pool("p1", "10.65.0.0/16", allowed_uses=("LoadBalancer",)))
    changed = replace(created, spec=replace(created.spec, allowed_uses=("Workload",)))
    with pytest.raises(InvalidResource, match="cannot be changed from LoadBalacer"):
        resources.update(changed)


def test_an_old_pool_may_be_written_canonically(store, resources):
    text = b'{"kind":"IPPool","metadata":{"name":"p6","uid":"u","creationTimestamp":'
    text += b'"2020-01-01T00:00:00Z"},"spec":{"cidr":"fd00:0:0::/64"}}'
    store.commit([Put(path_of(key("p6", "IPPool")), text)])
    old = resources.get(key("p6", "IPPool"))
    assert (old.spec.cidr, old.spec.block_size) == ("fd00:0:0::/64", 122)
    assert resources.update(old).spec.cidr == "fd00::/64"


def test_deleting_a_pool_disables_it_first_and_releases_its_affinities(store):
    seen = []

    def release(cidr):
        seen.append((cidr, resources.get(key("p1", "IPPool")).spec.disabled))

    resources = Resources(store, release_affinities=release, pause=seen.append)
    created = resources.create(pool("p1", "10.65.0.0/16"))
    with pytest.raises(UpdateConflict):
        resources.delete(key("p1", "IPPool"), "999")
    resources.delete(key("p1", "IPPool"), created.metadata.resource_version)
    assert seen == [0.5, ("10.65.0.0/16", True)]
    assert resources.list("IPPool").items == []


def test_a_peer_needs_its_filters(resources):
    peer = BGPPeer(
        metadata=Metadata(name="tor"),
        spec=BGPPeerSpec(peer_ip="192.0.2.7", as_number=65007, filters=("f1", "f2")),
    )
    with pytest.raises(InvalidResource) as caught:
        resources.create(peer)
    assert str(caught.value) == (
        "error with field BGPPeer.Spec.Filters = '[f1 f2]' (BGPFilter(s) not found)"
    )


def test_an_endpoint_is_named_by_its_spec(resources):
    created = resources.create(
        WorkloadEndpoint(
            metadata=Metadata(namespace="shop"),
            spec=WorkloadEndpointSpec(
                orchestrator="k8s",
                node="n-1",
                pod="web-0",
                endpoint="eth0",
                interface_name="cali1",
                ip_networks=("10.65.3.65/32",),
            ),
        )
    )
    assert resource_key(created).name == "n--1-k8s-web--0-eth0"
    assert created.metadata.labels["projectcalico.org/orchestrator"] == "k8s"


def test_a_deleted_affinity_is_not_there(store, resources):
    affinity = BlockAffinity(
        metadata=Metadata(name="a"),
        spec=BlockAffinitySpec(node="n1", cidr="10.0.0.0/26", state="confirmed", deleted=True),
    )
    store.commit([Put(path_of(key("a", "BlockAffinity")), to_record(affinity))])
    with pytest.raises(DoesNotExist):
        resources.get(key("a", "BlockAffinity"))
