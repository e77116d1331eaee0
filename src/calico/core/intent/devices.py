"""The tunnel devices of a node, as its kernel should hold them.

Source: felix spec 6.9.
"""

from typing import Literal

from msgspec import Struct


class Device(Struct, frozen=True):
    """One device. `parent` is the name of the link that its packets leave by.

    `address` has its whole length, "10.65.3.64/32"; "" for none yet. VXLAN's own fields are 0 and
    "" with IPIP, whose device is the kernel's, there once its module is.
    """

    kind: Literal["vxlan", "ipip"]
    mtu_bytes: int
    address: str = ""
    local: str = ""
    parent: str = ""
    mac: str = ""
    vni: int = 0
    port: int = 0
