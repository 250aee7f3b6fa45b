"""A front on a real socket, and peers that send it frames made by hand (hyperframe, hpack)."""

import asyncio
import contextlib
import struct

import hpack
import pytest
import uvloop
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from segserve.transport.grpc.front import GrpcOptions
from segserve.transport.grpc.methods import Streaming, Unary
from segserve.transport.grpc.native_front import NativeFront
from segserve.transport.http2.frames import PREFACE

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
WAIT_S = 5


@pytest.fixture(params=LOOPS)
def run(request):
    """Run a coroutine on a loop of each kind."""

    def run_it(coroutine):
        with asyncio.Runner(loop_factory=LOOPS[request.param]) as runner:
            return runner.run(coroutine)

    return run_it


def packed(message=b"", *, flag=0, says=None):
    """Give a message with gRPC's prefix, which may lie."""
    return struct.pack(">BI", flag, len(message) if says is None else says) + message


def raw(kind, flags, stream_id, payload=b""):
    """Make any frame."""
    return struct.pack(">IBI", len(payload) << 8 | kind, flags, stream_id) + payload


def data(stream_id, body, *, end=True):
    """Make a DATA frame."""
    frame = DataFrame(stream_id, data=body)
    if end:
        frame.flags.add("END_STREAM")
    return frame.serialize()


