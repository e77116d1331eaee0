"""calicoctl as a user runs it, against a real etcd."""

import json
import os
import sys

import pytest

from calico.datastore.client import Delete
from calico.datastore.etcd import EtcdDatastore
from calico.kernel.run import ProgramFailed, run
from etcd_server import running_etcd

pytestmark = [pytest.mark.etcd, pytest.mark.slow]

POOL = """
apiVersion: projectcalico.org/v3
kind: IPPool
metadata: {name: pool-a}
spec: {cidr: 10.65.0.0/16}
"""


MISSING = "resource does not exist: IPPool(pool-a) with error: <nil>"


def forget_all(etcd):
    store = EtcdDatastore(etcd.settings)
    entries = store.list("/calico/").entries
    if entries:
        store.commit([Delete(entry.path) for entry in entries])
    store.close()


def policy_with(**spec):
    return json.dumps(
        {
            "apiVersion": "projectcalico.org/v3",
            "kind": "GlobalNetworkPolicy",
            "metadata": {"name": "g"},
            "spec": {"selector": "all()", **spec},
        }
    )


TOO_HIGH = {"action": "Allow", "protocol": "TCP", "destination": {"ports": [70000]}}


@pytest.fixture(scope="module")
def etcd():
    with running_etcd() as server:
        yield server


@pytest.fixture
def calicoctl(etcd):
    forget_all(etcd)
    environment = {**os.environ, "ETCD_ENDPOINTS": etcd.url, "DATASTORE_TYPE": "etcdv3"}

    def call(*words, stdin=""):
        """Return (status, stdout, stderr)."""
        command = [sys.executable, "-m", "calico.calicoctl.main", *words]
        try:
            return 0, run(command, stdin, environment=environment, deadline_seconds=30), ""
        except ProgramFailed as failed:
            return failed.status, failed.out, failed.err

    return call


def test_create_get_delete(calicoctl):
    assert calicoctl("create", "-f", "-", stdin=POOL) == (
        0, "Successfully created 1 'IPPool' resource(s)\n", "",
    )  # fmt: skip
    status, out, err = calicoctl("create", "-f", "-", stdin=POOL)
    assert (status, out) == (1, "")
    assert "resource already exists: IPPool(pool-a)" in err
    assert calicoctl("create", "--skip-exists", "-f", "-", stdin=POOL)[0] == 0
    _, out, _ = calicoctl("get", "pool", "-o", "wide")
    assert out.splitlines()[1].split() == [
        "pool-a", "10.65.0.0/16", "false", "Never", "Never", "false", "false", "all()",
        "Automatic",
    ]  # fmt: skip
    document = json.loads(calicoctl("get", "ippool", "pool-a", "-o", "json")[1])
    assert document["spec"]["blockSize"] == 26
    assert calicoctl("delete", "ippool", "pool-a") == (
        0, "Successfully deleted 1 'IPPool' resource(s)\n", "",
    )  # fmt: skip
    status, out, err = calicoctl("delete", "ippool", "pool-a")
    assert (status, err) == (
        1,
        f"Failed to delete 'IPPool' resource: {MISSING}\n",
    )
    assert calicoctl("delete", "-s", "ippool", "pool-a")[0] == 0


def test_apply_and_replace(calicoctl):
    assert calicoctl("replace", "-f", "-", stdin=POOL)[0] == 1
    assert calicoctl("apply", "-f", "-", stdin=POOL)[0] == 0
    changed = POOL.replace("cidr: 10.65.0.0/16", "cidr: 10.65.0.0/16, natOutgoing: true")
    assert calicoctl("apply", "-f", "-", stdin=changed)[0] == 0
    assert "natOutgoing: true" in calicoctl("get", "pool", "pool-a", "-o", "yaml")[1]
    assert calicoctl("replace", "-f", "-", stdin=POOL)[0] == 0
    assert "natOutgoing" not in calicoctl("get", "pool", "pool-a", "-o", "yaml")[1]


CLUSTER = "{apiVersion: projectcalico.org/v3, kind: ClusterInformation, metadata: {name: default}}"


