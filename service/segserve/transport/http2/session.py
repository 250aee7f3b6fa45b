"""The streams of one connection: what frames do to them, whatever carries the bytes.

Unknown frames are ignored and priorities are not kept, as RFC 9113 allows.
"""

from __future__ import annotations

from typing import Protocol

from segserve.transport.http2 import frames
from segserve.transport.http2.frames import ConnectionFault, ErrorCode, Flag, Kind, Setting
from segserve.transport.http2.headers import MAX_LIST_BYTES, HeaderReader
from segserve.transport.http2.reader import MAX_DATA_BYTES
from segserve.transport.http2.sender import Buffer, Sender
from segserve.transport.http2.stream import WINDOW_BYTES, Accept, Stream
from segserve.transport.http2.waiters import Waiters

CONNECTION_WINDOW_BYTES = 64 << 20
MAX_REPLIES = 1000
"""Answers to PING and SETTINGS, and refusals, that wait for a peer who does not read."""
_OPENING = frames.settings(
    {
        Setting.ENABLE_PUSH: 0,
        Setting.INITIAL_WINDOW_SIZE: WINDOW_BYTES,
        Setting.MAX_FRAME_SIZE: MAX_DATA_BYTES,
        Setting.MAX_HEADER_LIST_SIZE: MAX_LIST_BYTES,
    }
) + frames.window_update(0, CONNECTION_WINDOW_BYTES - frames.DEFAULT_WINDOW_BYTES)


class Carrier(Protocol):
    """What carries the bytes."""

    def write(self, buffers: list[Buffer]) -> None:
        """Send."""

    def flush_soon(self) -> None:
        """Call the session's `flush` after this turn of the event loop."""

    def shaken(self) -> None:
        """Take note that the peer's settings are there."""

    def finished(self) -> None:
        """Take note that a session that leaves has nothing more to send."""


