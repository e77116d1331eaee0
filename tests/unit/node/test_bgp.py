"""What of the environment and the records reaches BIRD's configuration."""

from pathlib import Path

import pytest

from bgp_resources import bgp_filter, configuration, node, password, peer
from calico.core.model.keys import ResourceKey
from calico.core.render.bird_peers import SecretKey
from calico.node.bgp import (
    SECRETS_EVERY_SECONDS,
    BgpSettings,
    BgpView,
    bgp_settings,
    read_secret,
)

RACK = SecretKey("bgp", "rack")


def put(view, kind, name, value):
    view.set_resource(ResourceKey(kind, "", name), value)


def test_settings():
    assert bgp_settings({}) == BgpSettings(
        "", uses_bfd=False, secrets=Path("/etc/calico/bgp-secrets")
    )
    told = {"CALICO_ROUTER_ID": "hash", "CALICO_BGP_BFD": "Enabled", "CALICO_BGP_SECRETS_DIR": "/x"}
    assert bgp_settings(told) == BgpSettings("hash", uses_bfd=True, secrets=Path("/x"))


def test_peers_and_filters_come_and_go():
    view = BgpView("a", BgpSettings(uses_bfd=True))
    put(view, "Node", "a", node("a", "10.0.0.1/24"))
    put(view, "BGPPeer", "p", peer("p"))
    put(view, "BGPFilter", "f", bgp_filter("f"))
    inputs = view.flush()
    assert set(inputs.cluster.peers) == {"p"}
    assert set(inputs.filters) == {"f"}
    assert inputs.uses_bfd
    assert view.flush() is None
    put(view, "BGPPeer", "p", None)
    put(view, "BGPFilter", "f", None)
    inputs = view.flush()
    assert not inputs.cluster.peers
    assert not inputs.filters


def test_a_password_that_comes_later_or_changes(tmp_path):
    now = [100.0]
    view = BgpView("a", BgpSettings(secrets=tmp_path), now=lambda: now[0])
    put(view, "BGPPeer", "p", peer("p", password=password("bgp", "rack")))
    put(view, "BGPConfiguration", "default", configuration(node_mesh_password=password("m", "k")))
    assert view.flush().cluster.secrets == {}
    (tmp_path / "bgp").mkdir()
    for word in ("one", "two"):
        (tmp_path / "bgp" / "rack").write_text(word)
        assert view.flush() is None, "files are not read at every turn"
        now[0] += SECRETS_EVERY_SECONDS
        assert view.flush().cluster.secrets == {RACK: word}
        assert view.flush() is None
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "k").write_text("mesh\n")
    put(view, "Node", "a", node("a"))
    assert view.flush().cluster.secrets == {RACK: "two", SecretKey("m", "k"): "mesh"}
    now[0] += SECRETS_EVERY_SECONDS
    assert view.flush() is None, "nothing has changed"


@pytest.mark.parametrize(
    "secret", [("..", "x"), ("bgp", "../x"), ("", "x"), ("bgp", ""), ("bgp", "absent"), ("no", "x")]
)
def test_a_secret_is_read_from_its_own_place_only(tmp_path, secret):
    (tmp_path / "secrets" / "bgp").mkdir(parents=True)
    (tmp_path / "x").write_text("outside")
    (tmp_path / "secrets" / "x").write_text("outside")
    assert read_secret(tmp_path / "secrets", SecretKey(*secret)) == ""


def test_a_secret_that_is_no_text(tmp_path):
    (tmp_path / "bgp").mkdir()
    (tmp_path / "bgp" / "rack").write_bytes(b"\xff\xfe")
    assert read_secret(tmp_path, RACK) == ""