@pytest.mark.parametrize("command", ["create", "apply", "replace", "delete"])
def test_cluster_information_is_read_only(calicoctl, command):
    calicoctl("apply", "-f", "-", stdin=POOL)
    status, out, err = calicoctl(command, "-f", "-", stdin=CLUSTER)
    assert (status, out) == (1, "")
    assert "is not supported on ClusterInformation" in err
    assert calicoctl("delete", "clusterinformation", "default")[0] == 1
    assert calicoctl("label", "clusterinformation", "default", "a=b")[0] == 1
    assert "datastoreReady" in calicoctl("get", "clusterinfo", "-o", "json")[1]


def test_flags_for_all_commands_may_stand_anywhere(calicoctl):
    assert calicoctl("get", "ippool", "--allow-version-mismatch", "-l", "info")[0] == 0
    assert calicoctl("--allow-version-mismatch", "-l", "info", "get", "ippool")[0] == 0


def test_namespaces(calicoctl):
    policy = (
        "{apiVersion: projectcalico.org/v3, kind: NetworkPolicy, "
        "metadata: {name: p, namespace: shop}, spec: {selector: all()}}"
    )
    assert calicoctl("apply", "-n", "lab", "-f", "-", stdin=policy)[2].endswith("shop != lab\n")
    assert calicoctl("apply", "-f", "-", stdin=policy)[0] == 0
    assert "p" not in calicoctl("get", "np")[1].split(), "the default namespace"
    assert calicoctl("get", "np", "-A")[1].splitlines()[1].split() == ["shop", "p", "default"]
    assert "is not namespaced" in calicoctl("get", "node", "-n", "shop")[2]


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ("kind: [", ["standard input, line 1, column 8", "neither YAML nor JSON"]),
        (
            "{kind: IPPol, apiVersion: projectcalico.org/v3}",
            ["unknown resource type (IPPol)", "IPPool"],
        ),
        (
            POOL.replace("cidr", "cdir"),
            ["IPPool pool-a", "spec.cdir", "unknown field"],
        ),
        (
            POOL.replace("10.65.0.0/16", "10.65.0.0/40"),
            ["IPPool(pool-a): ", "spec.cidr", "10.65.0.0/40"],
        ),
        (policy_with(selector="a == 'b' &&& c"), ["spec.selector", "column 12"]),
        (policy_with(ingress=[TOO_HIGH]), ["spec.ingress[0].destination.ports", "70000"]),
    ],
)
def test_bad_documents_are_named_and_change_nothing(calicoctl, document, says):
    status, _, err = calicoctl("apply", "-f", "-", stdin=document)
    assert status == 1
    for words in says:
        assert words in err
    assert calicoctl("get", "pool")[1].splitlines() in ([], ["NAME   CIDR   SELECTOR   ", ""])


def test_labels(calicoctl):
    calicoctl("apply", "-f", "-", stdin=POOL)
    assert calicoctl("label", "pool", "pool-a", "a=b")[1] == (
        "Successfully set label a on pool pool-a\n"
    )
    assert "already present" in calicoctl("label", "pool", "pool-a", "a=c")[2]
    assert calicoctl("label", "pool", "pool-a", "a=c", "--overwrite")[0] == 0
    assert calicoctl("label", "pool", "pool-a", "a", "--remove")[0] == 0
    assert "does not exist" in calicoctl("label", "pool", "pool-a", "a", "--remove")[2]
    assert "pool pool-b not found" in calicoctl("label", "pool", "pool-b", "a=b")[2]


def test_an_unreachable_etcd_is_named(calicoctl, etcd):
    etcd.kill()
    try:
        status, _, err = calicoctl("get", "node")
    finally:
        etcd.start()
    assert status == 1
    assert etcd.url in err


def test_versions_and_help(calicoctl):
    calicoctl("apply", "-f", "-", stdin=POOL)
    _, out, _ = calicoctl("version")
    assert [line.split(":")[0] for line in out.splitlines()] == [
        "Client Version", "Cluster Version", "Cluster Type",
    ]  # fmt: skip
    assert "unknown flag: --nope" in calicoctl("get", "--nope")[2]
    for words in ((), ("get",), ("ipam", "show"), ("node", "status"), ("install",)):
        status, out, _ = calicoctl(*words, "--help")
        assert status == 0
        assert out.startswith("usage: calicoctl")


