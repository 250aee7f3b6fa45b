"""One stream: what its owner sends on it, and the room it gives the peer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from segserve.transport.http2.frames import ErrorCode, reset, window_update
from segserve.transport.http2.headers import Headers
from segserve.transport.http2.sender import Buffer, Sender

WINDOW_BYTES = 4 << 20
"""What a peer may send on a stream before the owner has taken any of it."""


class Exchange(Protocol):
    """The owner of a stream: one request and its answer."""

    @property
    def hungry(self) -> bool:
        """Whether more of the request may come; else `Stream.grant` is called later."""

    def received(self, piece: memoryview) -> None:
        """Take a piece of the request's body; it is valid during the call alone."""

    def room(self) -> memoryview | None:
        """Give where the following bytes of a long message belong, if one is on its way."""

    def filled(self, count: int) -> None:
        """So many bytes were read into `room`."""

    def request_ends(self) -> None:
        """Take note that the request is whole."""

    def lost(self) -> None:
        """Give up: the peer has reset the stream, or is gone."""

    def server_ends(self) -> None:
        """Answer now: the server has no time left."""


class Link(Protocol):
    """What a stream needs of its connection."""

    @property
    def sender(self) -> Sender:
        """Writes frames."""

    @property
    def congested(self) -> bool:
        """Whether the peer reads more slowly than is written."""

    async def relieved(self) -> None:
        """Wait until the peer may have caught up."""

    def flush_soon(self) -> None:
        """Write what was added, with what else is added in this turn of the event loop."""

    def forget(self, stream: Stream) -> None:
        """Nothing more is wanted from the stream's peer."""


class Stream:
    """The stream as its owner sees it; after `end` or `reset` nothing more is sent."""

    __slots__ = ("_link", "_owed_bytes", "_sender", "exchange", "id", "left_bytes", "out")
    exchange: Exchange  # set once the stream is accepted

    def __init__(self, stream_id: int, link: Link) -> None:
        self.id = stream_id
        self.left_bytes = WINDOW_BYTES  # what the peer may still send
        self._link = link
        self._owed_bytes = 0
        self._sender = link.sender
        self.out = self._sender.open(stream_id)

    def head(self, block: bytes) -> None:
        """Open the answer; it leaves with what follows."""
        self._sender.headers(self.out, block)

    def body(self, *parts: Buffer) -> None:
        """Send bytes of the answer."""
        if not self.out.ended:
            self._sender.body(self.out, *parts)
            self._link.flush_soon()

    def finish(self, head: bytes, trailers: bytes, *parts: Buffer) -> None:
        """Send a whole answer."""
        if not self.out.ended:
            self._sender.headers(self.out, head)
            self._sender.body(self.out, *parts)
            self.end(trailers)

    def end(self, trailers: bytes, *, request_ended: bool = True) -> None:
        """Close the answer; a peer that still sends its request is told to stop."""
        if self.out.ended:
            return
        after = b"" if request_ended else reset(self.id, ErrorCode.NO_ERROR)
        self._sender.end(self.out, trailers, after)
        self._link.flush_soon()
        self._link.forget(self)

    def reset(self, code: ErrorCode) -> None:
        """Break the stream off."""
        if not self.out.ended:
            self._sender.drop(self.id)
            self._sender.control(reset(self.id, code))
            self._link.flush_soon()
        self._link.forget(self)

    def took(self, size_bytes: int) -> bool:
        """Count bytes against the peer's window; false when it had no right to send them."""
        self.left_bytes -= size_bytes
        self._owed_bytes += size_bytes
        return self.left_bytes >= 0

    def grant(self) -> None:
        """Give the peer room again, once half of it is used and the owner wants more."""
        if self._owed_bytes >= WINDOW_BYTES // 2 and self.exchange.hungry:
            self._sender.control(window_update(self.id, self._owed_bytes))
            self._link.flush_soon()
            self.left_bytes += self._owed_bytes
            self._owed_bytes = 0

    async def drained(self) -> None:
        """Wait until what was sent has left; others get their turn in any case."""
        await asyncio.sleep(0)
        await self.out.sent()
        while self._link.congested:
            await self._link.relieved()
            await self.out.sent()


Accept = Callable[[Stream, Headers], Exchange | None]
"""Takes a new stream and its request's headers; gives None when it has answered at once."""
