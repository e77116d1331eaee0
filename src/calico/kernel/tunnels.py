"""The tunnel devices: VXLANs of our own, and the one IPIP device that the kernel has.

    read_back --> {name: Device}        links and addresses put together
    create, adjust, delete --> links.py, addresses.py

`tunl0` appears with the kernel's ipip module: making it means asking for the module (by making an
ipip link of another name, which is then deleted). It is emptied, never deleted.

Source: felix spec 6.9.
"""

import socket
from contextlib import suppress

from calico.core.intent.devices import Device
from calico.kernel.addresses import Address, Addresses
from calico.kernel.links import Link, Links, Vxlan

IPIP_DEVICE = "tunl0"
VXLAN_DEVICES = ("vxlan.calico", "vxlan-v6.calico")
_PROBE = "tunl-probe"


class KernelTunnels:
    """The devices in the namespace of the thread that makes this."""

    def __init__(self) -> None:
        self._links, self._addresses = Links(), Addresses()

    def close(self) -> None:
        """Give the sockets back."""
        self._links.close()
        self._addresses.close()

    def read_back(self) -> dict[str, Device]:
        """Return what our names stand for. One that is down, or in use otherwise, equals nothing.

        An unused tunl0 (down, without address) is not there. Raises KernelError.
        """
        found = {}
        for name in (*VXLAN_DEVICES, IPIP_DEVICE):
            link = self._links.get(name)
            if link is None:
                continue
            addresses = self._own_addresses(link)
            if name == IPIP_DEVICE and not (link.is_up or addresses):
                continue
            found[name] = self._device(link, addresses)
        return found

    def create(self, name: str, device: Device) -> None:
        """Make a device, with its address, up. Raises KernelError."""
        if device.kind == "ipip":
            if self._links.get(name) is None:
                self._links.create("ipip", _PROBE)
                self._links.delete(_PROBE)
        else:
            parent = self._links.get(device.parent)
            vxlan = Vxlan(
                vni=device.vni,
                port=device.port,
                local=device.local,
                parent=parent.index if parent else 0,
                mac=device.mac,
            )
            self._links.create_vxlan(name, vxlan, device.mtu_bytes)
        self.adjust(name, device)

    def adjust(self, name: str, device: Device) -> None:
        """Set MTU and address, raise it. Raises KernelError."""
        self._links.change(name, mtu_bytes=device.mtu_bytes)
        self._links.set_up(name)
        link = self._links.get(name)
        if link is None:
            return
        if device.address:
            self._addresses.add(link.index, device.address)
        for address in self._own_addresses(link):
            if address.address != device.address:
                self._addresses.delete(link.index, address.address)

    def delete(self, name: str) -> None:
        """Delete a device; empty one that is the kernel's. Raises KernelError."""
        link = self._links.get(name)
        if link is None:
            return
        if name != IPIP_DEVICE:
            self._links.delete(name)
            return
        for address in self._own_addresses(link):
            self._addresses.delete(link.index, address.address)
        self._links.set_up(name, "down")

    def _own_addresses(self, link: Link) -> list[Address]:
        """List a device's addresses, but for the one that the kernel gives every link."""
        listed = self._addresses.list(link.index)
        return [one for one in listed if not one.address.startswith("fe80:")]

    def _device(self, link: Link, addresses: list[Address]) -> Device:
        parent = ""
        vxlan = link.vxlan or Vxlan(0, 0)
        if vxlan.parent:
            with suppress(OSError):
                parent = socket.if_indextoname(vxlan.parent)
        texts = [one.address for one in addresses]
        return Device(
            "ipip" if link.kind == "ipip" else "vxlan",
            link.mtu_bytes if link.is_up and len(texts) < 2 else 0,
            texts[0] if texts else "",
            local=vxlan.local,
            parent=parent,
            mac=link.mac if link.vxlan else "",
            vni=vxlan.vni,
            port=vxlan.port,
        )
