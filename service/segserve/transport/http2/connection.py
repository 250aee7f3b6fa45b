"""One connection: a socket's bytes to and from its session, and the order in which it ends."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import cast

from typing_extensions import override

from segserve.transport.http2.frames import ConnectionFault, opens_stream
from segserve.transport.http2.lifetime import Lifetime, LifetimeActions, LifetimeLimits
from segserve.transport.http2.reader import FrameReader, NotHttp2
from segserve.transport.http2.sender import Buffer
from segserve.transport.http2.session import Session
from segserve.transport.http2.stream import Accept

log = logging.getLogger(__name__)
_LINGER_S = 5.0
_JOINED_BYTES = 16_384


class Connection(asyncio.BufferedProtocol):
    """Serves one peer.

    Parameters
    ----------
    accept : callable
        Takes each new stream.
    among : set
        The connections that are open, which this one enters and leaves.
    """

    def __init__(self, accept: Accept, limits: LifetimeLimits, among: set[Connection]) -> None:
        self._limits = limits
        self._among = among
        self._loop = asyncio.get_running_loop()
        self._session = Session(accept, self)
        self._reader = FrameReader(self._session)
        self._finished = False
        self._held = False
        self._kept = b""
        self._linger: asyncio.TimerHandle | None = None

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        session = self._session
        actions = LifetimeActions(ping=session.ping, retire=session.retire, cut=self._cut)
        self._lifetime = Lifetime(self._limits, actions)
        self._among.add(self)

    @override
    def get_buffer(self, sizehint: int) -> memoryview:
        return self._reader.buffer()

    @override
    def buffer_updated(self, nbytes: int) -> None:
        self._lifetime.heard()
        if self._held:
            self._kept = bytes(self._reader.buffer()[:nbytes])
            self._transport.pause_reading()
            return
        try:
            self._reader.received(nbytes)
        except ConnectionFault as fault:
            self._fail(fault)

    @override
    def eof_received(self) -> None:
        """Nothing more comes; the transport then closes."""
        self._part()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._among.discard(self)
        self._lifetime.end()
        if self._linger is not None:
            self._linger.cancel()
        self._session.lose()

    @override
    def pause_writing(self) -> None:
        self._session.flow(congested=True)

    @override
    def resume_writing(self) -> None:
        self._session.flow(congested=False)

    def hold(self) -> None:
        """Answer nothing until `admit`: to its peer, this connection is still being made."""
        self._held = True

    def admit(self) -> None:
        """Serve a connection that was held."""
        self._held = False
        if self._kept and self in self._among:
            self.buffer_updated(len(self._kept))
            self._transport.resume_reading()

    @property
    def asked(self) -> bool:
        """A peer that is held has sent a call all the same, as proxies do."""
        return opens_stream(self._kept)

    def retire(self) -> None:
        """Ask the peer to connect anew; what it has sent, and still sends, is answered."""
        self._session.retire()

    @property
    def heeded(self) -> bool:
        """Since `retire`, the peer has said that it knows; what it sends from now on is new."""
        return self._session.heeded

    def leave(self) -> None:
        """Take no further streams, and end once those that are open have ended."""
        self._session.leave()

    @property
    def done(self) -> bool:
        """Every stream was answered, and the answers have left this process."""
        return self._session.done and not self._transport.get_write_buffer_size()

    def close(self) -> None:
        """Answer what is open with a failure, and close."""
        self._session.end()
        self._transport.close()

    def abort(self) -> None:
        """Close at once, whatever has not left."""
        self._transport.abort()

    # What the session needs.

    def write(self, buffers: list[Buffer]) -> None:
        """Send, unless the connection has ended."""
        if not self._finished and not self._transport.is_closing():
            if sum(map(len, buffers)) <= _JOINED_BYTES:  # a copy costs less than a row
                self._transport.write(b"".join(buffers))
            else:
                self._transport.writelines(buffers)

    def flush_soon(self) -> None:
        """Write after this turn of the event loop."""
        self._loop.call_soon(self._session.flush)

    def shaken(self) -> None:
        """Take note that the peer's settings are there."""
        self._lifetime.shaken()

    def finished(self) -> None:
        """Say that nothing more comes; the peer then closes."""
        if not self._finished and not self._transport.is_closing():
            self._finished = True
            with contextlib.suppress(OSError):  # the peer has gone already
                self._transport.write_eof()

    def _fail(self, fault: ConnectionFault) -> None:
        log.info("connection_failed", extra={"code": fault.code.name, "text": fault.text})
        if isinstance(fault, NotHttp2):
            self.write([fault.answer])
        else:
            self._session.fail(fault)
        self._transport.close()
        self._part()

    def _part(self) -> None:
        """Give up what is open; the peer gets a while to take what was sent."""
        self._session.lose()
        if self._linger is None:
            self._linger = self._loop.call_later(_LINGER_S, self._transport.abort)

    def _cut(self, why: str) -> None:
        log.info("connection_cut", extra={"why": why})
        self._transport.abort()
