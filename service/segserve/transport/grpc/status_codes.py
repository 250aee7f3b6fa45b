"""The numbers of gRPC's status codes, and how a status is written in trailers."""

from __future__ import annotations

from collections.abc import Iterable

from segserve.transport.grpc.message_reader import ENCODINGS
from segserve.transport.http2.headers import written

CODES = {
    name: number
    for number, name in enumerate(
        (
            "OK",
            "CANCELLED",
            "UNKNOWN",
            "INVALID_ARGUMENT",
            "DEADLINE_EXCEEDED",
            "NOT_FOUND",
            "ALREADY_EXISTS",
            "PERMISSION_DENIED",
            "RESOURCE_EXHAUSTED",
            "FAILED_PRECONDITION",
            "ABORTED",
            "OUT_OF_RANGE",
            "UNIMPLEMENTED",
            "INTERNAL",
            "UNAVAILABLE",
            "DATA_LOSS",
            "UNAUTHENTICATED",
        )
    )
}
_PLAIN = frozenset(range(0x20, 0x7F)) - {ord("%")}
HEAD = written(
    (
        (b":status", b"200"),
        (b"content-type", b"application/grpc"),
        (b"grpc-accept-encoding", ENCODINGS),
    )
)
"""The headers that open every answer."""
OK = written(((b"grpc-status", b"0"),))


def trailers(status: str, text: str, more: Iterable[tuple[str, str]] = ()) -> bytes:
    """Write the header block that closes a failed call.

    Parameters
    ----------
    status : str
        A name in `CODES`.
    text : str
        Percent-encoded as gRPC's protocol says.
    """
    rows = [
        (b"grpc-status", str(CODES[status]).encode()),
        (b"grpc-message", _percent_encoded(text)),
        *((name.encode(), value.encode()) for name, value in more),
    ]
    return written(rows)


def _percent_encoded(text: str) -> bytes:
    return b"".join(
        bytes((byte,)) if byte in _PLAIN else b"%%%02X" % byte
        for byte in text.encode("utf-8", "replace")
    )
