"""What BIRD must know, gathered from the records as they pass through the loop.

    Node, BGPConfiguration, BGPPeer, ---set_resource--+
    BGPFilter, IPPool                                 +--> flush --> BirdInputs, if they changed
    own block affinities ---------------set_affinity--+
    passwords, read anew now and then ----------------+

Passwords are secrets of Kubernetes, mounted (or put by hand) as <directory>/<name>/<key>. Their
files are read with the first inputs and then at most every few seconds, as turns come.

Rendering and applying are not done here: the loop hands the inputs to BIRD's owner
(reconcile/bird.py), a thread of its own, since BIRD may take its time.

Source: shared/spec bgp-confd 5.2, 5.3.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

from msgspec import Struct

from calico.core.model.bgp import BGPConfiguration, BGPFilter, BGPPassword, BGPPeer
from calico.core.model.block import BlockAffinity
from calico.core.model.keys import BlockAffinityKey, ResourceKey
from calico.core.model.metadata import Resource
from calico.core.model.node import Node
from calico.core.model.pool import IPPool
from calico.core.render.bird import BirdInputs
from calico.core.render.bird_peers import Cluster, SecretKey

Value = TypeVar("Value")

_DEFAULT, _OF_NODE = "default", "node."


SECRETS_EVERY_SECONDS = 2.0
_GREATEST_SECRET_BYTES = 1024


class BgpSettings(Struct, frozen=True):
    """What the environment says of BGP on this node."""

    router_id: str = ""
    uses_bfd: bool = False
    secrets: Path = Path("/etc/calico/bgp-secrets")


def bgp_settings(environment: Mapping[str, str]) -> BgpSettings:
    """Read the variables of BGP."""
    return BgpSettings(
        router_id=environment.get("CALICO_ROUTER_ID", ""),
        uses_bfd=environment.get("CALICO_BGP_BFD", "").lower() == "enabled",
        secrets=Path(environment.get("CALICO_BGP_SECRETS_DIR") or BgpSettings().secrets),
    )


def read_secret(directory: Path, secret: SecretKey) -> str:
    """Read a password, "" if it cannot be read. The line break that editors add is not of it."""
    if not all(part and "/" not in part and part not in {".", ".."} for part in secret):
        return ""
    try:
        with (directory / secret.name / secret.key).open("rb") as file:
            return file.read(_GREATEST_SECRET_BYTES).decode().removesuffix("\n")
    except (OSError, ValueError):
        return ""


class BgpView:
    """The loop is its only caller."""

    def __init__(
        self,
        node_name: str,
        settings: BgpSettings,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._node_name = node_name
        self._settings = settings
        self._now = now
        self._nodes: dict[str, Node] = {}
        self._pools: dict[str, IPPool] = {}
        self._configurations: dict[str, BGPConfiguration] = {}
        self._peers: dict[str, BGPPeer] = {}
        self._filters: dict[str, BGPFilter] = {}
        self._blocks: dict[str, bool] = {}
        self._secrets: dict[SecretKey, str] = {}
        self._secrets_due = 0.0
        self._is_dirty = True

    def set_resource(
        self,
        key: ResourceKey,
        value: Resource | None,
        revision: int = 0,  # noqa: ARG002
    ) -> None:
        """Accept a record; kinds that BGP does not depend on cost one comparison."""
        match key.kind:
            case "Node":
                self._put(self._nodes, key.name, value if isinstance(value, Node) else None)
            case "IPPool":
                self._put(self._pools, key.name, value if isinstance(value, IPPool) else None)
            case "BGPConfiguration":
                found = value if isinstance(value, BGPConfiguration) else None
                self._put(self._configurations, key.name, found)
            case "BGPPeer":
                self._put(self._peers, key.name, value if isinstance(value, BGPPeer) else None)
            case "BGPFilter":
                self._put(self._filters, key.name, value if isinstance(value, BGPFilter) else None)

    def set_affinity(self, key: BlockAffinityKey, affinity: BlockAffinity | None) -> None:
        """Accept one of the node's affinities; a pending one is not announced yet."""
        if key.affinity_type != "host" or key.host != self._node_name:
            return
        self._is_dirty = True
        self._blocks.pop(key.cidr, None)
        if affinity is not None and affinity.state != "pending":
            self._blocks[key.cidr] = affinity.state in {"confirmed", ""}

    def flush(self) -> BirdInputs | None:
        """Return the inputs if anything changed since last time."""
        self._read_secrets()
        if not self._is_dirty:
            return None
        self._is_dirty = False
        cluster = Cluster(
            own_name=self._node_name,
            nodes=dict(self._nodes),
            configuration=self._configurations.get(_DEFAULT, BGPConfiguration()),
            node_configurations={
                name.removeprefix(_OF_NODE): configuration
                for name, configuration in self._configurations.items()
                if name.startswith(_OF_NODE)
            },
            peers=dict(self._peers),
            secrets=dict(self._secrets),
        )
        pools = tuple(self._pools[name] for name in sorted(self._pools))
        return BirdInputs(
            cluster,
            pools,
            dict(self._blocks),
            self._settings.router_id,
            dict(self._filters),
            self._settings.uses_bfd,
        )

    def _read_secrets(self) -> None:
        """Read the passwords that are referred to, if it is time or something changed."""
        if not self._is_dirty and self._now() < self._secrets_due:
            return
        self._secrets_due = self._now() + SECRETS_EVERY_SECONDS
        wanted = dict.fromkeys(self._wanted_secrets())
        found = {secret: read_secret(self._settings.secrets, secret) for secret in wanted}
        found = {secret: password for secret, password in found.items() if password}
        if found != self._secrets:
            self._secrets, self._is_dirty = found, True

    def _wanted_secrets(self) -> Iterator[SecretKey]:
        passwords: list[BGPPassword | None] = [peer.spec.password for peer in self._peers.values()]
        if _DEFAULT in self._configurations:
            passwords.append(self._configurations[_DEFAULT].spec.node_mesh_password)
        for password in passwords:
            if password is not None and password.secret_key_ref is not None:
                yield SecretKey(password.secret_key_ref.name, password.secret_key_ref.key)

    def _put(self, table: dict[str, Value], name: str, value: Value | None) -> None:
        self._is_dirty = True
        table.pop(name, None)
        if value is not None:
            table[name] = value
