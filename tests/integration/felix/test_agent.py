"""One agent, a real etcd, a real kernel: what it programs, survives and says."""

import pytest

from agent_process import Cluster, Felix, chains, ruleset
from calico.core.model.keys import ResourceKey
from calico.datastore.client import Put
from calico.kernel.run import run
from etcd_server import own_etcd, wait_until  # noqa: F401

pytestmark = [pytest.mark.netns, pytest.mark.etcd, pytest.mark.slow]

ALLOW_ALL = {"ingress": [{"action": "Allow"}], "egress": [{"action": "Allow"}]}
WEB_CHAIN = "filter-cali-tw-caliweb"


@pytest.fixture
def cluster(netns, own_etcd):  # noqa: F811
    cluster = Cluster(own_etcd)
    cluster.apply("Profile", "open", ALLOW_ALL)
    yield cluster
    cluster.close()


@pytest.fixture
def felix(cluster, own_etcd, tmp_path):  # noqa: F811
    felix = Felix(own_etcd, tmp_path)
    yield felix
    felix.stop()


def make_interface(name):
    run(["ip", "link", "add", name, "type", "veth", "peer", "name", f"x{name}"[:15]])
    run(["ip", "link", "set", name, "up"])
    run(["ip", "link", "set", f"x{name}"[:15], "up"])


def has_route(address):
    return address in run(["ip", "route"])


def test_programs_rules_routes_and_settings(felix, cluster):
    make_interface("caliweb")
    cluster.endpoint("web", "10.65.0.1", "caliweb", app="web")
    felix.start()
    assert WEB_CHAIN in chains()
    assert "10.65.0.1 dev caliweb scope link metric 1024" in run(["ip", "route"])
    assert run(["sysctl", "-n", "net.ipv4.conf.caliweb.proxy_arp"]).strip() == "1"
    cluster.resources.delete(ResourceKey("WorkloadEndpoint", "default", "n1-k8s-web-eth0"))
    wait_until(lambda: WEB_CHAIN not in chains(), "rules of a deleted endpoint gone")
    wait_until(lambda: not has_route("10.65.0.1"), "its route gone")


def test_a_route_waits_for_its_interface(felix, cluster):
    cluster.endpoint("late", "10.65.0.9", "calilate")
    felix.start()
    assert not has_route("10.65.0.9")
    make_interface("calilate")
    wait_until(lambda: has_route("10.65.0.9"), "route once the interface is up")


def test_repairs_what_others_break(felix, cluster):
    make_interface("caliweb")
    cluster.endpoint("web", "10.65.0.1", "caliweb")
    felix.start()
    before = [each for each in ruleset() if "rule" not in each]
    run(["nft", "flush", "ruleset"])
    wait_until(lambda: WEB_CHAIN in chains(), "rules repaired", seconds=5)
    assert len([each for each in ruleset() if "rule" not in each]) == len(before)
    run(["ip", "route", "del", "10.65.0.1"])
    wait_until(lambda: has_route("10.65.0.1"), "route repaired", seconds=5)
    wait_until(lambda: "repaired a foreign change" in felix.said(), "it is told")
    counted = felix.metrics()
    assert counted['calico_foreign_changes_repaired{part="ip rules"}'] > 0
    assert counted['calico_foreign_changes_repaired{part="routes"}'] == 1
    assert counted["felix_active_local_endpoints"] == 1
    assert counted["felix_resync_state"] == 3


def test_a_restart_changes_nothing(felix, cluster):
    make_interface("caliweb")
    cluster.endpoint("web", "10.65.0.1", "caliweb")
    cluster.apply(
        "NetworkPolicy", "p", {"selector": "all()", "ingress": [{"action": "Allow"}]}, "default"
    )
    felix.start()
    before = ruleset()
    assert before
    felix.kill()
    assert ruleset() == before, "a killed agent leaves its rules"
    felix.start()
    after = ruleset()
    assert [each for each in after if each not in before] == [], "not even a handle is new"


def test_a_restart_sweeps_what_is_no_longer_wanted(felix, cluster):
    cluster.endpoint("web", "10.65.0.1", "caliweb")
    felix.start()
    felix.kill()
    cluster.resources.delete(ResourceKey("WorkloadEndpoint", "default", "n1-k8s-web-eth0"))
    felix.start()
    assert WEB_CHAIN not in chains()


def test_etcd_away_and_back(felix, cluster, own_etcd):  # noqa: F811
    cluster.endpoint("web", "10.65.0.1", "caliweb")
    felix.start()
    own_etcd.kill()

    def told():
        status, text = felix.ask("readiness")
        return status == 503 and "unreachable for" in text

    wait_until(told, "readiness says since when the datastore is away")
    assert felix.ask("liveness")[0] == 200
    run(["nft", "flush", "ruleset"])
    wait_until(lambda: WEB_CHAIN in chains(), "enforces and repairs without a datastore")
    own_etcd.start()
    wait_until(lambda: felix.ask("readiness")[0] == 200, "ready again")
    cluster.endpoint("db", "10.65.0.2", "calidb")
    wait_until(lambda: "filter-cali-tw-calidb" in chains(), "goes on with the watch")


def test_a_broken_record_is_reported_and_skipped(felix, cluster):
    path = "/calico/resources/v3/projectcalico.org/networkpolicies/default/broken"
    cluster.resources.datastore.commit(
        [Put(path, b'{"kind":"NetworkPolicy","spec":{"order":"x"}}')]
    )
    cluster.endpoint("web", "10.65.0.1", "caliweb")
    felix.start()
    assert WEB_CHAIN in chains()
    assert path in felix.said()
    assert "spec.order" in felix.said()


def test_changed_settings_ask_for_a_restart(felix, cluster):
    felix.start()
    cluster.apply("FelixConfiguration", "default", {"logPrefix": "mine"})
    assert felix.process.wait(10) == 129
    assert "log_prefix" in felix.said()


def test_waits_for_a_datastore_that_is_not_ready(felix, cluster):
    key = ResourceKey("ClusterInformation", "", "default")
    cluster.resources.datastore.commit(
        [
            Put(
                "/calico/resources/v3/projectcalico.org/clusterinformations/default",
                b'{"kind":"ClusterInformation","apiVersion":"projectcalico.org/v3","metadata":'
                b'{"name":"default"},"spec":{"datastoreReady":false}}',
            )
        ]
    )
    assert not cluster.resources.get(key).spec.datastore_ready
    felix.start(ready=False)

    def told():
        status, text = felix.ask("readiness")
        return status == 503 and "datastoreReady: false" in text

    wait_until(told, "readiness says why")
    assert ruleset() == []


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("FELIX_INTERFACEPREFIX", "much-too-long-a-prefix", ["InterfacePrefix", "15 characters"]),
        ("FELIX_NFTABLESMARKMASK", "0x1", ["NftablesMarkMask", "two bits"]),
        ("ETCD_ENDPOINTS", "ftp://nowhere", ["ftp://nowhere"]),
    ],
)
def test_settings_that_cannot_be_used_are_named(felix, variable, value, says):
    felix.environment[variable] = value
    felix.start(ready=False)
    assert felix.process.wait(10) == 1
    for words in says:
        assert words in felix.said()
