"""The records of address management, byte for byte."""

import msgspec
import pytest

from calico.core.model import block as model

BLOCK = (
    b'{"cidr":"10.65.3.64/30","affinity":"host:node-a","affinity_claim_time":"2026-08-01T10:00:00Z",'
    b'"allocations":[0,1,null,null],"unallocated":[3,2],"attributes":['
    b'{"handle_id":"vxlan-tunnel-addr-node-a","secondary":{"node":"node-a","type":"vxlanTunnelAddress"}},'
    b'{"handle_id":"k8s-pod-network.4f0c2b7de1a9","secondary":{"namespace":"shop","node":"node-a",'
    b'"pod":"web-0","timestamp":"2026-08-01 10:00:01.5 +0000 UTC"}}],'
    b'"sequenceNumber":1785578400000000004,'
    b'"sequenceNumberForAllocation":{"0":1785578400000000000,"1":1785578400000000001},"deleted":false}'
)
FRESH = (
    b'{"cidr":"10.65.9.0/30","affinity":"host:node-b","affinity_claim_time":"2026-08-01T10:05:00Z",'
    b'"allocations":[null,null,null,null],"unallocated":[0,1,2,3],"attributes":null,'
    b'"sequenceNumber":1785578700123456789,"sequenceNumberForAllocation":{},"deleted":false}'
)
NOBODYS = (
    b'{"cidr":"fd00::/127","affinity":null,"allocations":[0,null],"unallocated":[1],"attributes":['
    b'{"releasedAt":"2026-08-01T10:05:00Z"}],"sequenceNumber":7,'
    b'"sequenceNumberForAllocation":{"0":7},"deleted":false}'
)


@pytest.mark.parametrize("raw", [BLOCK, FRESH, NOBODYS], ids=["used", "fresh", "nobody's"])
def test_a_block_is_written_as_it_was_read(raw):
    assert model.encode(model.decode_block(raw)) == raw


def test_ordinals_are_sorted_as_text_as_in_go():
    block = msgspec.structs.replace(
        model.decode_block(FRESH), allocated_at={"2": 1, "10": 2, "1": 3}
    )
    assert b'"sequenceNumberForAllocation":{"1":3,"10":2,"2":1}' in model.encode(block)


def test_go_escapes_what_html_would_misread():
    handle = model.Attribute(handle_id="a<b>&c")
    block = msgspec.structs.replace(model.decode_block(FRESH), attributes=(handle,))
    assert rb'"attributes":[{"handle_id":"a\u003cb\u003e\u0026c"}]' in model.encode(block)


@pytest.mark.parametrize("index", [2, -1])
def test_an_allocation_that_points_nowhere_is_refused(index):
    raw = BLOCK.replace(b"[0,1,null,null]", b"[0,%d,null,null]" % index)
    with pytest.raises(msgspec.ValidationError, match="no attributes"):
        model.decode_block(raw)


@pytest.mark.parametrize(
    ("record", "raw"),
    [
        (model.BlockAffinity("confirmed"), b'{"state":"confirmed","deleted":false}'),
        (model.Handle({"10.65.3.64/30": 1}), b'{"block":{"10.65.3.64/30":1},"deleted":false}'),
        (
            model.DEFAULT_CONFIG,
            b'{"auto_allocate_blocks":true,"kubeVirtVMAddressPersistence":"Enabled"}',
        ),
        (
            model.IpamConfig(
                strict_affinity=True,
                auto_allocate_blocks=True,
                max_blocks_per_host=8,
                vm_address_persistence="Enabled",
                cooldown_seconds=30,
            ),
            (
                b'{"strict_affinity":true,"auto_allocate_blocks":true,"maxBlocksPerHost":8,'
                b'"kubeVirtVMAddressPersistence":"Enabled","ipCooldownSeconds":30}'
            ),
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_small_records(record, raw):
    assert model.encode(record) == raw


def test_an_empty_affinity_is_old_data():
    assert model.decode_affinity(b"") == model.BlockAffinity(state="")


def test_a_stored_record_without_auto_allocate_means_it_is_off():
    assert not model.decode_config(b'{"strict_affinity":true}').auto_allocate_blocks


def test_a_handle_ends_at_a_carriage_return():
    assert model.Attribute(handle_id="net.abc\r\neth0").handle == "net.abc"
