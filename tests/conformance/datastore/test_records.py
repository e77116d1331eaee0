"""The records that Calico's own calicoctl writes, and those that we write, are the same bytes.

    the same documents --calicoctl--> one etcd
                       --Resources--> another       equal, but for uid, time and cluster GUID

Needs Calico's calicoctl: CALICO_CALICOCTL=/path/to/calicoctl. Without it, skipped.
"""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from calico.core.model.codec import decode
from calico.core.model.keys import ResourceKey, key_of
from calico.datastore.etcd import EtcdDatastore
from calico.datastore.initialize import ensure_initialized
from calico.datastore.resources import Resources
from etcd_server import running_etcd

THEIRS = os.environ.get("CALICO_CALICOCTL", "")
TEXT = (Path(__file__).parent / "documents.yaml").read_text()
DOCUMENTS = list(yaml.safe_load_all(TEXT))
FREE = re.compile(rb'"(uid|creationTimestamp|clusterGUID)":"[^"]*"')

pytestmark = [
    pytest.mark.etcd,
    pytest.mark.conformance,
    pytest.mark.slow,
    pytest.mark.skipif(not THEIRS, reason="set CALICO_CALICOCTL to Calico's own calicoctl"),
]


def calicoctl(server, *arguments, document=None):
    done = subprocess.run(
        [THEIRS, *arguments, "--allow-version-mismatch"],
        env={"ETCD_ENDPOINTS": server.url, "DATASTORE_TYPE": "etcdv3"},
        input=document,
        text=True,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def read(document):
    return decode(document["kind"], json.dumps(document).encode(), strict=True)


def records(store):
    return {entry.path: entry.value for entry in store.list("/calico/").entries}


@pytest.fixture
def store():
    with running_etcd() as server:
        datastore = EtcdDatastore(server.settings)
        datastore.server = server
        yield datastore
        datastore.close()


def fill(store):
    resources = Resources(store)
    ensure_initialized(resources)
    for document in DOCUMENTS:
        resources.create(read(document))
    return resources


def test_both_write_the_same_bytes(store):
    with running_etcd() as server:
        calicoctl(server, "create", "-f", "-", document=TEXT)
        datastore = EtcdDatastore(server.settings)
        theirs = {path: FREE.sub(b"", value) for path, value in records(datastore).items()}
        datastore.close()
    fill(store)
    ours = {path: FREE.sub(b"", value) for path, value in records(store).items()}
    assert ours == theirs


def test_calicoctl_reads_ours_and_writes_the_same_back(store):
    fill(store)
    before = records(store)
    for document in DOCUMENTS:
        metadata = document["metadata"]
        namespace = ("-n", metadata["namespace"]) if "namespace" in metadata else ()
        what = (document["kind"], metadata["name"], *namespace)
        shown = calicoctl(store.server, "get", *what, "-o", "yaml")
        calicoctl(store.server, "replace", "-f", "-", document=shown)
    assert records(store) == before


def test_we_read_theirs_and_write_the_same_back(store):
    calicoctl(store.server, "create", "-f", "-", document=TEXT)
    before, resources = records(store), Resources(store)
    for path in before:
        key = key_of(path)
        assert isinstance(key, ResourceKey)
        resources.update(resources.get(key))
    assert records(store) == before
