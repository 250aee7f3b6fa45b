"""gRPC's failures and the stream's errors, turned into `SegserveError` in one place."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

import grpc

from segserve.client.errors import SegserveError
from segserve.core.errors import ErrorKind
from segserve.generated.segserve.v1 import segmentation_pb2

_KINDS = {
    grpc.StatusCode.INVALID_ARGUMENT: ErrorKind.INVALID_ARGUMENT,
    grpc.StatusCode.OUT_OF_RANGE: ErrorKind.INVALID_ARGUMENT,
    grpc.StatusCode.FAILED_PRECONDITION: ErrorKind.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND: ErrorKind.NOT_FOUND,
    grpc.StatusCode.ALREADY_EXISTS: ErrorKind.ALREADY_EXISTS,
    grpc.StatusCode.UNIMPLEMENTED: ErrorKind.UNSUPPORTED,
    grpc.StatusCode.UNAVAILABLE: ErrorKind.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED: ErrorKind.DEADLINE_EXCEEDED,
    grpc.StatusCode.CANCELLED: ErrorKind.CANCELLED,
}
KIND_TRAILER = "segserve-error-kind"
"""Trailer in which the server names the kind of an error."""
_WAITS = {"grpc-retry-pushback-ms": 1e-3, "retry-after-ms": 1e-3, "retry-after": 1.0}
"""Trailers that say when to come back, and the seconds of their unit."""


class Failure(Protocol):
    """What the sync and the asyncio ``RpcError`` have in common."""

    def code(self) -> grpc.StatusCode | None:
        """Give the status."""

    def details(self) -> str | None:
        """Give the server's words."""

    def trailing_metadata(self) -> Any:
        """Give the trailers."""


def from_rpc(failure: Failure) -> SegserveError:
    """Translate a failed call: by the kind that the server names, else by the status."""
    trailers = tuple(failure.trailing_metadata() or ())
    retry_after_s = _retry_after_s(trailers)
    code = failure.code()
    named = _named_kind(trailers)
    kind = named or _kind_of(code, retry_after_s)
    message = failure.details() or (code.name.lower() if code else "the call failed")
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED and named is None:
        kind, message = _limit_of_grpc(kind, message)
    answered = named is not None
    return SegserveError(kind, message, retry_after_s=retry_after_s, answered=answered)


def _limit_of_grpc(kind: ErrorKind, message: str) -> tuple[ErrorKind, str]:
    """Say what to do about the two limits that grpcio itself enforces: it has words for them alone.

    Both are met before a server's handler, or a client's, sees the message
    (``chttp2_transport.cc``, ``message_size_filter.cc``, ``_server.py`` of grpc).
    """
    if "larger than max" in message:
        fix = "send less, or raise the server's --max-request-bytes"
        return ErrorKind.TOO_LARGE, f"{message}: {fix}"
    if "Concurrent RPC limit" in message:
        fix = "try again later, or raise the server's --max-concurrent-rpcs"
        return ErrorKind.OVERLOADED, f"{message}: {fix}"
    return kind, message


def _named_kind(trailers: Iterable[tuple[str, str | bytes]]) -> ErrorKind | None:
    """Read the kind that the server names; None without one, or for a newer server's."""
    named = dict(trailers).get(KIND_TRAILER)
    return next((kind for kind in ErrorKind if kind.value == named), None)


def _kind_of(code: grpc.StatusCode | None, retry_after_s: float | None) -> ErrorKind:
    """Guess the kind of a status that something on the way, or grpcio itself, gave.

    RESOURCE_EXHAUSTED means a full queue where it says when to come back, and a message over a
    limit where it does not.
    """
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
        return ErrorKind.TOO_LARGE if retry_after_s is None else ErrorKind.OVERLOADED
    return _KINDS.get(code, ErrorKind.INTERNAL) if code else ErrorKind.INTERNAL


def _retry_after_s(trailers: Iterable[tuple[str, str | bytes]]) -> float | None:
    """Read the hint; a negative one forbids another attempt."""
    values = {key: value for key, value in trailers if key in _WAITS and isinstance(value, str)}
    for key, unit_s in _WAITS.items():
        try:
            wait = float(values[key]) * unit_s
        except (KeyError, ValueError):
            continue
        return wait if wait >= 0 else None
    return None


def from_stream(error: segmentation_pb2.Error) -> SegserveError:
    """Translate the error of one image of a stream; a newer server's kind counts as internal."""
    name = segmentation_pb2.ErrorKind.Name(error.kind) if error.kind in _KNOWN else ""
    kind = ErrorKind.__members__.get(name.removeprefix("ERROR_KIND_"), ErrorKind.INTERNAL)
    hint_s = error.retry_after_us / 1e6 if error.HasField("retry_after_us") else None
    return SegserveError(kind, error.message, retry_after_s=hint_s, answered=True)


_KNOWN = frozenset(segmentation_pb2.ErrorKind.values())
