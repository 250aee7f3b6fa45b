"""A valid conversation cut at any places gives the same calls."""

import asyncio
import struct

import hpack
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from segserve.transport.grpc.front import GrpcOptions
from segserve.transport.grpc.native_front import NativeFront
from segserve.transport.http2.connection import Connection
from segserve.transport.http2.frames import PREFACE, Kind

OK = 0


def packed(message=b"", *, flag=0, says=None):
    """Give a message with gRPC's prefix, which may lie."""
    return struct.pack(">BI", flag, len(message) if says is None else says) + message


def raw(kind, flags, stream_id, payload=b""):
    """Make any frame."""
    return struct.pack(">IBI", len(payload) << 8 | kind, flags, stream_id) + payload


class Tape(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self):
        super().__init__()
        self.written = b""

    def write(self, data):
        self.written += data

    def writelines(self, buffers):
        self.written += b"".join(buffers)

    def is_closing(self):
        return False


WIDE = b"\x3f\0\0\0"


def receive(connection, content):
    """Give bytes to a connection as an event loop does."""
    rest = memoryview(content)
    while rest:
        buffer = connection.get_buffer(-1)
        count = min(len(buffer), len(rest))
        buffer[:count] = rest[:count]
        connection.buffer_updated(count)
        rest = rest[count:]


@st.composite
def conversations(draw):
    """Give calls (their messages), a valid byte stream that makes them, and where it is cut."""
    encoder = hpack.Encoder()
    calls, rows = [], []
    for number in range(draw(st.integers(1, 4))):
        stream_id = 1 + 2 * number
        streaming = draw(st.booleans())
        lengths = st.sampled_from([0, 1, 5, 1000, 20_000, 70_000])
        messages = [
            bytes([number + 1]) * draw(lengths)
            for _ in range(draw(st.integers(0, 3)) if streaming else 1)
        ]
        body = b"".join(map(packed, messages))
        frames = [(Kind.HEADERS, stream_id, draw(st.integers(-1, 9)), streaming)]
        ends = sorted(draw(st.lists(st.integers(0, len(body)), max_size=3)))
        for start, end in zip([0, *ends], [*ends, len(body)], strict=True):
            frames.append((Kind.DATA, stream_id, draw(st.integers(-1, 9)), body[start:end]))
        calls.append((stream_id, messages))
        rows.append(frames)
    stream = PREFACE + raw(Kind.SETTINGS, 0, 0)
    opened = 0
    while any(rows):
        ready = [n for n, row in enumerate(rows) if row and (row[0][0] == Kind.DATA or n == opened)]
        row = rows[draw(st.sampled_from(ready))]
        kind, stream_id, padding, content = row.pop(0)
        if kind == Kind.HEADERS:
            opened += 1
            path = "/t/Stream" if content else "/t/Echo"
            fields = [(":method", "POST"), (":path", path), ("content-type", "application/grpc")]
            content = encoder.encode(fields)
            if padding == 0:
                stream += raw(Kind.HEADERS, 0, stream_id, content[:3])
                stream += raw(Kind.CONTINUATION, 4, stream_id, content[3:])
                continue
        flags = (4 if kind == Kind.HEADERS else 0) | (0 if row else 1)
        if padding >= 0:
            flags, content = flags | 8, bytes([padding]) + content + bytes(padding)
        stream += raw(kind, flags, stream_id, content)
        if draw(st.booleans()):
            stream += draw(
                st.sampled_from([raw(Kind.PING, 0, 0, bytes(8)), raw(77, 255, 3, b"new")])
            )
    cuts = sorted(draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    return calls, stream, cuts, draw(st.booleans())


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(conversation=conversations())
def test_a_valid_conversation_gives_the_same_calls_wherever_it_is_cut(
    new_methods, read_frames, conversation
):
    calls, stream, cuts, pausing = conversation

    async def talk():
        front = NativeFront({"t": new_methods().table()}, GrpcOptions("native"))
        connection = Connection(front._accept, front._limits, front._connections)
        tape = Tape()
        connection.connection_made(tape)
        for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
            receive(connection, stream[start:end])
            if pausing:
                await asyncio.sleep(0)
        receive(connection, raw(Kind.WINDOW_UPDATE, 0, 0, WIDE))
        for stream_id, _messages in calls:
            receive(connection, raw(Kind.WINDOW_UPDATE, 0, stream_id, WIDE))
        for _ in range(40):
            await asyncio.sleep(0)
        connection.connection_lost(None)
        held = front._count.held, front._intake._taken_bytes
        return tape.written, held

    written, held = asyncio.run(talk())
    told = asyncio.run(read_frames(written))
    for stream_id, messages in calls:
        assert told.status_seen(stream_id) == OK
        assert told.bodies.get(stream_id, b"") == b"".join(map(packed, messages))
    assert held == (0, 0)