def install(calicoctl, tmp_path, *words, **keys):
    config = tmp_path / "config.yaml"
    values = {"network_cidr": "10.65.0.0/16", "calico_ipip_mode": "Never", **keys}
    config.write_text("".join(f"{key}: {json.dumps(value)}\n" for key, value in values.items()))
    return calicoctl("install", "--config", str(config), *words)


def test_install_is_idempotent(calicoctl, tmp_path):
    status, out, _ = install(calicoctl, tmp_path, network_type="calico", calico_tunnel_mtu=1430)
    assert status == 0
    assert "IPPool default-ipv4-ippool   created" in out
    assert '"ipipMTU": 1430' in calicoctl("get", "felixconfig", "default", "-o", "json")[1]
    assert calicoctl("get", "clusterinfo", "-o", "json")[1].count('"datastoreReady": true') == 1
    before = calicoctl("get", "pool", "-o", "json")[1]
    status, out, _ = install(calicoctl, tmp_path, calico_tunnel_mtu=1430)
    assert status == 0
    assert out.count("unchanged") == 3
    assert (
        json.loads(before)["items"]
        == json.loads(calicoctl("get", "pool", "-o", "json")[1])["items"]
    )
    assert "FelixConfiguration default   updated" in install(calicoctl, tmp_path)[1]


def test_install_refuses_overlaps_naming_both(calicoctl, tmp_path):
    calicoctl("apply", "-f", "-", stdin=POOL.replace("pool-a", "mine"))
    status, _, err = install(calicoctl, tmp_path, network_cidr="10.65.128.0/17")
    assert status == 1
    assert "network_cidr 10.65.128.0/17 overlaps IPPool mine (10.65.0.0/16)" in err
    node = (
        "{apiVersion: projectcalico.org/v3, kind: Node, metadata: {name: n1}, "
        "spec: {bgp: {ipv4Address: 192.0.2.10/24}}}"
    )
    assert calicoctl("apply", "-f", "-", stdin=node)[0] == 0
    err = install(calicoctl, tmp_path, network_cidr="192.0.2.0/25")[2]
    assert "the network of Node n1 (192.0.2.0/24)" in err
    both = {"network_cidr": "10.96.0.0/16", "service_cluster_ip_range": "10.96.0.0/12"}
    assert "service_cluster_ip_range" in install(calicoctl, tmp_path, **both)[2]
    assert "default-ipv4-ippool" not in calicoctl("get", "pool")[1], "nothing was written"


def test_install_resolves_templates_and_tells_the_nodes(calicoctl, tmp_path):
    inventory = tmp_path / "inventory.yaml"
    inventory.write_text("groups: {master: [192.0.2.10]}\n")
    variables = tmp_path / "node.env"
    method = "can-reach={{ groups['master'][0] }}"
    status, _, err = install(calicoctl, tmp_path, calico_ip_autodetection_method=method)
    assert status == 1
    assert "--inventory" in err
    files = ("--inventory", str(inventory), "--node-environment", str(variables))
    assert install(calicoctl, tmp_path, *files, calico_ip_autodetection_method=method)[0] == 0
    assert "IP_AUTODETECTION_METHOD=can-reach=192.0.2.10\n" in variables.read_text()


def test_deleting_a_node_takes_its_belongings(calicoctl):
    node = (
        "{apiVersion: projectcalico.org/v3, kind: Node, metadata: {name: n1}, "
        "spec: {bgp: {ipv4Address: 192.0.2.10/24}}}\n---\n"
        "{apiVersion: projectcalico.org/v3, kind: BGPPeer, metadata: {name: tor}, "
        "spec: {node: n1, peerIP: 192.0.2.1, asNumber: 64512}}"
    )
    assert calicoctl("apply", "-f", "-", stdin=node)[0] == 0
    assert calicoctl("delete", "node", "n1")[0] == 0
    assert "tor" not in calicoctl("get", "bgppeer")[1]
    assert calicoctl("delete", "node", "n1")[0] == 1