class Session:
    """Takes the frames of a peer (as a `FrameSink`), and carries its streams (as their `Link`).

    Parameters
    ----------
    accept : callable
        Takes each new stream.
    """

    def __init__(self, accept: Accept, carrier: Carrier) -> None:
        self.sender = Sender(carrier.write)
        self.congested = False
        self.heeded = False  # the peer knows that it shall connect anew
        self._accept = accept
        self._carrier = carrier
        self._headers = HeaderReader()
        self._streams: dict[int, Stream] = {}
        self._last_id = 0  # the last stream that was taken
        self._seen_id = 0  # the last that the peer has opened
        self._left_bytes = CONNECTION_WINDOW_BYTES
        self._shaken = self._opened = self._retired = self._leaving = False
        self._flush_planned = False
        self._replies = 0
        self._waiters = Waiters()

    # What the connection does.

    @property
    def done(self) -> bool:
        """Every stream was answered, and the answers have been written."""
        return not self._streams and self.sender.idle and not self._flush_planned

    def flush(self) -> None:
        """Write what was added."""
        self._flush_planned = False
        self.sender.flush()
        if self._leaving and self.done:
            self._carrier.finished()

    def flow(self, *, congested: bool) -> None:
        """Take note whether the peer reads too slowly."""
        self.congested = congested
        self.sender.hold(on=congested)
        if not congested:
            self._replies = 0
            self.flush_soon()
            self._waiters.wake()

    def retire(self) -> None:
        """Ask the peer to connect anew; what it has sent, and still sends, is answered."""
        self._retired = True
        if self._opened:
            self.sender.control(frames.retiring())
            self.flush_soon()

    def leave(self) -> None:
        """Take no further streams, and finish once those that are open have ended."""
        if not self._leaving:
            self._leaving = True
            if self._opened:
                self.sender.control(frames.goaway(self._last_id, ErrorCode.NO_ERROR))
        self.flush_soon()

    def fail(self, fault: ConnectionFault) -> None:
        """Tell the peer which rule it broke."""
        self.sender.control(frames.goaway(self._last_id, fault.code, fault.text))
        self.sender.flush()

    def ping(self) -> None:
        """Ask the peer whether it is there."""
        self.sender.control(frames.ping(frames.KEEPALIVE_PING))
        self.flush_soon()

    def end(self) -> None:
        """Answer every open stream with a failure."""
        for stream in tuple(self._streams.values()):
            stream.exchange.server_ends()
        self.sender.hold(on=False)  # there is no later
        self.sender.flush()

    def lose(self) -> None:
        """Give every open stream up: the peer is gone."""
        for stream in tuple(self._streams.values()):
            self._lose(stream)
        self.sender.clear()
        self._waiters.wake()

    # What a stream needs.

    def flush_soon(self) -> None:
        """Write what was added, with what else is added in this turn of the event loop."""
        if not self._flush_planned:
            self._flush_planned = True
            self._carrier.flush_soon()

    def forget(self, stream: Stream) -> None:
        """Nothing more is wanted from the stream's peer; what it was sent may still leave."""
        self._streams.pop(stream.id, None)
        self.flush_soon()

    async def relieved(self) -> None:
        """Wait until the peer may have caught up."""
        await self._waiters.wait()

    # What the reader tells.

    def opened(self) -> None:
        """Answer the peer's first bytes."""
        self._opened = True
        self.sender.control(_OPENING)
        self.flush_soon()
        if self._retired:
            self.retire()

    def data_begins(self, stream_id: int, size_bytes: int) -> None:
        """Shrink the windows by the bytes of DATA that come."""
        if stream_id == 0:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "DATA on stream 0")
        self._check_seen(stream_id, Kind.DATA)
        self._left_bytes -= size_bytes
        if self._left_bytes < 0:
            raise ConnectionFault(
                ErrorCode.FLOW_CONTROL_ERROR, "the connection's window is used up"
            )
        if self._left_bytes < CONNECTION_WINDOW_BYTES // 2:
            more_bytes = CONNECTION_WINDOW_BYTES - self._left_bytes
            self.sender.control(frames.window_update(0, more_bytes))
            self.flush_soon()
            self._left_bytes = CONNECTION_WINDOW_BYTES
        stream = self._streams.get(stream_id)
        if stream is not None and not stream.took(size_bytes):
            stream.reset(ErrorCode.FLOW_CONTROL_ERROR)
            self._lose(stream)

    def data(self, stream_id: int, piece: memoryview) -> None:
        """Hand a piece of DATA on."""
        stream = self._streams.get(stream_id)
        if stream is not None:
            stream.exchange.received(piece)

    def data_ends(self, stream_id: int, *, last: bool) -> None:
        """Tell the stream's owner that its request is whole, or the peer that more may come."""
        stream = self._streams.get(stream_id)
        if stream is None:
            return
        if last:
            stream.exchange.request_ends()
        else:
            stream.grant()

    def room(self, stream_id: int) -> memoryview | None:
        """Give where a long message's bytes belong."""
        stream = self._streams.get(stream_id)
        return None if stream is None else stream.exchange.room()

    def filled(self, stream_id: int, count: int) -> None:
        """Bytes were read into `room`."""
        stream = self._streams.get(stream_id)
        if stream is not None:
            stream.exchange.filled(count)

    def headers(self, stream_id: int, block: bytes, *, last: bool) -> None:
        """Open a stream, or take what closes its request."""
        headers = self._headers.read(block)
        stream = self._streams.get(stream_id)
        if stream is not None:
            if not last:
                raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "headers in the midst of a body")
            stream.exchange.request_ends()
            return
        if stream_id % 2 == 0 or not self._shaken:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"HEADERS on stream {stream_id}")
        ended = stream_id <= self._seen_id
        self._seen_id = max(stream_id, self._seen_id)
        if ended or self._leaving:
            return  # it has ended here, or came after the last that we take
        self._last_id = stream_id
        stream = Stream(stream_id, self)
        exchange = self._accept(stream, headers)
        if exchange is None:
            self._count_reply()
            return
        stream.exchange = exchange
        self._streams[stream_id] = stream
        if last:
            exchange.request_ends()

    def control(self, kind: int, flags: int, stream_id: int, payload: bytes) -> None:
        """Obey a frame that is neither DATA nor HEADERS."""
        if not self._shaken and kind != Kind.SETTINGS:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "the first frame must be SETTINGS")
        frames.check_place(kind, stream_id, len(payload))
        if kind == Kind.WINDOW_UPDATE:
            self._check_seen(stream_id, kind)
            self.sender.window_update(stream_id, frames.read_increment(payload))
            self.flush_soon()
        elif kind == Kind.PING:
            self._ping(flags, payload)
        elif kind == Kind.SETTINGS:
            self._settings(flags, payload)
        elif kind == Kind.RST_STREAM:
            self._reset(stream_id)
        elif kind == Kind.PUSH_PROMISE:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a client cannot push")

    def _check_seen(self, stream_id: int, kind: int) -> None:
        if stream_id > self._seen_id:
            text = f"a frame of kind {kind} on stream {stream_id}, which was not opened"
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, text)

    def _ping(self, flags: int, payload: bytes) -> None:
        if flags & Flag.ACK:
            self.heeded |= payload == frames.RETIRING_PING
        else:
            self._reply(frames.ping(payload, Flag.ACK))

    def _settings(self, flags: int, payload: bytes) -> None:
        if flags & Flag.ACK:
            if payload:
                raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "SETTINGS ACK has no payload")
            return
        values = frames.read_settings(payload)
        self._reply(frames.SETTINGS_ACK)  # first: what follows it may use the new windows
        self.sender.settings(values)
        if not self._shaken:
            self._shaken = True
            self._carrier.shaken()

    def _reset(self, stream_id: int) -> None:
        self._check_seen(stream_id, Kind.RST_STREAM)
        stream = self._streams.get(stream_id)
        if stream is not None:
            self._lose(stream)
        else:
            self.sender.drop(stream_id)
            self.flush_soon()

    def _reply(self, frame: bytes) -> None:
        self._count_reply()
        self.sender.control(frame)
        self.flush_soon()

    def _count_reply(self) -> None:
        """Bound what is sent to a peer who asks and asks and reads nothing."""
        if self.congested:
            self._replies += 1
            if self._replies > MAX_REPLIES:
                raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "answers are not read")

    def _lose(self, stream: Stream) -> None:
        self.sender.drop(stream.id)
        self.forget(stream)
        stream.exchange.lost()
