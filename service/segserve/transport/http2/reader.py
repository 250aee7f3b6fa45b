"""Cutting what a socket gives into frames.

The socket reads into one buffer per connection; the payload of DATA is handed on from there in the
pieces that it comes in. What the receiver would copy into a long message is read straight into that
message instead.
"""

from __future__ import annotations

from typing import Protocol

from segserve.transport.http2.frames import (
    HEAD_BYTES,
    PREFACE,
    ConnectionFault,
    ErrorCode,
    Flag,
    Kind,
    content,
    read_head,
)

MAX_DATA_BYTES = 1 << 20
"""The largest frame that we ask for."""
BUFFER_BYTES = 65_536
_MAX_BLOCK_BYTES = 65_536
_MAX_CONTINUATIONS = 32
_DIRECT_BYTES = 16_384


class NotHttp2(ConnectionFault):
    """The first bytes are those of another protocol; `answer` says so to an HTTP/1 client."""

    _TEXT = "this port speaks gRPC over plain HTTP/2; HTTP/1 requests go to the port of --http-port"

    def __init__(self) -> None:
        super().__init__(ErrorCode.PROTOCOL_ERROR, self._TEXT)
        body = f"{self._TEXT}\n".encode()
        self.answer = (
            b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\nconnection: close\r\n"
            b"content-length: %d\r\n\r\n%s" % (len(body), body)
        )


class FrameSink(Protocol):
    """What is told of the frames."""

    def opened(self) -> None:
        """Take note that the peer speaks HTTP/2."""

    def data_begins(self, stream_id: int, size_bytes: int) -> None:
        """Take note that so many bytes of DATA come, padding counted in."""

    def data(self, stream_id: int, piece: memoryview) -> None:
        """Take a piece of DATA; it is valid during the call alone."""

    def data_ends(self, stream_id: int, *, last: bool) -> None:
        """Take note that a DATA frame is over; the request too, when it was its `last`."""

    def room(self, stream_id: int) -> memoryview | None:
        """Give where the following bytes of a long message belong, if one is on its way."""

    def filled(self, stream_id: int, count: int) -> None:
        """So many bytes were read into `room`."""

    def headers(self, stream_id: int, block: bytes, *, last: bool) -> None:
        """Take a whole header block."""

    def control(self, kind: int, flags: int, stream_id: int, payload: bytes) -> None:
        """Take a frame of another kind."""


