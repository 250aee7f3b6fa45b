"""What a gRPC server serves, whichever library moves the bytes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from segserve.transport.tensor_bytes import Buffer

Trailers = tuple[tuple[str, str], ...]


class RpcFailed(Exception):
    """An rpc ends with another status than OK.

    Parameters
    ----------
    status : str
        Name of a gRPC status code.
    text : str
    trailers : tuple of (str, str)
        Sent beside them.
    told : bool
        Whether the log has it.
    """

    told = False

    def __init__(self, status: str, text: str, trailers: Trailers = ()) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.trailers = trailers


class RpcContext(Protocol):
    """What a servicer may ask of, and do to, the rpc that it answers."""

    def time_remaining(self) -> float | None:
        """Give the seconds until the caller's deadline; None without one."""

    def invocation_metadata(self) -> tuple[tuple[str, str | bytes], ...] | None:
        """Give the caller's headers."""

    async def write(self, message: bytes) -> None:
        """Send a message of a streamed answer; waits while the caller reads too slowly."""


Answer = Callable[[Buffer, RpcContext], Awaitable[bytes]]
StreamAnswer = Callable[[AsyncIterator[Buffer], RpcContext], Awaitable[None]]


@dataclass(frozen=True)
class Unary:
    """One message in, one out; raises RpcFailed alone."""

    answer: Answer


@dataclass(frozen=True)
class Streaming:
    """Messages in, messages out through the context; raises RpcFailed alone."""

    answer: StreamAnswer


Method = Unary | Streaming
Service = dict[str, Method]
"""Methods by name."""
