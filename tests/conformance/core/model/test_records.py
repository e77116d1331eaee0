"""What we store is, byte for byte, what Calico's own client stores.

records.jsonl   documents of our own tests, and the record that Calico's calicoctl made of
                each in a real etcd
cluster.txt     the records of one small cluster: path, value, path, value ...
"""

from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from calico.core.model.checks import check_stored
from calico.core.model.codec import decode, encode
from calico.core.model.defaults import with_defaults
from calico.core.model.keys import key_of, path_of
from calico.core.model.stored import from_record, stored_form, to_record

pytestmark = pytest.mark.conformance
HERE = Path(__file__).parent
RECORDS = [msgspec.json.decode(line) for line in (HERE / "records.jsonl").read_bytes().splitlines()]
LINES = (HERE / "cluster.txt").read_text().splitlines()
CLUSTER = list(zip(LINES[::2], LINES[1::2], strict=True))


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record["document"]["kind"])
def test_a_document_becomes_the_same_record(record):
    document, stored = record["document"], record["stored"]
    kind, given = document["kind"], msgspec.json.decode(stored)["metadata"]
    ours = with_defaults(decode(kind, msgspec.json.encode(document), strict=True))
    metadata = replace(
        ours.metadata, uid=given["uid"], creation_timestamp=given["creationTimestamp"]
    )
    assert to_record(replace(ours, metadata=metadata)).decode() == stored


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record["document"]["kind"])
def test_a_record_comes_back_unchanged(record):
    kind, stored = record["document"]["kind"], record["stored"].encode()
    resource = decode(kind, stored, strict=True)
    assert encode(resource) == stored
    assert check_stored(resource) == ()
    assert to_record(from_record(kind, stored, 7)) == stored


@pytest.mark.parametrize(("path", "value"), CLUSTER, ids=[path for path, _ in CLUSTER])
def test_the_records_of_a_cluster(path, value):
    key = key_of(path)
    assert path_of(key) == path
    resource = decode(key.kind, value.encode(), strict=True)
    assert (resource.metadata.name, resource.metadata.namespace) == (key.name, key.namespace)
    assert encode(resource).decode() == value
    assert stored_form(resource) == resource