class FrameReader:
    """Reads the frames of one connection, from its first byte.

    `buffer` tells where the socket shall read to, `received` how much it has read there.
    """

    def __init__(self, sink: FrameSink) -> None:
        self._sink = sink
        self._view = memoryview(bytearray(BUFFER_BYTES))
        self._end = 0  # of what was read and not yet taken, which starts at 0
        self._preface_seen = False
        self._stream_id = 0  # of the DATA frame that is being read
        self._data_left = -1  # of its payload; -1 outside of DATA
        self._padding_left = 0
        self._last = False
        self._room: memoryview | None = None
        self._block: bytearray | None = None  # a header block that continues
        self._block_of = (0, False)
        self._continuations = 0

    def buffer(self) -> memoryview:
        """Give where to read to."""
        self._room = None  # the last one may not have been read into
        if self._data_left >= _DIRECT_BYTES:
            room = self._sink.room(self._stream_id)
            if room is not None and len(room) >= _DIRECT_BYTES:
                self._room = room[: self._data_left]
                return self._room
        return self._view[self._end :]

    def received(self, count: int) -> None:
        """Take the bytes that were read into the last `buffer`.

        Raises
        ------
        ConnectionFault
            When they break HTTP/2's rules.
        """
        if self._room is not None:
            self._room = None
            self._sink.filled(self._stream_id, count)
            self._data_left -= count
            self._after_data()
            return
        end = self._end + count
        at = self._take(end)
        self._end = end - at
        if at and self._end:
            self._view[: self._end] = bytes(self._view[at:end])

    def _take(self, end: int) -> int:
        """Take what is whole, and give where the rest starts."""
        at = 0
        if not self._preface_seen:
            at = self._preface(end)
            if not self._preface_seen:
                return 0
        while True:
            if self._data_left >= 0:
                at += self._data(at, end)
                if self._data_left >= 0:
                    return at
            following = self._frame(at, end)
            if following == at:
                return at
            at = following

    def _preface(self, end: int) -> int:
        length = min(end, len(PREFACE))
        if self._view[:length] != PREFACE[:length]:
            raise NotHttp2
        if length == len(PREFACE):
            self._preface_seen = True
            self._sink.opened()
        return length

    def _frame(self, at: int, end: int) -> int:
        """Take one frame, for DATA its head; gives where the next one starts, or `at`."""
        if end - at < HEAD_BYTES:
            return at
        size_bytes, kind, flags, stream_id = read_head(self._view, at)
        if self._block is not None and (
            kind != Kind.CONTINUATION or stream_id != self._block_of[0]
        ):
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "CONTINUATION was expected")
        start = at + HEAD_BYTES
        if kind == Kind.DATA:
            return self._data_head(start, end, (size_bytes, flags, stream_id))
        if size_bytes > BUFFER_BYTES - HEAD_BYTES:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, f"a frame of {size_bytes} bytes")
        stop = start + size_bytes
        if stop > end:
            return at
        payload = bytes(self._view[start:stop])
        if kind == Kind.HEADERS:
            self._headers(stream_id, flags, content(payload, flags))
        elif kind == Kind.CONTINUATION:
            self._continuation(flags, payload)
        else:
            self._sink.control(kind, flags, stream_id, payload)
        return stop

    def _data_head(self, start: int, end: int, head: tuple[int, int, int]) -> int:
        size_bytes, flags, stream_id = head
        if size_bytes > MAX_DATA_BYTES:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, f"DATA of {size_bytes} bytes")
        padding = 0
        if flags & Flag.PADDED:
            if start == end:
                return start - HEAD_BYTES
            padding = self._view[start] + 1
            start += 1
            if padding > size_bytes:
                raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "padding longer than the frame")
        self._sink.data_begins(stream_id, size_bytes)
        self._stream_id = stream_id
        self._last = bool(flags & Flag.END_STREAM)
        self._data_left = size_bytes - padding
        self._padding_left = max(0, padding - 1)
        return start

    def _data(self, at: int, end: int) -> int:
        """Take a piece of DATA, then of its padding; gives how many bytes."""
        count = min(self._data_left, end - at)
        if count:
            self._sink.data(self._stream_id, self._view[at : at + count])
            self._data_left -= count
        skipped = 0
        if self._data_left == 0:
            skipped = min(self._padding_left, end - at - count)
            self._padding_left -= skipped
        self._after_data()
        return count + skipped

    def _after_data(self) -> None:
        if self._data_left == 0 and self._padding_left == 0:
            self._data_left = -1
            self._sink.data_ends(self._stream_id, last=self._last)

    def _headers(self, stream_id: int, flags: int, fragment: bytes) -> None:
        last = bool(flags & Flag.END_STREAM)
        if flags & Flag.END_HEADERS:
            self._sink.headers(stream_id, fragment, last=last)
            return
        self._block, self._block_of, self._continuations = bytearray(fragment), (stream_id, last), 0

    def _continuation(self, flags: int, fragment: bytes) -> None:
        block = self._block
        if block is None:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "CONTINUATION without HEADERS")
        block += fragment
        self._continuations += 1
        if len(block) > _MAX_BLOCK_BYTES or self._continuations > _MAX_CONTINUATIONS:
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "headers in too many pieces")
        if flags & Flag.END_HEADERS:
            stream_id, last = self._block_of
            self._block = None
            self._sink.headers(stream_id, bytes(block), last=last)
