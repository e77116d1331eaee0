"""What address management refuses.

IpamError
 |-- NoFreeAddress   fewer than wanted; says which pools were tried and why each failed
 |-- NotAllocated    there is nothing under this handle or address
 |-- Taken           the given address is in use (or cools down)
 `-- Busy            others kept changing the records; nothing was done, try again
"""


class IpamError(Exception):
    """The request cannot be met."""


class NoFreeAddress(IpamError):
    """Fewer addresses are free than were wanted; none was taken."""


class NotAllocated(IpamError):
    """Nothing is allocated under this handle or at this address."""


class Taken(IpamError):
    """The given address is in use."""


class Busy(IpamError):
    """Too many attempts lost against other writers."""
