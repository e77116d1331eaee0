import pytest
from msgspec.structs import replace

from calico.core.model.cluster import ClusterInformationSpec
from calico.core.model.keys import ResourceKey
from calico.datastore.initialize import KEY, completed, ensure_initialized
from calico.datastore.memory import MemoryDatastore
from calico.datastore.resource_errors import UpdateConflict
from calico.datastore.resources import Resources

GUID = "9b1c0e6fd3a54a9bb2d0f7e1c4a8e77a"


@pytest.fixture
def resources():
    return Resources(MemoryDatastore())


def initialize(resources, *arguments):
    ensure_initialized(resources, *arguments, pause=lambda _: None, new_guid=lambda: GUID)


def test_an_empty_datastore(resources):
    initialize(resources, "v3.33.0", "k8s,bgp")
    assert resources.get(KEY).spec == ClusterInformationSpec(
        cluster_guid=GUID,
        cluster_type="k8s,bgp",
        calico_version="v3.33.0",
        datastore_ready=True,
    )
    tiers = {tier.metadata.name: tier.spec for tier in resources.list("Tier").items}
    assert {name: (spec.order, spec.default_action) for name, spec in tiers.items()} == {
        "kube-admin": (1_000, "Pass"),
        "default": (1_000_000, "Deny"),
        "kube-baseline": (10_000_000, "Pass"),
    }


def test_a_second_time_changes_nothing(resources):
    initialize(resources, "v3.33.0", "k8s")
    revision = resources.datastore.list("").revision
    initialize(resources, "v3.33.0", "k8s")
    initialize(resources)
    assert resources.datastore.list("").revision == revision


@pytest.mark.parametrize(
    ("stored", "wanted", "result"),
    [
        ({"cluster_type": "k8s,bgp"}, {"cluster_type": "bgp,kdd"}, {"cluster_type": "k8s,bgp,kdd"}),
        ({"cluster_type": "k8s,"}, {}, {"cluster_type": "k8s,"}),
        ({"calico_version": "v1"}, {"calico_version": ""}, {"calico_version": "v1"}),
        ({"calico_version": "v1"}, {"calico_version": "v2"}, {"calico_version": "v2"}),
        ({"cluster_guid": "mine"}, {"cluster_guid": "new"}, {"cluster_guid": "mine"}),
        ({"datastore_ready": False}, {}, {"datastore_ready": False}),
        ({"datastore_ready": None}, {}, {"datastore_ready": True}),
        ({"variant": "x"}, {}, {"variant": "x"}),
    ],
)
def test_what_is_there_is_completed(stored, wanted, result):
    ready = {"datastore_ready": True}
    spec = completed(
        ClusterInformationSpec(**{**ready, **stored}), ClusterInformationSpec(**wanted)
    )
    assert spec == ClusterInformationSpec(**{**ready, **result})


def test_a_faster_program_is_no_error(resources):
    """Another one writes between our reading and our writing, more than once."""
    initialize(resources, "v1")
    stirs = [True, True]
    get = resources.get

    def get_and_be_overtaken(key: ResourceKey):
        found = get(key)
        if stirs and key == KEY:
            stirs.pop()
            resources.update(replace(found, spec=replace(found.spec, variant=f"{len(stirs)}")))
        return found

    resources.get = get_and_be_overtaken
    initialize(resources, "v2")
    assert get(KEY).spec.calico_version == "v2"
    stirs.extend([True] * 100)
    with pytest.raises(UpdateConflict):
        initialize(resources, "v3")
