"""Make the kernel forget the connections of addresses that leave a workload.

    routes: "10.65.0.1 leaves cali1" --> forget --> conntrack

Without this, a new workload that gets the address would inherit what its predecessor had been
allowed: established connections pass before any policy. So routes.py calls it between taking the
old route away and writing a new one.

Failure: three attempts, then a warning. As with the original it does not hold up the route.

Source: felix spec 6.8; felix/conntrack/conntrack.go.
"""

import logging
from collections.abc import Collection
from typing import Protocol

from calico.kernel.netlink import KernelError

log = logging.getLogger(__name__)

ATTEMPTS = 3


class ConnectionTable(Protocol):
    """The kernel as this module needs it: kernel/conntrack.py, kernel/fake.py in tests."""

    def delete(self, addresses: Collection[str]) -> int:
        """Delete the connections of these addresses; return how many. Raises KernelError."""
        ...


class Connections:
    """Owned by the agent's loop."""

    def __init__(self, table: ConnectionTable) -> None:
        self._table = table

    def forget(self, addresses: Collection[str]) -> None:
        """Delete the connections of these addresses, with what patience there is."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                deleted = self._table.delete(addresses)
            except KernelError as error:
                if attempt == ATTEMPTS:
                    log.warning(
                        "connections not forgotten",
                        extra={"addresses": len(addresses), "error": str(error)},
                    )
                continue
            if deleted:
                log.debug("connections forgotten", extra={"connections": deleted})
            return
