"""What goes out on one connection, within the windows that the peer grants.

An answer's parts are put together in a list that leaves in one write. What the windows do not allow
yet waits with its stream, and streams that wait take turns, a frame each.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from segserve.transport.http2.frames import (
    DEFAULT_FRAME_BYTES,
    DEFAULT_WINDOW_BYTES,
    MAX_WINDOW_BYTES,
    ConnectionFault,
    ErrorCode,
    Flag,
    Kind,
    Setting,
    head,
)
from segserve.transport.http2.waiters import Waiters

Buffer = bytes | memoryview


class Outbound:
    """The sending half of a stream."""

    __slots__ = (
        "closing",
        "ended",
        "extra_bytes",
        "left",
        "on_end",
        "pending_bytes",
        "stream_id",
        "waiting",
    )

    def __init__(self, stream_id: int) -> None:
        self.stream_id = stream_id
        self.extra_bytes = 0  # of its window, beside what the peer's settings give every stream
        self.waiting: deque[memoryview] = deque()
        self.pending_bytes = 0
        self.left: Waiters | None = None  # woken once nothing waits any more
        self.closing: bytes | None = None  # frames that follow what waits
        self.ended = False
        self.on_end: Callable[[], None] | None = None  # called once nothing more leaves

    async def sent(self) -> None:
        """Wait until nothing waits."""
        while self.pending_bytes:
            if self.left is None:
                self.left = Waiters()
            await self.left.wait()


class Sender:
    """Writes the frames of one connection.

    Parameters
    ----------
    write : callable
        Takes the buffers of one write.
    """

    def __init__(self, write: Callable[[list[Buffer]], None]) -> None:
        self._write = write
        self._out: list[Buffer] = []
        self._window_bytes = DEFAULT_WINDOW_BYTES
        self._stream_window_bytes = DEFAULT_WINDOW_BYTES
        self._most_extra_bytes = 0  # no stream has more than that
        self._resized = False  # what is blocked may have room since
        self._frame_bytes = DEFAULT_FRAME_BYTES
        self._streams: dict[int, Outbound] = {}
        self._blocked: dict[int, Outbound] = {}  # what waits for a window
        self._ready: dict[int, Outbound] = {}  # ... and has one, but the connection has none
        self._closing: dict[int, Outbound] = {}  # what was held back, and is only to be closed
        self._held = False

    @property
    def idle(self) -> bool:
        """Nothing waits for a window, or for the socket."""
        return not self._blocked and not self._closing

    def open(self, stream_id: int) -> Outbound:
        """Give the sending half of a new stream."""
        stream = Outbound(stream_id)
        self._streams[stream_id] = stream
        return stream

    def drop(self, stream_id: int) -> None:
        """Forget a stream, and what it has not sent."""
        stream = self._streams.pop(stream_id, None)
        self._blocked.pop(stream_id, None)
        self._ready.pop(stream_id, None)
        self._closing.pop(stream_id, None)
        if stream is not None:
            stream.ended = True
            stream.waiting.clear()
            stream.pending_bytes = 0
            if stream.left is not None:
                stream.left.wake()
            if stream.on_end is not None:
                stream.on_end()

    def control(self, frame: bytes) -> None:
        """Add a frame that no window holds back."""
        self._out.append(frame)

    def headers(self, stream: Outbound, block: bytes) -> None:
        """Add the headers that open an answer."""
        self._out.append(self._headers(stream, 0, block))

    def body(self, stream: Outbound, *parts: Buffer) -> None:
        """Add bytes of an answer; they are kept, not copied, until they leave."""
        if not stream.waiting and self._fits(stream, parts):
            return
        for part in parts:
            if len(part):
                stream.waiting.append(memoryview(part).cast("B"))
                stream.pending_bytes += len(part)
        self._blocked[stream.stream_id] = stream
        self._ready_if_open(stream)
        self._pump()

    def end(self, stream: Outbound, block: bytes, after: bytes = b"") -> None:
        """Add the headers that close an answer, after its last byte, and a frame after them."""
        closing = self._headers(stream, Flag.END_STREAM, block) + after
        if stream.waiting:
            stream.closing = closing
        elif self._held and not stream.ended:
            stream.closing = closing
            self._closing[stream.stream_id] = stream
        elif not stream.ended:
            self._close(stream, closing)

    def hold(self, *, on: bool) -> None:
        """Keep bodies and ends back while the socket takes no more, or let them go."""
        self._held = on
        while self._closing and not on:
            _stream_id, stream = self._closing.popitem()
            self._close(stream, stream.closing or b"")
        self._pump()

    def clear(self) -> None:
        """Forget all streams, and what they have not sent."""
        for stream_id in tuple(self._streams):
            self.drop(stream_id)

    def flush(self) -> None:
        """Write what was added."""
        if self._resized:
            self._resized = False
            for stream in self._blocked.values():
                self._ready_if_open(stream)
            self._pump()
        out = self._out
        if out:
            self._out = []
            self._write(out)

    def window_update(self, stream_id: int, size_bytes: int) -> None:
        """Take more room from the peer, and use it.

        Raises
        ------
        ConnectionFault
            For a window that grows by nothing or past 2^31-1.
        """
        stream = self._streams.get(stream_id)
        if stream_id and stream is None:
            return  # ended meanwhile
        window_bytes = self._room_bytes(stream) if stream else self._window_bytes
        if not 0 < size_bytes <= MAX_WINDOW_BYTES - window_bytes:
            raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, f"a window grew by {size_bytes}")
        if stream:
            stream.extra_bytes += size_bytes
            self._most_extra_bytes = max(self._most_extra_bytes, stream.extra_bytes)
            self._ready_if_open(stream)
        else:
            self._window_bytes += size_bytes
        self._pump()

    def settings(self, values: dict[int, int]) -> None:
        """Obey the peer's settings, for all streams at once; `flush` sends what they allow.

        Raises
        ------
        ConnectionFault
            When they make a window larger than 2^31-1.
        """
        self._frame_bytes = values.get(Setting.MAX_FRAME_SIZE, self._frame_bytes)
        window_bytes = values.get(Setting.INITIAL_WINDOW_SIZE, self._stream_window_bytes)
        if window_bytes + self._most_extra_bytes > MAX_WINDOW_BYTES:
            extras = (stream.extra_bytes for stream in self._streams.values())
            self._most_extra_bytes = max(0, max(extras, default=0))
            if window_bytes + self._most_extra_bytes > MAX_WINDOW_BYTES:
                raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "a window over 2^31-1")
        self._stream_window_bytes = window_bytes
        self._resized = True

    def _room_bytes(self, stream: Outbound) -> int:
        """Give a stream's window; below zero once the peer's settings have shrunk it."""
        return self._stream_window_bytes + stream.extra_bytes

    def _fits(self, stream: Outbound, parts: tuple[Buffer, ...]) -> bool:
        """Add a body whole as one frame if it may leave now, which most may."""
        size_bytes = sum(map(len, parts))
        window_bytes = self._room_bytes(stream)
        if self._held or size_bytes > min(self._frame_bytes, window_bytes, self._window_bytes):
            return False
        self._data(stream, parts, size_bytes)
        return True

    def _data(self, stream: Outbound, parts: tuple[Buffer, ...], size_bytes: int) -> None:
        stream.extra_bytes -= size_bytes
        self._window_bytes -= size_bytes
        self._out.append(head(Kind.DATA, 0, stream.stream_id, size_bytes))
        self._out += parts

    def _headers(self, stream: Outbound, flags: int, block: bytes) -> bytes:
        """Write a block as frames that the peer takes."""
        size_bytes, stream_id = self._frame_bytes, stream.stream_id
        if len(block) <= size_bytes:
            return head(Kind.HEADERS, flags | Flag.END_HEADERS, stream_id, len(block)) + block
        pieces = [block[at : at + size_bytes] for at in range(0, len(block), size_bytes)]
        kinds = [(Kind.HEADERS, flags), *[(Kind.CONTINUATION, 0)] * (len(pieces) - 1)]
        kinds[-1] = (Kind.CONTINUATION, Flag.END_HEADERS)
        return b"".join(
            head(kind, flags, stream_id, len(piece)) + piece
            for (kind, flags), piece in zip(kinds, pieces, strict=True)
        )

    def _close(self, stream: Outbound, closing: bytes) -> None:
        self._out.append(closing)
        self.drop(stream.stream_id)

    def _ready_if_open(self, stream: Outbound) -> None:
        if stream.waiting and self._room_bytes(stream) > 0:
            self._ready[stream.stream_id] = stream
        else:
            self._ready.pop(stream.stream_id, None)

    def _pump(self) -> None:
        """Send what the windows allow, a frame of each stream in turn."""
        while self._ready and self._window_bytes > 0 and not self._held:
            stream = self._ready.pop(next(iter(self._ready)))
            self._one_frame(stream)
            if not stream.ended:
                self._ready_if_open(stream)  # behind the others

    def _one_frame(self, stream: Outbound) -> None:
        room_bytes = min(self._frame_bytes, self._room_bytes(stream), self._window_bytes)
        if room_bytes <= 0:
            return  # settings have shrunk it since
        parts: list[Buffer] = []
        taken_bytes = 0
        while stream.waiting and taken_bytes < room_bytes:
            part = stream.waiting.popleft()
            piece = part[: room_bytes - taken_bytes]
            if len(piece) < len(part):
                stream.waiting.appendleft(part[len(piece) :])
            parts.append(piece)
            taken_bytes += len(piece)
        stream.pending_bytes -= taken_bytes
        self._data(stream, tuple(parts), taken_bytes)
        if not stream.waiting:
            del self._blocked[stream.stream_id]
            if stream.left is not None:
                stream.left.wake()
            if stream.closing is not None:
                self._close(stream, stream.closing)
