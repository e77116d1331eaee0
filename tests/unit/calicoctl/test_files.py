import pytest

from calico.calicoctl.files import FileError, parse_documents, read_lines, read_path

POOL = "kind: IPPool\nmetadata: {name: p, creationTimestamp: 2026-08-01T09:31:00Z}\n"


def test_documents_lists_and_arrays():
    others = "- {kind: Tier}\n- kind: Node\n---\nkind: TierList\nitems: [{kind: Tier}]\n"
    text = f"{POOL}---\n---\n# nothing\n---\n{others}"
    found = list(parse_documents(text, "f.yaml"))
    assert [document.content["kind"] for document in found] == ["IPPool", "Tier", "Node", "Tier"]
    assert found[0].where == "f.yaml, line 1"
    assert found[1].where == "f.yaml, line 7"
    assert found[0].content["metadata"]["creationTimestamp"] == "2026-08-01T09:31:00Z"


def test_json_is_yaml():
    (document,) = parse_documents('{"kind": "IPPool", "spec": {"cidr": "10.0.0.0/8"}}', "f.json")
    assert document.content["spec"]["cidr"] == "10.0.0.0/8"


def test_folders(tmp_path):
    (tmp_path / "a.YAML").write_text(POOL)
    (tmp_path / "b.txt").write_text("no: [")
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "c.json").write_text('{"kind": "Node"}')
    assert len(read_path(str(tmp_path))) == 1
    assert len(read_path(str(tmp_path), recursive=True)) == 2


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("kind: [", ["f.yaml, line 2, column 1"]),
        ("kind: IPPool\n  spec: x: y", ["f.yaml, line 2"]),
        ("just words", ["f.yaml, line 1", "mapping"]),
        ("a: &x [*y]", ["f.yaml", "undefined alias"]),
        ("a:\n- b: 1\n  c: 2\n  b: 3", ["f.yaml, line 4: b stands on line 2 too"]),
    ],
)
def test_broken_text_is_named_by_line(text, says):
    with pytest.raises(FileError) as refusal:
        list(parse_documents(text + "\n", "f.yaml"))
    for words in says:
        assert words in str(refusal.value)


def test_unreadable_files(tmp_path):
    with pytest.raises(FileError, match="No such file"):
        read_path(str(tmp_path / "none.yaml"))
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(FileError, match="UTF-8"):
        read_path(str(tmp_path / "binary.yaml"))


def test_lines_of_a_mapping(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("# comment\na: 1\n\nb: [x, y]\n")
    lines = read_lines(str(path))
    assert (lines["a"].value, lines["a"].number) == (1, 2)
    assert (lines["b"].value, lines["b"].number) == (["x", "y"], 4)
    path.write_text("a: 1\na: 2\n")
    with pytest.raises(FileError, match="line 2: a stands on line 1 too"):
        read_lines(str(path))
