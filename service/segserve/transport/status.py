"""How each kind of failure is answered: one table for both protocols.

The codes are those of Triton's ``GrpcStatusUtil`` and ``HttpCodeFromError``; a full queue can be
told apart from a server that is away by choosing ``resource_exhausted``, because common gRPC
clients repeat UNAVAILABLE at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from segserve.core.errors import ErrorKind, ServiceError

OverloadStatus = Literal["unavailable", "resource_exhausted"]
MESSAGE_LIMIT_CHARS = 4000  # gRPC puts the text into a header, and clients take 8 KiB of those


@dataclass(frozen=True)
class Status:
    """The name of a gRPC status code and an HTTP code."""

    grpc: str
    http: int


STATUS: dict[ErrorKind, Status] = {
    ErrorKind.INVALID_ARGUMENT: Status("INVALID_ARGUMENT", 400),
    ErrorKind.TOO_LARGE: Status("INVALID_ARGUMENT", 400),
    ErrorKind.NOT_FOUND: Status("NOT_FOUND", 404),
    ErrorKind.ALREADY_EXISTS: Status("ALREADY_EXISTS", 400),
    ErrorKind.UNSUPPORTED: Status("UNIMPLEMENTED", 501),
    ErrorKind.UNAVAILABLE: Status("UNAVAILABLE", 503),
    ErrorKind.OVERLOADED: Status("UNAVAILABLE", 503),
    ErrorKind.QUEUE_TIMEOUT: Status("UNAVAILABLE", 503),
    ErrorKind.DEADLINE_EXCEEDED: Status("DEADLINE_EXCEEDED", 504),
    ErrorKind.CANCELLED: Status("CANCELLED", 400),
    ErrorKind.INTERNAL: Status("INTERNAL", 500),
}
_EXHAUSTED = Status("RESOURCE_EXHAUSTED", 429)


def status_of(kind: ErrorKind, overload: OverloadStatus = "unavailable") -> Status:
    """Give the codes of a kind; `overload` chooses those of a full queue."""
    if kind is ErrorKind.OVERLOADED and overload == "resource_exhausted":
        return _EXHAUSTED
    return STATUS[kind]


def message_of(error: ServiceError) -> str:
    """Give the error's text, cut where a caller's own bytes made it long."""
    text = error.message
    if len(text) <= MESSAGE_LIMIT_CHARS:
        return text
    return f"{text[:MESSAGE_LIMIT_CHARS]}... ({len(text)} characters)"
