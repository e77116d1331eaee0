"""What the harness reads of a guest, whatever portions it arrives in; and the archive it boots."""

import pytest

from calico.lab.vm_guest import Answer, Job, initramfs

MARK = "mark-1"
SPOKEN = b"noise\nmark-1 up\nhello\n\nmark-1 exi\n\nmark-1 exit 7\n"
PRINTED = b"hello\n\nmark-1 exi\n"


@pytest.mark.parametrize("size", range(1, len(SPOKEN) + 1))
def test_portions_do_not_matter(size):
    answer = Answer(MARK)
    printed = b"".join(answer.feed(SPOKEN[at : at + size]) for at in range(0, len(SPOKEN), size))
    assert (printed, answer.up, answer.status) == (PRINTED, True, 7)


def test_what_cannot_be_the_end_is_handed_on_at_once():
    answer = Answer(MARK)
    assert answer.feed(b"mark-1 up\n12%") == b"12%"
    assert answer.feed(b" 13%\n") == b" 13%"
    assert answer.feed(b"14%") == b"\n14%"
    assert (answer.status, answer.rest()) == (None, b"")


def test_what_was_held_back_is_given_if_nothing_more_comes():
    answer = Answer(MARK)
    assert answer.feed(b"mark-1 up\nhello\n") == b"hello"
    assert answer.rest() == b"\n"


def test_nothing_is_printed_before_the_guest_is_up():
    answer = Answer(MARK)
    assert answer.feed(b"firmware says hello\n") == b""
    assert not answer.up


def members(archive):
    """Read a cpio archive of the new format: {name: (mode, content)}."""
    at, found = 0, {}
    while not found or "TRAILER!!!" not in found:
        assert archive[at : at + 6] == b"070701"
        fields = [int(archive[at + 6 + 8 * n : at + 14 + 8 * n], 16) for n in range(13)]
        size, name_size = fields[6], fields[11]
        name = archive[at + 110 : at + 110 + name_size - 1].decode()
        start = (at + 110 + name_size + 3) & ~3
        found[name] = (fields[1], archive[start : start + size])
        at = (start + size + 3) & ~3
    assert at == len(archive)
    return found


def test_the_archive_holds_the_job_quoted():
    job = Job(("echo", "it's", "$HOME"), "/a folder", {"A": "b c"}, 5.0, MARK)
    found = members(
        initramfs(job, "/cache", b"#!busybox", [("one.ko", b"1"), ("two.ko", b"22222")])
    )
    assert found["job"][1].decode().splitlines() == [
        "export A='b c'",
        "cd '/a folder' || exit 127",
        "echo 'it'\"'\"'s' '$HOME'",
    ]
    assert found["modules"][1] == b"/lib/one.ko\n/lib/two.ko"
    assert found["lib/two.ko"][1] == b"22222"
    assert found["init"][0] == 0o100755
    assert found["bin/sh"] == (0o120777, b"busybox")
