"""The same commands to Calico's calicoctl and to ours print the same, and end the same.

    an etcd -- commands, one after the other --> theirs: status, output, errors
    an etcd -- the same --------------------> ours: the same, but for uids and times

Errors are compared without what only theirs has: called through its combined binary, the original
prints them twice, after "Error: ". Where our words say more, only the status is compared.
Needs Calico's own: CALICO_CALICOCTL=/path/to/calicoctl. Without it, skipped.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from etcd_server import running_etcd

THEIRS = os.environ.get("CALICO_CALICOCTL", "")
DOCUMENTS = Path(__file__).parents[1] / "datastore" / "documents.yaml"
OURS = (sys.executable, "-m", "calico.calicoctl.main")
FREE = re.compile(
    r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ|\b[0-9a-f]{32}\b"
)
KINDS = (
    *("ippool", "tier", "networkpolicy", "globalnetworkpolicy", "stagednetworkpolicy", "node"),
    *("bgppeer", "bgpconfiguration", "felixconfiguration", "globalnetworkset", "networkset"),
    *("hostendpoint", "profile", "workloadendpoint", "ipreservation", "clusterinformation"),
    *("kubecontrollersconfiguration", "stagedglobalnetworkpolicy", "caliconodestatus"),
)
NAMESPACED = {"networkpolicy", "stagednetworkpolicy", "networkset", "workloadendpoint"}

pytestmark = [
    pytest.mark.etcd,
    pytest.mark.conformance,
    pytest.mark.slow,
    pytest.mark.skipif(not THEIRS, reason="set CALICO_CALICOCTL to Calico's own calicoctl"),
]


def document(kind, spec, metadata="{name: n}"):
    head = f"apiVersion: projectcalico.org/v3\nkind: {kind}\nmetadata: {metadata}\n"
    return f"{head}spec: {spec}\n"


def run(program, url, words, stdin):
    done = subprocess.run(
        [*program, *words.split(), "--allow-version-mismatch"],
        env={"ETCD_ENDPOINTS": url, "DATASTORE_TYPE": "etcdv3", "PATH": os.environ["PATH"]},
        input=stdin,
        text=True,
        capture_output=True,
        timeout=60,
        check=False,
    )
    said = done.stderr[len(done.stderr) // 2 :] if twice(done.stderr) else done.stderr
    said = FREE.sub("any", said.removeprefix("Error: ")).rstrip("\n")
    return done.returncode, FREE.sub("any", done.stdout), said


def twice(text):
    half = len(text) // 2
    return text.startswith("Error: ") and text[:half] == text[half:]


@pytest.fixture
def both():
    """Return a function that runs a command on both sides and returns both results."""
    with running_etcd() as theirs, running_etcd() as ours:

        def run_both(words, stdin=""):
            return run((THEIRS,), theirs.url, words, stdin), run(OURS, ours.url, words, stdin)

        yield run_both


@pytest.fixture
def filled(both):
    theirs, ours = both("create -f -", DOCUMENTS.read_text())
    assert ours == theirs
    return both


def alike(both, *commands):
    """Run the commands in order; list all that differ."""
    found = []
    for each in commands:
        words, stdin = each if isinstance(each, tuple) else (each, "")
        theirs, ours = both(words, stdin)
        if theirs != ours:
            found.append(f"{words}\n  theirs {theirs}\n  ours   {ours}")
    assert not found, "\n".join(found)


def test_an_empty_cluster(both):
    alike(both, *(f"get {kind} -o {form}" for kind in KINDS[:6] for form in ("ps", "wide", "yaml")))


@pytest.mark.parametrize("form", ["ps", "wide", "yaml", "json", "custom-columns=NAME"])
def test_every_kind_is_shown_alike(filled, form):
    everywhere = {kind: " -A" if kind in NAMESPACED else "" for kind in KINDS}
    alike(filled, *(f"get {kind} -o {form}{flag}" for kind, flag in everywhere.items()))


def test_writing_what_is_there(filled):
    text = DOCUMENTS.read_text()
    alike(filled, ("create -f -", text), ("apply -f -", text), ("replace -f -", text))
    alike(filled, "get node -o yaml", ("delete -f -", text), ("delete -f - -s", text))
    alike(filled, *(f"get {kind} -o yaml" for kind in KINDS))


def test_one_resource(filled):
    alike(
        filled,
        *("get networkpolicy allow-web", "get networkpolicy allow-web -n shop -o yaml"),
        *("get networkpolicy allow-web -n shop -o yaml --export", "get np -n shop"),
        *("get node node-a node-b", "get node -n shop", "get ippool p1 -n x"),
        *(f"get {kind} none" for kind in KINDS),
        *(f"delete {kind} none" for kind in KINDS),
        *("delete ippool p6", "delete tier gold", "delete tier default", "delete np allow-web"),
        *("delete np allow-web -n shop", "delete profile projectcalico-default-allow"),
        *("delete node node-a", "get hostendpoint", "get wep -A"),
    )


def test_labels(filled):
    alike(
        filled,
        *("label node node-a a=b", "label node node-a a=c", "label node node-a a=c --overwrite"),
        *("label node node-a a --remove", "label node node-a a --remove", "label node none a=b"),
        *("label np allow-web x=y -n shop", "label node node-a a=", "get node -o yaml"),
    )


def test_addresses(filled):
    alike(
        filled,
        "delete ippool p6",  # the original counts the addresses of IPv6 pools wrong
        *("ipam show", "ipam show --show-blocks", "ipam show --show-borrowed"),
        *("ipam show --ip=10.65.0.1",),
    )


RULE = "{ingress: [{action: Allow, protocol: TCP, destination: {ports: [70000]}}]}"
WRONG = {
    "tier": document("NetworkPolicy", "{tier: none}", "{name: none.p, namespace: shop}"),
    "name": document("Node", "{}", "{name: Bad_Name}"),
    "no name": document("Node", "{}", "{}"),
    "overlap": document("IPPool", "{cidr: 10.65.0.0/20}"),
    "small": document("IPPool", "{cidr: 10.70.0.0/28}"),
    "selector": document("GlobalNetworkPolicy", "{selector: 'a =='}"),
    "ports": document("GlobalNetworkPolicy", RULE),
    "action": document("GlobalNetworkPolicy", "{ingress: [{action: Maybe}]}"),
    "preDNAT": document("GlobalNetworkPolicy", "{preDNAT: true}"),
    "endpoint": document("HostEndpoint", "{node: n}"),
    "field": document("Node", "{none: 1}"),
    "kind": document("None", "{}"),
    "peer": document("BGPPeer", "{peerIP: none}"),
    "level": document("FelixConfiguration", "{logSeverityScreen: Loud}"),
    "list of a kind": document("ClusterInformation", "{}", "{name: default}"),
    "YAML": "a: [",
    "nothing": "",
}


@pytest.mark.parametrize("verb", ["create", "apply", "validate", "delete", "replace"])
def test_what_is_wrong_is_refused_alike(filled, verb):
    """Only whether it is refused: our words say where and why."""
    found = {what: filled(f"{verb} -f -", text) for what, text in WRONG.items()}
    differs = {what: pair for what, pair in found.items() if pair[0][0] != pair[1][0]}
    assert not differs