class Peer:
    """A client that sends what it is told, right or wrong."""

    def __init__(self, reader, writer):
        self._reader, self._writer = reader, writer
        self._decoder, self._encoder = hpack.Decoder(1 << 20), hpack.Encoder()
        self._block = b""  # headers that continue
        self.seen = []  # frames, oldest first
        self.headers = {}  # of each stream: all that came
        self.bodies = {}

    @classmethod
    async def reading(cls, content):
        """Give a peer that has read these bytes."""
        reader = asyncio.StreamReader()
        reader.feed_data(content)
        reader.feed_eof()
        peer = cls(reader, None)
        await peer.ended()
        return peer

    async def send(self, *frames):
        """Send frames, or bytes, in one write."""
        self._writer.write(b"".join(f if isinstance(f, bytes) else f.serialize() for f in frames))
        await asyncio.wait_for(self._writer.drain(), WAIT_S)

    async def shake(self, values=None, window=0):
        """Open HTTP/2."""
        more = [WindowUpdateFrame(0, window_increment=window)] if window else []
        await self.send(PREFACE, SettingsFrame(0, settings=values or {}), *more)

    def open(self, stream_id, path="/t/Echo", *, end=False, **headers):
        """Make the HEADERS that open a call."""
        fields = [
            (":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "a"),
            ("content-type", "application/grpc"), ("te", "trailers"),
        ]  # fmt: skip
        fields += [(name.replace("_", "-"), value) for name, value in headers.items()]
        frame = HeadersFrame(stream_id, data=self._encoder.encode(fields))
        frame.flags |= {"END_HEADERS", "END_STREAM"} if end else {"END_HEADERS"}
        return frame

    def call(self, stream_id, path="/t/Echo", message=b"hello", **headers):
        """Make a whole call of one message."""
        return self.open(stream_id, path, **headers).serialize() + data(stream_id, packed(message))

    async def next(self):
        """Read a frame; None at the connection's end."""
        try:
            head = await self._reader.readexactly(9)
            frame, length = Frame.parse_frame_header(memoryview(head))
            frame.parse_body(memoryview(await self._reader.readexactly(length)))
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        self.seen.append(frame)
        if isinstance(frame, (HeadersFrame, ContinuationFrame)):
            self._block += frame.data
            if "END_HEADERS" in frame.flags:
                block, self._block = self._decoder.decode(self._block), b""
                self.headers.setdefault(frame.stream_id, []).append(dict(block))
        if isinstance(frame, DataFrame):
            self.bodies[frame.stream_id] = self.bodies.get(frame.stream_id, b"") + frame.data
        return frame

    async def until(self, wanted):
        """Read until a frame is as wanted; gives it, or None at the connection's end."""
        async with asyncio.timeout(WAIT_S):
            while (frame := await self.next()) is not None:
                if wanted(frame):
                    return frame
        return None

    def status_seen(self, stream_id):
        """Give the status that a stream was answered with, or None."""
        for headers in self.headers.get(stream_id, ()):
            if "grpc-status" in headers:
                return int(headers["grpc-status"])
        return None

    async def status(self, stream_id):
        """Give a call's status, read if it has not come yet; None when the connection ends."""
        if self.status_seen(stream_id) is None:
            await self.until(lambda _frame: self.status_seen(stream_id) is not None)
        return self.status_seen(stream_id)

    async def ended(self):
        """Read to the connection's end; gives the code of its GOAWAY, None without one."""
        await self.until(lambda _frame: False)
        away = [frame.error_code for frame in self.seen if isinstance(frame, GoAwayFrame)]
        return away[-1] if away else None

    def stop_reading(self):
        """Leave what comes in the socket, and take little of that."""
        self._writer.transport.pause_reading()

    def end_sending(self):
        """Close this side of the connection."""
        self._writer.write_eof()

    raw, packed, data = staticmethod(raw), staticmethod(packed), staticmethod(data)

    def cut(self):
        """Vanish."""
        self._writer.transport.abort()


class Methods:
    """Echo, Hang until cancelled, Big answers, Stream that echoes."""

    def __init__(self):
        self.started, self.cancelled, self.big_bytes = 0, 0, 1_000_000

    async def echo(self, message, context):
        self.started += 1
        return bytes(message)

    async def hang(self, message, context):
        self.started += 1
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise

    async def big(self, message, context):
        return bytes(self.big_bytes)

    async def stream(self, messages, context):
        self.started += 1
        async for message in messages:
            await context.write(bytes(message))

    async def pour(self, messages, context):
        """Answer a call that has not ended with a message that no window takes at once."""
        async for _message in messages:
            await context.write(bytes(self.big_bytes))

    def table(self):
        unary = {"Echo": self.echo, "Hang": self.hang, "Big": self.big}
        streaming = {"Stream": self.stream, "Pour": self.pour}
        return {
            **{name: Unary(answer) for name, answer in unary.items()},
            **{name: Streaming(answer) for name, answer in streaming.items()},
        }


class Served:
    """A front, its methods, and peers."""

    def __init__(self, front, port, methods):
        self.front, self.port, self.methods = front, port, methods
        self.peers = []

    async def peer(self, values=None, *, shaken=True, window=0):
        peer = Peer(*await asyncio.open_connection("127.0.0.1", self.port))
        self.peers.append(peer)
        if shaken:
            await peer.shake(values, window)
        return peer

    async def wide_peer(self):
        """Give a peer whose windows hold nothing back."""
        return await self.peer({SettingsFrame.INITIAL_WINDOW_SIZE: 2**31 - 1}, window=2**30)

    async def full_peer(self, answer_bytes=30_000_000):
        """Give a peer that reads nothing: its sockets take no more of the answer to call 1."""
        self.methods.big_bytes = answer_bytes
        peer = await self.wide_peer()
        peer.stop_reading()
        await peer.send(peer.call(1, "/t/Big"))
        await asyncio.sleep(0.08)
        assert self.connection._session.congested
        return peer

    @property
    def connection(self):
        """Give the only one."""
        (connection,) = self.front._connections
        return connection

    @property
    def held(self):
        """Give what calls hold: rpcs, bytes on their way, streams, streams that wait for room."""
        sessions = [connection._session for connection in self.front._connections]
        return (
            self.front._count.held,
            self.front._intake._taken_bytes,
            sum(len(session._streams) for session in sessions),
            sum(len(session.sender._blocked) for session in sessions),
        )

    async def rests(self):
        """Wait until nothing is held."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1):
                while any(self.held):  # noqa: ASYNC110  nothing tells
                    await asyncio.sleep(0.005)
        assert self.held == (0, 0, 0, 0)


@pytest.fixture
def serving():
    """Serve `Methods` with options; all is given back at the end."""
    return _serving


@contextlib.asynccontextmanager
async def _serving(**options):
    methods = Methods()
    front = NativeFront({"t": methods.table()}, GrpcOptions("native", **options))
    served = Served(front, await front.start(), methods)
    try:
        yield served
    finally:
        for peer in served.peers:
            peer.cut()
        await front.close(0)
        await asyncio.sleep(0.002)


@pytest.fixture
def connect():
    """Give a peer of any port."""

    async def peer(port):
        peer = Peer(*await asyncio.open_connection("127.0.0.1", port))
        await peer.shake()
        return peer

    return peer


@pytest.fixture
def read_frames():
    """Give a peer that has read these bytes."""
    return Peer.reading


@pytest.fixture
def new_methods():
    """Give methods that no server serves yet."""
    return Methods
