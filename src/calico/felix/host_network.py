"""The node's own links and addresses, out of all that the kernel tells.

    listed once at the start ---+
    links, addresses, notified -+--> HostNetwork.note --> Underlay (core/render): parents, MTU

What workload interfaces do is not of interest here, and there can be hundreds of them. All is
listed before the first turn: without it that turn would take down the routes of an earlier life.
"""

from collections.abc import Hashable, Mapping

from calico.core.intent.tunnels import DEVICES
from calico.core.render.underlay import HostLink, Underlay
from calico.kernel.addresses import Addresses
from calico.kernel.links import Link, Links
from calico.kernel.notifications import AddressChanged, LinkChanged, LinkState


class HostNetwork:
    """The loop is its only caller."""

    def __init__(self, underlay: Underlay, workload_prefixes: tuple[str, ...]) -> None:
        self._underlay = underlay
        self._prefixes = workload_prefixes

    def read(self) -> None:
        """List everything. Raises KernelError."""
        with Links() as links, Addresses() as addresses:
            for link in links.list().values():
                self._set_link(link.name, link)
            for one in addresses.list():
                self._set_address(AddressChanged(one.index, one.address), is_there=True)

    def note(self, arrived: Mapping[Hashable, object]) -> bool:
        """Take what is of interest; return whether there was any."""
        is_news = False
        for key, value in arrived.items():
            if isinstance(key, LinkChanged) and not key.name.startswith(self._prefixes):
                self._set_link(key.name, value.link if isinstance(value, LinkState) else None)
                is_news = True
            elif isinstance(key, AddressChanged):
                is_news |= self._set_address(key, is_there=value is not None)
        return is_news

    def _set_link(self, name: str, link: Link | None) -> None:
        if not name.startswith(self._prefixes) and name not in DEVICES.values():
            known = None if link is None else HostLink(link.index, link.mtu_bytes, link.is_up)
            self._underlay.set_link(name, known)

    def _set_address(self, key: AddressChanged, *, is_there: bool) -> bool:
        if key.address.startswith("fe80:"):
            return False  # every link has one, those of workloads too
        address = key.address.partition("/")[0]
        self._underlay.set_address(key.interface_index, address, is_there=is_there)
        return True
