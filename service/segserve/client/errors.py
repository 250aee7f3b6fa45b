"""The one exception that the client raises."""

from __future__ import annotations

from typing_extensions import override

from segserve.core.errors import ErrorKind, ServiceError


class SegserveError(ServiceError):
    """A call that got no answer, or an answer that cannot be read.

    Parameters
    ----------
    kind : ErrorKind
        What went wrong; equal kinds are equal reasons, whatever the message says.
    message : str
        Plain words: got, expected, how to fix it.
    retry_after_s : float, optional
        The server's hint for when the same call may succeed, in seconds.
    answered : bool
        The message is the server's; False where there was none to be had, or the client says so.
    """

    def __init__(
        self,
        kind: ErrorKind,
        message: str,
        *,
        retry_after_s: float | None = None,
        answered: bool = False,
    ) -> None:
        super().__init__(message, retry_after_s=retry_after_s)
        self.kind = kind
        self.answered = answered

    @override
    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (self.kind, self.message, self.retry_after_s, self.answered))


def _rebuild(
    kind: ErrorKind,
    message: str,
    retry_after_s: float | None,
    answered: bool,  # noqa: FBT001  pickle gives arguments by their place
) -> SegserveError:
    return SegserveError(kind, message, retry_after_s=retry_after_s, answered=answered)


def unreadable(message: str) -> SegserveError:
    """Give the error for data that the client itself cannot use."""
    return SegserveError(ErrorKind.INVALID_ARGUMENT, message)
