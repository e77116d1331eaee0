"""gRPC's errors in plain words: may it be tried again, was it refused, and what to do about it.

    RpcError --advice--> "what to do", if etcd understood and said no; "" if it did not answer

gRPC tells by code and free text. The code decides; the text is read only where codes are too
coarse, and always so that a text we do not know is taken for "nobody knows what happened".
"""

import re
from typing import Any

import grpc

_PREAMBLE = re.compile(r"\A(?:[A-Z_]+: )?(?:ipv[46]:\S+: )?")


def may_repeat(error: Any, *, is_read: bool) -> bool:  # noqa: ANN401  # grpc ships no types
    """Say whether asking again cannot do a thing twice: it only reads, or was never sent."""
    if error.code() != grpc.StatusCode.UNAVAILABLE:
        return False
    details = str(error.details()).lower()
    return is_read or "failed to connect" in details or "resolution failed" in details


def token_is_stale(error: Any) -> bool:  # noqa: ANN401  # grpc ships no types
    """Say whether etcd no longer knows the token that it gave us."""
    code, details = error.code(), str(error.details())
    return bool(
        code == grpc.StatusCode.UNAUTHENTICATED or "auth: revision in header is old" in details
    )


def short(error: Any) -> str:  # noqa: ANN401  # grpc ships no types
    """Give the part of an error that a person can use."""
    details = str(error.details() or error.code().name)
    if error.code() == grpc.StatusCode.DEADLINE_EXCEEDED:
        return "no answer"
    # gRPC puts a sentence of its own, a code and an address before what a person wants to know
    return _PREAMBLE.sub("", details.rpartition("last error: ")[2])


def advice(code: Any, details: str) -> str:  # noqa: ANN401  # grpc ships no types
    """Say what to do about a refusal; nothing when it was no refusal."""
    codes = grpc.StatusCode
    if "database space exceeded" in details:
        return (
            "Its quota is used up (alarm NOSPACE): compact and defragment it, or raise "
            "--quota-backend-bytes; then `etcdctl alarm disarm`"
        )
    if code in {codes.UNAUTHENTICATED, codes.PERMISSION_DENIED} or "auth" in details:
        return "Check ETCD_USERNAME, ETCD_PASSWORD and the roles of that user"
    if "user name is empty" in details:
        return "It asks for a user: set ETCD_USERNAME and ETCD_PASSWORD"
    if code in {codes.INVALID_ARGUMENT, codes.FAILED_PRECONDITION, codes.UNIMPLEMENTED}:
        return "The request itself was at fault"
    return ""
