"""What can go wrong, said once, in words that no protocol owns.

::

    ServiceError                 kind, message, retry_after_s
    ├── InvalidInput             INVALID_ARGUMENT    the caller's bytes, shapes, types or options
    │   └── TooLarge             TOO_LARGE           over a configured limit
    ├── NotFound                 NOT_FOUND           no such model, version or output
    ├── AlreadyExists            ALREADY_EXISTS
    ├── Unsupported              UNSUPPORTED         known, but not offered here
    ├── Unavailable              UNAVAILABLE         try again later
    │   ├── NotReady             UNAVAILABLE         the model is loading, unloading or failed
    │   ├── ShuttingDown         UNAVAILABLE         the server is going away
    │   ├── Overloaded           OVERLOADED          a bounded queue or budget is full
    │   └── QueueTimeout         QUEUE_TIMEOUT       waited longer than the queue policy allows
    ├── DeadlineExceeded         DEADLINE_EXCEEDED   the caller's own deadline has passed
    ├── Cancelled                CANCELLED           the caller has gone
    ├── LoadFailed               INTERNAL            could not load; names file, line and fix
    └── BackendFailed            INTERNAL            the model, or the server, failed on good input

Transports turn ``kind`` into a status by one table each; nobody reads the text.
"""

from __future__ import annotations

from enum import Enum


class ErrorKind(Enum):
    """The kinds of failure that every transport must know how to answer."""

    INVALID_ARGUMENT = "invalid_argument"
    TOO_LARGE = "too_large"
    NOT_FOUND = "not_found"
    ALREADY_EXISTS = "already_exists"
    UNSUPPORTED = "unsupported"
    UNAVAILABLE = "unavailable"
    OVERLOADED = "overloaded"
    QUEUE_TIMEOUT = "queue_timeout"
    DEADLINE_EXCEEDED = "deadline_exceeded"
    CANCELLED = "cancelled"
    INTERNAL = "internal"


class ServiceError(Exception):
    """An answer to the caller; `message` says got, expected and how to fix it.

    Parameters
    ----------
    message : str
        Plain words for the caller.
    retry_after_s : float, optional
        A hint for when a retry may succeed, in seconds.
    """

    kind: ErrorKind = ErrorKind.INTERNAL
    told = False
    """Whether the log has it already: a failure is logged once."""
    request_id = ""
    """The caller's name for its request, where one was read."""

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after_s = retry_after_s


class InvalidInput(ServiceError):
    """The caller's bytes, shapes, types or options are wrong."""

    kind = ErrorKind.INVALID_ARGUMENT


class TooLarge(InvalidInput):
    """The request is over a configured limit."""

    kind = ErrorKind.TOO_LARGE


class NotFound(ServiceError):
    """There is no such model, version or output."""

    kind = ErrorKind.NOT_FOUND


class AlreadyExists(ServiceError):
    """The name is taken."""

    kind = ErrorKind.ALREADY_EXISTS


class Unsupported(ServiceError):
    """Known, but not offered here."""

    kind = ErrorKind.UNSUPPORTED


class Unavailable(ServiceError):
    """Not now; the same request may succeed later."""

    kind = ErrorKind.UNAVAILABLE


class NotReady(Unavailable):
    """The model is loading, unloading, or its last load failed."""


class ShuttingDown(Unavailable):
    """The server is going away."""


class Overloaded(Unavailable):
    """A bounded queue or budget is full."""

    kind = ErrorKind.OVERLOADED


class QueueTimeout(Unavailable):
    """The request waited longer than the model's queue policy allows."""

    kind = ErrorKind.QUEUE_TIMEOUT


class DeadlineExceeded(ServiceError):
    """The caller's own deadline has passed."""

    kind = ErrorKind.DEADLINE_EXCEEDED


class Cancelled(ServiceError):
    """The caller has gone; nobody reads the answer."""

    kind = ErrorKind.CANCELLED


class LoadFailed(ServiceError):
    """A model could not be loaded; the message names file, line, field and fix."""


class BackendFailed(ServiceError):
    """The model or the server failed on input that was good."""
