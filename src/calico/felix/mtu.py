"""The file that tells the CNI plugin how long a workload's packets may be.

Source: felix spec 6.9; libcalico-go's /var/lib/calico/mtu.
"""

import logging
from pathlib import Path

log = logging.getLogger(__name__)


class MtuFile:
    """Writes the number when it is another one, whole or not at all."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._written: int | None = None

    def put(self, mtu_bytes: int) -> None:
        """Say the MTU; a file that cannot be written is reported once for each value."""
        if mtu_bytes == self._written:
            return
        self._written = mtu_bytes
        staged = self._path.with_suffix(".new")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            staged.write_text(str(mtu_bytes))
            staged.chmod(0o644)
            staged.replace(self._path)
        except OSError as error:
            log.warning("cannot write the MTU file", extra={"error": str(error)})
            return
        log.info("MTU of new workload interfaces", extra={"mtu_bytes": mtu_bytes})
