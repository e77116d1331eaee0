"""What a runtime is told when a request fails.

    CniError   code, message, details: printed as JSON, exit status 1

Codes up to 99 are the CNI specification's, 999 is the original's for all else of its own.

Source: CNI specification 1.1.0, "Error"; shared/spec cni 4.1.
"""

import msgspec
from msgspec import Struct

VERSION = 1
UNSUPPORTED = 2
BAD_ENVIRONMENT = 4
IO_FAILURE = 5
BAD_JSON = 6
BAD_CONFIG = 7
OWN_NAMESPACE = 8
TRY_AGAIN = 11
NOT_AVAILABLE = 50
FAILED = 999


class _Printed(Struct, omit_defaults=True):
    code: int
    msg: str
    details: str = ""


class CniError(Exception):
    """The request failed; nothing of it is left behind."""

    def __init__(self, code: int, message: str, details: str = "") -> None:
        super().__init__(f"{message}: {details}" if details else message)
        self.code = code
        self.message = message
        self.details = details

    def printed(self) -> bytes:
        """Render the error as JSON, indented as the original does."""
        raw = msgspec.json.encode(_Printed(self.code, self.message, self.details))
        return msgspec.json.format(raw, indent=4)


class DelegateFailed(CniError):
    """Another plugin refused; its own words are passed on."""

    def __init__(self, printed: bytes) -> None:
        try:
            told = msgspec.json.decode(printed, type=_Printed)
        except msgspec.MsgspecError:
            told = _Printed(FAILED, "the IPAM plugin failed", printed.decode(errors="replace"))
        super().__init__(told.code, told.msg, told.details)
