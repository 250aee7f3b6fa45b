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

Buffer = bytes | memoryview


class Outbound:
    """The sending half of a stream."""

    __slots__ = ("closing_block", "ended", "pending_bytes", "stream_id", "waiting", "window_bytes")

    def __init__(self, stream_id: int, window_bytes: int) -> None:
        self.stream_id = stream_id
        self.window_bytes = window_bytes
        self.waiting: deque[memoryview] = deque()
        self.pending_bytes = 0
        self.closing_block: bytes | None = None  # headers that follow what waits
        self.ended = False


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
        self._frame_bytes = DEFAULT_FRAME_BYTES
        self._streams: dict[int, Outbound] = {}
        self._blocked: dict[int, Outbound] = {}

    @property
    def idle(self) -> bool:
        """Nothing waits for a window."""
        return not self._blocked

    def open(self, stream_id: int) -> Outbound:
        """Give the sending half of a new stream."""
        stream = Outbound(stream_id, self._stream_window_bytes)
        self._streams[stream_id] = stream
        return stream

    def drop(self, stream_id: int) -> None:
        """Forget a stream, and what it has not sent."""
        stream = self._streams.pop(stream_id, None)
        self._blocked.pop(stream_id, None)
        if stream is not None:
            stream.ended = True
            stream.waiting.clear()
            stream.pending_bytes = 0

    def control(self, frame: bytes) -> None:
        """Add a frame that no window holds back."""
        self._out.append(frame)

    def headers(self, stream: Outbound, block: bytes) -> None:
        """Add the headers that open an answer."""
        self._out.append(head(Kind.HEADERS, Flag.END_HEADERS, stream.stream_id, len(block)) + block)

    def body(self, stream: Outbound, *parts: Buffer) -> None:
        """Add bytes of an answer; they are kept, not copied, until they leave."""
        if not stream.waiting and self._fits(stream, parts):
            return
        for part in parts:
            if len(part):
                stream.waiting.append(memoryview(part).cast("B"))
                stream.pending_bytes += len(part)
        self._blocked[stream.stream_id] = stream
        self._pump()

    def end(self, stream: Outbound, block: bytes) -> None:
        """Add the headers that close an answer, after its last byte."""
        if stream.waiting:
            stream.closing_block = block
        elif not stream.ended:
            self._close(stream, block)

    def flush(self) -> None:
        """Write what was added."""
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
        window_bytes = stream.window_bytes if stream else self._window_bytes
        if not 0 < size_bytes <= MAX_WINDOW_BYTES - window_bytes:
            raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, f"a window grew by {size_bytes}")
        if stream:
            stream.window_bytes += size_bytes
        else:
            self._window_bytes += size_bytes
        self._pump()

    def settings(self, values: dict[int, int]) -> None:
        """Obey the peer's settings.

        Raises
        ------
        ConnectionFault
            When they make a window larger than 2^31-1.
        """
        self._frame_bytes = values.get(Setting.MAX_FRAME_SIZE, self._frame_bytes)
        window_bytes = values.get(Setting.INITIAL_WINDOW_SIZE, self._stream_window_bytes)
        change = window_bytes - self._stream_window_bytes
        self._stream_window_bytes = window_bytes
        for stream in self._streams.values():
            stream.window_bytes += change
            if stream.window_bytes > MAX_WINDOW_BYTES:
                raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "a window over 2^31-1")
        self._pump()

    def _fits(self, stream: Outbound, parts: tuple[Buffer, ...]) -> bool:
        """Add a body whole as one frame if it may leave now, which most may."""
        size_bytes = sum(map(len, parts))
        if size_bytes > min(self._frame_bytes, stream.window_bytes, self._window_bytes):
            return False
        self._data(stream, parts, size_bytes)
        return True

    def _data(self, stream: Outbound, parts: tuple[Buffer, ...], size_bytes: int) -> None:
        stream.window_bytes -= size_bytes
        self._window_bytes -= size_bytes
        self._out.append(head(Kind.DATA, 0, stream.stream_id, size_bytes))
        self._out += parts

    def _close(self, stream: Outbound, block: bytes) -> None:
        flags = Flag.END_HEADERS | Flag.END_STREAM
        self._out.append(head(Kind.HEADERS, flags, stream.stream_id, len(block)) + block)
        self.drop(stream.stream_id)

    def _pump(self) -> None:
        """Send what the windows allow, a frame of each stream in turn."""
        moved = True
        while moved and self._blocked:
            moved = False
            for stream in tuple(self._blocked.values()):
                moved = self._one_frame(stream) or moved

    def _one_frame(self, stream: Outbound) -> bool:
        room_bytes = min(self._frame_bytes, stream.window_bytes, self._window_bytes)
        if room_bytes <= 0:
            return False
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
            if stream.closing_block is not None:
                self._close(stream, stream.closing_block)
        return True
